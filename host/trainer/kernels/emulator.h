// Test only: enough of CUDA for the kernels to be compiled by a C++ compiler and run on the processor, so that they can be compared
// with the CPU reference where there is no GPU. Blocks run one after another; the threads of a block are fibers, so barriers, shuffles,
// ballots and shared memory behave as on a device. With an order that is not 0, blocks and threads come in a shuffled order and a
// thread may be put aside at every atomic: what depends on luck shows. It refuses what a device would hang or be undefined on:
// a barrier that only some threads reach, a shuffle that a lane leaves out.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __forceinline__ inline
#define __noinline__
#define __shared__ static thread_local

struct dim3 {
    unsigned x, y, z;
};
struct uint4 {
    unsigned x, y, z, w;
};

struct Fiber;
struct Emulated {
    dim3 block, grid, size;
    Fiber* fiber;
};
extern thread_local Emulated emulated;
dim3 emulated_thread();
void emulated_barrier(int line);
void emulated_exchange(uint64_t value, unsigned mask, const uint64_t** all, int line);
void emulated_pause();

#define threadIdx (emulated_thread())
#define blockIdx (emulated.block)
#define gridDim (emulated.grid)
#define blockDim (emulated.size)
#define __syncthreads() emulated_barrier(__LINE__)

template <typename T>
inline T emulated_shuffle(unsigned mask, T value, int from, int line) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    const uint64_t* all;
    emulated_exchange(bits, mask, &all, line);
    if (from >= 0 && from < 32) std::memcpy(&value, &all[from], sizeof(T));
    return value;
}

#define emulated_lane() ((int)(threadIdx.x % 32))
#define __shfl_sync(mask, value, from) emulated_shuffle(mask, value, (int)(from), __LINE__)
#define __shfl_up_sync(mask, value, step) emulated_shuffle(mask, value, emulated_lane() - (int)(step), __LINE__)
#define __shfl_down_sync(mask, value, step) emulated_shuffle(mask, value, emulated_lane() + (int)(step), __LINE__)

inline unsigned emulated_ballot(unsigned mask, int vote, int line) {
    const uint64_t* all;
    emulated_exchange(vote != 0, mask, &all, line);
    unsigned votes = 0;
    for (int lane = 0; lane < 32; lane++) votes |= (unsigned)(all[lane] & 1) << lane;
    return votes;
}
#define __ballot_sync(mask, vote) emulated_ballot(mask, (vote) != 0, __LINE__)
#define __popc(word) __builtin_popcount(word)

template <typename T>
inline T atomicAdd(T* to, T value) {
    emulated_pause();
    T old = *to;
    *to = (T)(old + value);
    return old;
}
template <typename T>
inline T atomicMin(T* to, T value) {
    emulated_pause();
    T old = *to;
    if (value < old) *to = value;
    return old;
}
template <typename T>
inline T atomicMax(T* to, T value) {
    emulated_pause();
    T old = *to;
    if (value > old) *to = value;
    return old;
}

inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
inline long long __double_as_longlong(double x) {
    long long bits;
    std::memcpy(&bits, &x, 8);
    return bits;
}
inline double __longlong_as_double(long long bits) {
    double x;
    std::memcpy(&x, &bits, 8);
    return x;
}
inline long long clock64() { return 0; }
using std::copysign;
using std::fabs;
using std::round;

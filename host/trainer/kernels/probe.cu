// Measures what the histogram is bound by: 32-bit atomics in shared memory. No training uses it.
#include "common.cuh"

#define PROBE_ROUNDS 4096u

// grid (blocks, 1). `step` 0: all lanes of a warp at one word; 1: each lane at a bank of its own; 2: words drawn at random.
// Clocks of each block go to `sum_first`.
extern "C" __global__ void probe_atomics(const Job job, u32 step) {
    __shared__ u32 words[4096];
    for (u32 i = threadIdx.x; i < 4096; i += THREADS) words[i] = 0;
    __syncthreads();
    u32 draw = threadIdx.x * 2654435761u + 1;
    i64 begun = clock64();
    for (u32 i = 0; i < PROBE_ROUNDS; i++) {
        draw = draw * 1664525u + 1013904223u;
        u32 place = step == 0 ? i % 4096 : (step == 1 ? (i * WARP + threadIdx.x) % 4096 : draw >> 20);
        atomicAdd(&words[place], 1u);
    }
    __syncthreads();
    i64 clocks = clock64() - begun;
    if (threadIdx.x == 0) job.sum_first[blockIdx.x] = (u32)clocks + (words[0] & 0);
}

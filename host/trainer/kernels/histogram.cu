// Histograms: exact sums of gradients for every feature and bin over the rows of a node. 32-bit atomics in shared memory, the only
// ones that every chip has in hardware, over tiles that cannot overflow; then 64-bit atomics in global memory.
#include "common.cuh"

// One word more than bins, so that features do not meet in one bank.
#define STRIDE (BINS + 1u)

// Adds one row's 16 bins. Each lane of a warp begins at another feature: in a column of few values all rows hit one bin.
static __device__ __forceinline__ void add_row(i32* g_bins, u32* h_bins, uint4 bins, Gradient gradient, u32 turn) {
    u32 words[4] = {bins.x, bins.y, bins.z, bins.w};
    u32 word_turn = turn & 3, byte_turn = (turn >> 2) & 3;
    if (word_turn & 1) {
        u32 first = words[0];
        words[0] = words[1]; words[1] = words[2]; words[2] = words[3]; words[3] = first;
    }
    if (word_turn & 2) {
        u32 first = words[0], second = words[1];
        words[0] = words[2]; words[1] = words[3]; words[2] = first; words[3] = second;
    }
#pragma unroll
    for (u32 j = 0; j < GROUP; j++) {
        u32 byte = (j + byte_turn) & 3;
        u32 feature = ((j / 4 + word_turn) & 3) * 4 + byte;
        u32 place = feature * STRIDE + ((words[j / 4] >> (8 * byte)) & 0xff);
        atomicAdd(&g_bins[place], gradient.g);
        atomicAdd(&h_bins[place], gradient.h);
    }
}

// grid (blocks, lanes).
extern "C" __global__ void histogram(const Job job, u32 step) {
    __shared__ i32 g_bins[GROUP * STRIDE];
    __shared__ u32 h_bins[GROUP * STRIDE];
    u32 lane = blockIdx.y;
    const State& state = job.states[lane];
    const Item* items = job.items + (u64)lane * job.slots;
    const u32* first = job.sum_first + (u64)lane * (job.slots + 1);
    const Node* nodes = tree_of(job, lane);
    const Gradient* gradients = job.gradients + (u64)lane * job.row_count;
    u32 work = state.sum_tiles * job.group_count;
    for (u32 at = blockIdx.x; at < work; at += gridDim.x) {
        u32 tile = at / job.group_count, group = at % job.group_count;
        u32 number = item_of(first, state.searched, tile);
        const Item& item = items[number];
        const Node& node = state.root ? nodes[0] : nodes[nodes[item.node].child + item.right_is_smaller];
        u32 from = (tile - first[number]) * state.sum_tile_rows;
        u32 to = from + state.sum_tile_rows < node.count ? from + state.sum_tile_rows : node.count;
        const u32* rows = rows_of(job, lane, node.depth) + node.begin;
        const uint4* bins = (const uint4*)(job.groups + (u64)group * job.row_count * GROUP);
        for (u32 i = threadIdx.x; i < GROUP * STRIDE; i += THREADS) {
            g_bins[i] = 0;
            h_bins[i] = 0;
        }
        __syncthreads();
        for (u32 i = from + threadIdx.x; i < to; i += THREADS) {
            u32 row = rows[i];
            add_row(g_bins, h_bins, bins[row], gradients[row], threadIdx.x);
        }
        __syncthreads();
        Sum* out = histogram_of(job, lane, item.fresh_slot) + (u64)group * GROUP * BINS;
        for (u32 i = threadIdx.x; i < GROUP * BINS; i += THREADS) {
            u32 place = i / BINS * STRIDE + i % BINS;
            if (g_bins[place] != 0) add_to(&out[i].g, g_bins[place]);
            if (h_bins[place] != 0) add_to(&out[i].h, h_bins[place]);
        }
        __syncthreads();
    }
}

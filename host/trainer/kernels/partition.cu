// Parts the rows of every node that is split, into the other buffer: left rows from the front, right rows from the back, in any
// order, because sums do not ask for one. Also empties the histograms that are built next.
#include "common.cuh"

#define ROWS_EACH (PART_TILE / THREADS)

static __device__ void empty_histograms(const Job& job, u32 lane, const State& state, const Item* items) {
    u64 words = (u64)job.group_count * GROUP * BINS;
    for (u32 at = blockIdx.x; at < state.items; at += gridDim.x) {
        if (!items[at].parts) continue;
        Sum* histogram = histogram_of(job, lane, items[at].fresh_slot);
        for (u64 i = threadIdx.x; i < words; i += THREADS) {
            histogram[i].g = 0;
            histogram[i].h = 0;
        }
    }
}

// Parts the rows [from, to) of a node.
static __device__ void part_tile(const Job& job, const u32* rows, u32* out, const Node& node, Item& item, u32 from, u32 to) {
    __shared__ u32 left_sums[THREADS / WARP], right_sums[THREADS / WARP], left_base, right_base;
    const u8* column = job.columns + (u64)node.feature * job.row_count;
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    u32 lefts = 0, rights = 0, goes_left = 0, here = 0;
    u32 own[ROWS_EACH];
#pragma unroll
    for (u32 i = 0; i < ROWS_EACH; i++) {
        u32 at = from + i * THREADS + threadIdx.x;
        own[i] = 0;
        if (at < to) {
            own[i] = rows[at];
            u32 bin = column[own[i]];
            here |= 1u << i;
            if (bin == MISSING ? node.default_left != 0 : bin <= node.bin) goes_left |= 1u << i;
        }
        lefts += __popc(__ballot_sync(ALL_LANES, goes_left >> i & 1));
        rights += __popc(__ballot_sync(ALL_LANES, (here & ~goes_left) >> i & 1));
    }
    if (lane == 0) {
        left_sums[warp] = lefts;
        right_sums[warp] = rights;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        u32 left_sum = 0, right_sum = 0;
        for (u32 other = 0; other < THREADS / WARP; other++) {
            left_sum += left_sums[other];
            right_sum += right_sums[other];
        }
        left_base = atomicAdd(&item.left_here, left_sum);
        right_base = atomicAdd(&item.right_here, right_sum);
    }
    __syncthreads();
    u32 left = left_base, right = right_base, below = (1u << lane) - 1;
    for (u32 other = 0; other < warp; other++) {
        left += left_sums[other];
        right += right_sums[other];
    }
#pragma unroll
    for (u32 i = 0; i < ROWS_EACH; i++) {
        u32 left_mask = __ballot_sync(ALL_LANES, goes_left >> i & 1);
        u32 right_mask = __ballot_sync(ALL_LANES, (here & ~goes_left) >> i & 1);
        if (goes_left >> i & 1) out[left + __popc(left_mask & below)] = own[i];
        else if (here >> i & 1) out[node.count - 1 - (right + __popc(right_mask & below))] = own[i];
        left += __popc(left_mask);
        right += __popc(right_mask);
    }
    __syncthreads();
}

// grid (blocks, lanes).
extern "C" __global__ void partition(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    const State& state = job.states[lane];
    if (state.done) return;
    Item* items = job.items + (u64)lane * job.slots;
    empty_histograms(job, lane, state, items);
    const u32* first = job.part_first + (u64)lane * (job.slots + 1);
    const Node* nodes = tree_of(job, lane);
    for (u32 tile = blockIdx.x; tile < state.part_tiles; tile += gridDim.x) {
        u32 number = item_of(first, state.items, tile);
        const Node& node = nodes[items[number].node];
        u32 from = (tile - first[number]) * PART_TILE;
        u32 to = from + PART_TILE < node.count ? from + PART_TILE : node.count;
        const u32* rows = rows_of(job, lane, node.depth) + node.begin;
        u32* out = rows_of(job, lane, node.depth + 1) + node.begin;
        part_tile(job, rows, out, node, items[number], from, to);
    }
}

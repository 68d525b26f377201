// The best split of every (node, feature): a warp looks at one feature, 32 bins at a time. The larger sibling's
// histogram is its parent's less the smaller one's. Ties go as in `gbdt/split.rs`: lower bin, then missing values on the left.
#include "common.cuh"

#define SEARCH_THREADS 128u

struct Best {
    f64 gain;
    Sum left;
    u32 code;
};

static __device__ __noinline__ void consider(
    Best& best, Sum left, Sum total, f64 parent, u32 code, const Settings& settings, const State& state) {
    Sum right = {total.g - left.g, total.h - left.h};
    if (left.h < settings.min_h || right.h < settings.min_h) return;
    f64 gain = score(left, settings.l2, state.g_unit, state.h_unit)
        + score(right, settings.l2, state.g_unit, state.h_unit) - parent;
    if (best.code == NONE || gain > best.gain) {
        best.gain = gain;
        best.left = left;
        best.code = code;
    }
}

// The sum over this lane and those before it.
static __device__ __forceinline__ Sum sums_to(Sum sum, u32 lane) {
    for (u32 step = 1; step < WARP; step *= 2) {
        i64 g = __shfl_up_sync(ALL_LANES, sum.g, step);
        i64 h = __shfl_up_sync(ALL_LANES, sum.h, step);
        if (lane >= step) {
            sum.g += g;
            sum.h += h;
        }
    }
    return sum;
}

// The best of all lanes, in lane 0. A lower code is an earlier place.
static __device__ __forceinline__ void reduce(Best& best) {
    for (u32 step = WARP / 2; step > 0; step /= 2) {
        f64 gain = __shfl_down_sync(ALL_LANES, best.gain, step);
        i64 g = __shfl_down_sync(ALL_LANES, best.left.g, step);
        i64 h = __shfl_down_sync(ALL_LANES, best.left.h, step);
        u32 code = __shfl_down_sync(ALL_LANES, best.code, step);
        bool better = best.code == NONE || gain > best.gain || (gain == best.gain && code < best.code);
        if (code != NONE && better) {
            best.gain = gain;
            best.left.g = g;
            best.left.h = h;
            best.code = code;
        }
    }
}

// One bin of a node: of the histogram that was built, or of the parent's less its sibling's.
static __device__ __forceinline__ Sum bin_of(const Sum* fresh, const Sum* kept, u32 bin) {
    Sum sum = fresh[bin];
    if (kept) {
        sum.g = kept[bin].g - sum.g;
        sum.h = kept[bin].h - sum.h;
    }
    return sum;
}

// All lanes of a warp take part. With `kept`, the parent's histogram, the node is the sibling of the one in `fresh`, and its
// histogram takes the parent's place.
static __device__ __forceinline__ void search(
    const Sum* fresh, Sum* kept, u32 cuts, Sum total, const Settings& settings, const State& state, Candidate* out) {
    u32 lane = threadIdx.x % WARP;
    Sum missing = {0, 0};
    if (lane == MISSING % WARP) missing = bin_of(fresh, kept, MISSING);
    missing.g = __shfl_sync(ALL_LANES, missing.g, MISSING % WARP);
    missing.h = __shfl_sync(ALL_LANES, missing.h, MISSING % WARP);
    bool has_missing = missing.g != 0 || missing.h != 0;
    // With missing values the cut after the last bin parts them from the rest.
    u32 last = has_missing ? cuts : (cuts == 0 ? 0 : cuts - 1);
    bool has_cut = cuts > 0 || has_missing;
    f64 parent = score(total, settings.l2, state.g_unit, state.h_unit);
    Best best = {0.0, {0, 0}, NONE};
    Sum before = {0, 0};
#pragma unroll 1
    for (u32 from = 0; from < BINS; from += WARP) {
        u32 bin = from + lane;
        Sum own = bin_of(fresh, kept, bin);
        if (kept) kept[bin] = own;
        bool is_empty = own.g == 0 && own.h == 0;
        // The bin of missing values is no part of the way.
        if (bin == MISSING) own = {0, 0};
        Sum left = sums_to(own, lane);
        left.g += before.g;
        left.h += before.h;
        before.g = __shfl_sync(ALL_LANES, left.g, WARP - 1);
        before.h = __shfl_sync(ALL_LANES, left.h, WARP - 1);
        // In an empty bin the same rows part as at the bin before.
        if (!has_cut || bin > last || (is_empty && bin != last)) continue;
        if (!has_missing) {
            // Nobody knows where a missing value belongs: with the heavier side.
            u32 right = left.h >= total.h - left.h ? 0 : 1;
            consider(best, left, total, parent, bin * 2 + right, settings, state);
            continue;
        }
        Sum with = {left.g + missing.g, left.h + missing.h};
        if (bin < cuts) consider(best, with, total, parent, bin * 2, settings, state);
        consider(best, left, total, parent, bin * 2 + 1, settings, state);
    }
    reduce(best);
    if (lane == 0) {
        out->gain = best.gain;
        out->left = best.left;
        out->code = best.code;
    }
}

// grid (blocks, lanes), 128 threads.
extern "C" __global__ void split_search(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    const Settings& settings = job.settings[lane];
    const State& state = job.states[lane];
    const Item* items = job.items + (u64)lane * job.slots;
    const Node* nodes = tree_of(job, lane);
    Candidate* candidates = job.candidates + (u64)lane * job.slots * 2 * job.features;
    u32 warps = gridDim.x * (SEARCH_THREADS / WARP);
    u32 warp = blockIdx.x * (SEARCH_THREADS / WARP) + threadIdx.x / WARP;
    // At most 2^15 nodes of 2^14 features.
    for (u32 at = warp; at < state.searched * job.features; at += warps) {
        u32 number = at / job.features, feature = at % job.features;
        const Item& item = items[number];
        if (!state.root && !item.parts) continue;
        Candidate* out = candidates + (u64)number * 2 * job.features + feature;
        if (!job.seen[(u64)lane * job.features + feature]) {
            if (threadIdx.x % WARP == 0) {
                out[0].code = NONE;
                out[job.features].code = NONE;
            }
            continue;
        }
        const Sum* fresh = histogram_of(job, lane, item.fresh_slot) + (u64)feature * BINS;
        u32 smaller = state.root ? 0 : item.right_is_smaller;
#pragma unroll 1
        for (u32 turn = 0; turn < (state.root ? 1u : 2u); turn++) {
            u32 side = turn ^ smaller;
            Sum* kept = turn ? histogram_of(job, lane, item.kept_slot) + (u64)feature * BINS : 0;
            const Node& node = nodes[state.root ? 0 : nodes[item.node].child + side];
            search(fresh, kept, job.cuts[feature], node.total, settings, state, out + side * job.features);
        }
    }
}

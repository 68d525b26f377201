// Random forests: many trees at once, level by level; a block for each node draws features, sums their bins, finds the best cut and
// parts the rows. The rules are those of `forest/{draw,grow,split}.rs`: integer sums, counter-based draws, f64 in one order. Nodes of a
// level are numbered in any order; the host numbers them as the processor does.
#include "common.cuh"

// `draw::below`.
static __device__ __forceinline__ u64 below(u64 hash, u64 limit) {
    return __umul64hi(hash, limit);
}

// 64-bit sums in shared memory from the 32-bit atomics that every chip has: the carry follows from what was there.
static __device__ __forceinline__ void add_wide(u32* low, u32* high, i64 value) {
    u32 part = (u32)value;
    u32 old = atomicAdd(low, part);
    u32 rest = (u32)((u64)value >> 32) + (old + part < old ? 1u : 0u);
    if (rest != 0) atomicAdd(high, rest);
}

static __device__ __forceinline__ i64 wide(u32 low, u32 high) {
    return (i64)((u64)high << 32 | low);
}

static __device__ __forceinline__ void add_row(const Forest& forest, u32* low, u32* high, ForestRow row, u32 times) {
    i64 own = (i64)times * (i64)row.weight;
    add_wide(&low[0], &high[0], times);
    add_wide(&low[1], &high[1], own);
    if (forest.classes == 0) add_wide(&low[2], &high[2], own * row.label);
    else add_wide(&low[2 + row.label], &high[2 + row.label], own);
}

// The sum over this thread and those before it.
static __device__ __noinline__ i64 block_sums(i64 value) {
    __shared__ i64 warp_sums[THREADS / WARP];
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    for (u32 step = 1; step < WARP; step *= 2) {
        i64 other = __shfl_up_sync(ALL_LANES, value, step);
        if (lane >= step) value += other;
    }
    if (lane == WARP - 1) warp_sums[warp] = value;
    __syncthreads();
    for (u32 other = 0; other < warp; other++) value += warp_sums[other];
    __syncthreads();
    return value;
}

// grid (blocks, trees): nothing drawn yet.
extern "C" __global__ void forest_begin(const Job job, u32 step) {
    const Forest& forest = *job.forest;
    u32 tree = blockIdx.y;
    u32* times = forest.times + (u64)tree * job.row_count;
    for (u64 row = (u64)blockIdx.x * THREADS + threadIdx.x; row < job.row_count; row += (u64)gridDim.x * THREADS) {
        times[row] = forest.bootstrap ? 0 : 1;
    }
    u32* order = forest.order + ((u64)tree * forest.blocks + blockIdx.x) * 2 * job.features;
    if (blockIdx.x < forest.blocks) {
        for (u32 f = threadIdx.x; f < job.features; f += THREADS) order[f] = f;
    }
    if (blockIdx.x != 0) return;
    i64* sums = forest.sums + (u64)tree * forest.nodes_max * forest.width;
    if (threadIdx.x < forest.width) sums[threadIdx.x] = 0;
    if (threadIdx.x == 0) {
        ForestState& state = forest.states[tree];
        state.rows = 0;
        state.nodes = 1;
        state.level_begin = 0;
        state.level_end = 1;
    }
}

// grid (blocks, trees): as many draws as rows, with replacement.
extern "C" __global__ void forest_draw(const Job job, u32 step) {
    const Forest& forest = *job.forest;
    if (!forest.bootstrap) return;
    u32 tree = blockIdx.y;
    u32* times = forest.times + (u64)tree * job.row_count;
    u64 stream = FOREST_ROWS | (forest.first_tree + tree);
    for (u64 draw = (u64)blockIdx.x * THREADS + threadIdx.x; draw < job.row_count; draw += (u64)gridDim.x * THREADS) {
        atomicAdd(&times[below(hash3(forest.seed, stream, draw), job.row_count)], 1u);
    }
}

// grid (blocks, trees): the rows that a tree sees, and their sums.
extern "C" __global__ void forest_rows(const Job job, u32 step) {
    __shared__ u32 low[FOREST_WIDTH_MAX], high[FOREST_WIDTH_MAX], base;
    const Forest& forest = *job.forest;
    u32 tree = blockIdx.y;
    u32* times = forest.times + (u64)tree * job.row_count;
    u32* rows = forest.rows + (u64)tree * 2 * job.row_count;
    if (threadIdx.x < forest.width) low[threadIdx.x] = high[threadIdx.x] = 0;
    __syncthreads();
    for (u64 first = (u64)blockIdx.x * THREADS; first < job.row_count; first += (u64)gridDim.x * THREADS) {
        u64 row = first + threadIdx.x;
        u32 own = 0, all;
        if (row < job.row_count) {
            own = times[row] > 65535 ? 65535 : times[row];
            if (forest.labels[row].weight == 0) own = 0;
            times[row] = own;
            if (own) add_row(forest, low, high, forest.labels[row], own);
        }
        u32 place = block_scan(own != 0, &all);
        if (threadIdx.x == 0) base = atomicAdd(&forest.states[tree].rows, all);
        __syncthreads();
        if (own) rows[base + place] = (u32)row;
        __syncthreads();
    }
    i64* sums = forest.sums + (u64)tree * forest.nodes_max * forest.width;
    if (threadIdx.x < forest.width) add_to(&sums[threadIdx.x], wide(low[threadIdx.x], high[threadIdx.x]));
}

// grid (1, trees): the root, before the first level; then the next level.
extern "C" __global__ void forest_next(const Job job, u32 step) {
    const Forest& forest = *job.forest;
    if (threadIdx.x != 0) return;
    u32 tree = blockIdx.y;
    ForestState& state = forest.states[tree];
    if (step > 0) {
        state.level_begin = state.level_end;
        state.level_end = state.nodes;
        return;
    }
    ForestNode& root = forest.nodes[(u64)tree * forest.nodes_max];
    root.key = hash3(forest.seed, FOREST_FEATURES | (forest.first_tree + tree), 0);
    root.child = 0;
    root.begin = 0;
    root.count = state.rows;
}

// What a block knows of its node.
struct Look {
    // Of the best cut: score, code of its bin, feature, cut and side of missing values.
    f64 score;
    u32 found, feature, cut, default_left;
    i64 left[FOREST_WIDTH_MAX];
    i64 total[FOREST_WIDTH_MAX];
    i64 missing[FOREST_WIDTH_MAX];
    // Bins with rows.
    u32 touched[THREADS / WARP];
};

// Whether all rows of a node have one label.
static __device__ bool is_pure(const Forest& forest, const u32* rows, u32 count) {
    __shared__ i32 lowest, highest;
    if (threadIdx.x == 0) {
        lowest = 0x7fffffff;
        highest = -0x7fffffff - 1;
    }
    __syncthreads();
    i32 low = 0x7fffffff, high = -0x7fffffff - 1;
    for (u32 i = threadIdx.x; i < count; i += THREADS) {
        i32 label = forest.labels[rows[i]].label;
        low = label < low ? label : low;
        high = label > high ? label : high;
    }
    atomicMin(&lowest, low);
    atomicMax(&highest, high);
    __syncthreads();
    bool pure = lowest >= highest;
    __syncthreads();
    return pure;
}

// `Criterion::score` of a side: `left`, or what is left of the total.
static __device__ f64 side_score(const Forest& forest, const Look& look, const i64* left, bool rights) {
    f64 squares = 0.0;
    for (u32 at = 2; at < forest.width; at++) {
        f64 sum = (f64)(rights ? look.total[at] - left[at] : left[at]);
        squares += sum * sum;
    }
    return squares / (f64)(rights ? look.total[1] - left[1] : left[1]);
}

// The score of parting `left` from the rest; false where a side has too few rows.
static __device__ bool part_score(const Forest& forest, const Look& look, const i64* left, f64* score) {
    if (left[0] < forest.min_leaf || look.total[0] - left[0] < forest.min_leaf) return false;
    *score = side_score(forest, look, left, false) + side_score(forest, look, left, true);
    return true;
}

// The first bin with rows after this one and before that of missing values; MISSING for none.
static __device__ u32 next_touched(const Look& look, u32 bin) {
    for (u32 at = bin + 1; at < MISSING; at++) {
        if (look.touched[at / WARP] >> (at % WARP) & 1) return at;
    }
    return MISSING;
}

// Turns the sums of each bin into those of all bins up to it, missing values apart. Yields whether two bins have rows.
static __device__ bool sum_bins(const Forest& forest, Look& look, u32* low, u32* high) {
    u32 bin = threadIdx.x, at = bin * forest.width;
    u32 votes = __ballot_sync(ALL_LANES, low[at] != 0 || high[at] != 0);
    if (threadIdx.x % WARP == 0) look.touched[bin / WARP] = votes;
    for (u32 i = 0; i < forest.width; i++) {
        i64 own = wide(low[at + i], high[at + i]);
        if (bin == MISSING) {
            look.missing[i] = own;
            own = 0;
        }
        own = block_sums(own);
        low[at + i] = (u32)own;
        high[at + i] = (u32)((u64)own >> 32);
    }
    __syncthreads();
    u32 count = 0;
    for (u32 word = 0; word < THREADS / WARP; word++) count += __popc(look.touched[word]);
    return count >= 2;
}

// This thread's best cut, at its own bin: yields its code (bin * 2 + missing values go right) or NONE.
static __device__ u32 look_at_bin(const Forest& forest, const Look& look, const u32* low, const u32* high, f64* best) {
    u32 bin = threadIdx.x, code = NONE;
    bool is_touched = look.touched[bin / WARP] >> (bin % WARP) & 1;
    if (bin == MISSING || !is_touched) return NONE;
    bool has_missing = look.touched[MISSING / WARP] >> (MISSING % WARP) & 1;
    bool has_next = next_touched(look, bin) != MISSING;
    if (!has_next && !has_missing) return NONE;
    i64 left[FOREST_WIDTH_MAX];
    f64 score;
    for (u32 i = 0; i < forest.width; i++) left[i] = wide(low[bin * forest.width + i], high[bin * forest.width + i]);
    if (!has_missing) {
        u32 right = 2 * left[1] >= look.total[1] ? 0 : 1;
        if (!part_score(forest, look, left, best)) return NONE;
        return bin * 2 + right;
    }
    if (part_score(forest, look, left, &score)) {
        *best = score;
        code = bin * 2 + 1;
    }
    for (u32 i = 0; i < forest.width; i++) left[i] += look.missing[i];
    // Looked at first on the processor, so it wins a tie.
    if (has_next && part_score(forest, look, left, &score) && (code == NONE || score >= *best)) {
        *best = score;
        code = bin * 2;
    }
    return code;
}

// Looks at one feature, and keeps its best cut if it is better than what is known. Yields whether the feature varies.
static __device__ bool look_at_feature(
    const Job& job, const Forest& forest, Look& look, u32 feature, const u32* rows, u32 count, const u32* times, u32* low, u32* high) {
    __shared__ f64 scores[THREADS / WARP];
    __shared__ u32 codes[THREADS / WARP], winner;
    for (u32 i = threadIdx.x; i < BINS * forest.width; i += THREADS) low[i] = high[i] = 0;
    __syncthreads();
    const u8* column = job.columns + (u64)feature * job.row_count;
    for (u32 i = threadIdx.x; i < count; i += THREADS) {
        u32 row = rows[i], at = column[row] * forest.width;
        add_row(forest, low + at, high + at, forest.labels[row], times[row]);
    }
    __syncthreads();
    if (!sum_bins(forest, look, low, high)) return false;
    f64 best = 0.0;
    u32 own = look_at_bin(forest, look, low, high, &best), code = own;
    for (u32 step = WARP / 2; step > 0; step /= 2) {
        f64 other_score = __shfl_down_sync(ALL_LANES, best, step);
        u32 other = __shfl_down_sync(ALL_LANES, code, step);
        bool better = code == NONE || other_score > best || (other_score == best && other < code);
        if (other != NONE && better) {
            best = other_score;
            code = other;
        }
    }
    if (threadIdx.x % WARP == 0) {
        scores[threadIdx.x / WARP] = best;
        codes[threadIdx.x / WARP] = code;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        winner = NONE;
        u32 at = NONE;
        for (u32 warp = 0; warp < THREADS / WARP; warp++) {
            bool better = at == NONE || scores[warp] > scores[at] || (scores[warp] == scores[at] && codes[warp] < codes[at]);
            if (codes[warp] != NONE && better) at = warp;
        }
        if (at != NONE) {
            u32 bin = codes[at] >> 1, next = next_touched(look, bin);
            u32 last = job.cuts[feature] < MISSING ? job.cuts[feature] : MISSING - 1;
            u32 cut = next != MISSING ? bin + (next - bin - 1) / 2 : last;
            // Features come in any order: a tie goes to the lower one.
            bool better = !look.found || scores[at] > look.score || (scores[at] == look.score && feature < look.feature);
            if (better) {
                look.found = 1;
                look.score = scores[at];
                look.feature = feature;
                look.cut = cut;
                look.default_left = !(codes[at] & 1);
                winner = codes[at];
            }
        }
    }
    __syncthreads();
    if (winner != NONE && threadIdx.x < forest.width) {
        u32 at = (winner >> 1) * forest.width + threadIdx.x;
        i64 left = wide(low[at], high[at]);
        bool has_missing = look.touched[MISSING / WARP] >> (MISSING % WARP) & 1;
        if (has_missing && !(winner & 1)) left += look.missing[threadIdx.x];
        look.left[threadIdx.x] = left;
    }
    __syncthreads();
    return true;
}

// The next feature of a node (`Features::draw`), by one thread for all; NONE when all were drawn.
static __device__ u32 draw_feature(const Job& job, u32* order, u32* swaps, u64 key, u32 drawn) {
    __shared__ u32 feature;
    if (threadIdx.x == 0) {
        feature = NONE;
        if (drawn < job.features) {
            u32 other = drawn + (u32)below(hash3(key, 2, drawn), job.features - drawn);
            feature = order[other];
            order[other] = order[drawn];
            order[drawn] = feature;
            swaps[drawn] = other;
        }
    }
    __syncthreads();
    u32 drawn_feature = feature;
    __syncthreads();
    return drawn_feature;
}

// Puts the features back in order.
static __device__ void reset_features(u32* order, const u32* swaps, u32 drawn) {
    if (threadIdx.x == 0) {
        for (u32 at = drawn; at-- > 0;) {
            u32 feature = order[at];
            order[at] = order[swaps[at]];
            order[swaps[at]] = feature;
        }
    }
    __syncthreads();
}

// Parts the rows of a node into the other list; yields how many went left.
static __device__ u32 part_rows(const Job& job, const Look& look, const u32* rows, u32* out, u32 count) {
    const u8* column = job.columns + (u64)look.feature * job.row_count;
    u32 lefts = 0;
    for (u32 first = 0; first < count; first += THREADS) {
        u32 at = first + threadIdx.x, row = 0, goes_left = 0, all;
        if (at < count) {
            row = rows[at];
            u32 bin = column[row];
            goes_left = bin == MISSING ? look.default_left : bin <= look.cut;
        }
        u32 place = block_scan(goes_left, &all);
        if (goes_left) out[lefts + place] = row;
        else if (at < count) out[count - 1 - (at - lefts - place)] = row;
        lefts += all;
    }
    return lefts;
}

// Splits one node, or leaves it a leaf.
static __device__ void grow_node(
    const Job& job, const Forest& forest, u32 tree, u32 place, u32 depth, u32* order, Look& look, u32* low, u32* high) {
    __shared__ u32 child;
    ForestNode* nodes = forest.nodes + (u64)tree * forest.nodes_max;
    i64* sums = forest.sums + (u64)tree * forest.nodes_max * forest.width;
    ForestNode& node = nodes[place];
    const u32* rows = forest.rows + ((u64)tree * 2 + (depth & 1)) * job.row_count + node.begin;
    u32* out = forest.rows + ((u64)tree * 2 + ((depth + 1) & 1)) * job.row_count + node.begin;
    const u32* times = forest.times + (u64)tree * job.row_count;
    if (threadIdx.x < forest.width) look.total[threadIdx.x] = sums[(u64)place * forest.width + threadIdx.x];
    if (threadIdx.x == 0) look.found = 0;
    __syncthreads();
    bool deep = forest.depth_limit != 0 && depth >= forest.depth_limit;
    if (deep || look.total[0] < 2 * (i64)forest.min_leaf || is_pure(forest, rows, node.count)) return;
    u32* swaps = order + job.features;
    u32 drawn = 0;
    bool varied = false;
    // Constant features are passed over as long as no other was found.
    while (drawn < forest.tried || !varied) {
        u32 feature = draw_feature(job, order, swaps, node.key, drawn);
        if (feature == NONE) break;
        drawn++;
        if (look_at_feature(job, forest, look, feature, rows, node.count, times, low, high)) varied = true;
    }
    reset_features(order, swaps, drawn);
    if (!look.found) return;
    u32 lefts = part_rows(job, look, rows, out, node.count);
    if (threadIdx.x == 0) {
        child = atomicAdd(&forest.states[tree].nodes, 2u);
        node.child = child;
        node.score = look.score;
        node.feature = look.feature;
        node.bin = look.cut;
        node.default_left = look.default_left;
        for (u32 side = 0; side < 2; side++) {
            ForestNode& own = nodes[child + side];
            own.key = hash3(node.key, side, 1);
            own.child = 0;
            own.begin = node.begin + (side ? lefts : 0);
            own.count = side ? node.count - lefts : lefts;
        }
    }
    __syncthreads();
    if (threadIdx.x < forest.width) {
        i64 left = look.left[threadIdx.x];
        sums[(u64)child * forest.width + threadIdx.x] = left;
        sums[(u64)(child + 1) * forest.width + threadIdx.x] = look.total[threadIdx.x] - left;
    }
}

// grid (blocks, trees): all nodes of a level. `step` is their depth.
extern "C" __global__ void forest_level(const Job job, u32 step) {
    __shared__ u32 low[BINS * FOREST_WIDTH_MAX], high[BINS * FOREST_WIDTH_MAX];
    __shared__ Look look;
    const Forest& forest = *job.forest;
    u32 tree = blockIdx.y;
    const ForestState& state = forest.states[tree];
    u32* order = forest.order + ((u64)tree * forest.blocks + blockIdx.x) * 2 * job.features;
    for (u32 place = state.level_begin + blockIdx.x; place < state.level_end; place += gridDim.x) {
        grow_node(job, forest, tree, place, step, order, look, low, high);
        __syncthreads();
    }
}

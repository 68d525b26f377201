// The start of a tree: state, the features it sees, gradients of all rows, the rows it sees and their sum.
#include "common.cuh"

// Which features the next tree sees: those with the lowest hashes, ties to the lower feature (`sample::features`).
static __device__ void draw_features(const Job& job, u32 lane, u64 round) {
    const Settings& settings = job.settings[lane];
    u64 stream = 2 * (round * settings.outputs + settings.output) + 1;
    for (u32 f = blockIdx.x * THREADS + threadIdx.x; f < job.features; f += gridDim.x * THREADS) {
        u32 lower = 0;
        if (settings.features_wanted < job.features) {
            u64 own = hash3(settings.seed, stream, f);
            for (u32 other = 0; other < job.features; other++) {
                u64 hash = hash3(settings.seed, stream, other);
                lower += hash < own || (hash == own && other < f);
            }
        }
        job.seen[(u64)lane * job.features + f] = lower < settings.features_wanted;
    }
}

// grid (blocks, lanes). The round was advanced by `advance`.
extern "C" __global__ void begin(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    if (!job.active[lane]) return;
    draw_features(job, lane, job.states[lane].round);
    u64 words = (u64)job.group_count * GROUP * BINS;
    Sum* histogram = histogram_of(job, lane, 0);
    for (u64 at = blockIdx.x * THREADS + threadIdx.x; at < words; at += (u64)gridDim.x * THREADS) {
        histogram[at].g = 0;
        histogram[at].h = 0;
    }
}

// grid (1, lanes): the state of the next round's tree. The host wrote the round before the first one.
extern "C" __global__ void advance(const Job job, u32 step) {
    if (threadIdx.x != 0) return;
    State& state = job.states[blockIdx.y];
    // A lane that takes no part has nothing to search and nothing to part.
    u32 active = job.active[blockIdx.y];
    if (active) state.round += 1;
    state.place = (u32)(state.round % job.ring);
    state.total.g = 0;
    state.total.h = 0;
    state.largest = 0;
    state.chosen = 0;
    state.elsewhere = 0;
    state.nodes = 0;
    state.leaves = 0;
    state.slots = 0;
    state.items = 0;
    state.part_tiles = 0;
    state.searched = 0;
    state.sum_tiles = 0;
    state.root = 0;
    state.done = !active;
}

static __device__ __forceinline__ f64 weight_of(const Job& job, const Settings& settings, u64 row) {
    f64 own = job.weights ? (f64)job.weights[row] : 1.0;
    if (settings.classes == 0) return own;
    u32 label = (u32)job.labels[row];
    return own * job.class_weights[settings.class_weight_at + label];
}

// For squared error: the largest weighted residual, which sets the scale. grid (blocks, lanes).
extern "C" __global__ void residuals(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    const Settings& settings = job.settings[lane];
    if (settings.objective != OBJECTIVE_SQUARED || !job.active[lane]) return;
    const f64* margins = job.margins + (u64)lane * job.row_count;
    u64 largest = 0;
    for (u64 row = blockIdx.x * THREADS + threadIdx.x; row < job.row_count; row += (u64)gridDim.x * THREADS) {
        f64 residual = fabs(margins[row] - (f64)job.labels[row]) * weight_of(job, settings, row);
        u64 bits = (u64)__double_as_longlong(residual);
        if (bits > largest) largest = bits;
    }
    for (u32 step_size = WARP / 2; step_size > 0; step_size /= 2) {
        u64 other = __shfl_down_sync(ALL_LANES, largest, step_size);
        if (other > largest) largest = other;
    }
    if (threadIdx.x % WARP == 0) atomicMax(&job.states[lane].largest, largest);
}

// 2^15 / 2^ceil(log2(x)) for a positive normal x: `Gradients::rescale`.
static __device__ __forceinline__ f64 scale_for(f64 largest) {
    f64 x = largest > 1e-30 ? largest : 1e-30;
    u64 bits = (u64)__double_as_longlong(x);
    int exponent = (int)(bits >> 52) - 1023;
    if (bits & 0xFFFFFFFFFFFFFull) exponent += 1;
    if (exponent > 1023) exponent = 1023;
    int inverse = -exponent < -1022 ? -1022 : -exponent;
    return QUANTA * __longlong_as_double((i64)(inverse + 1023) << 52);
}

static __device__ __forceinline__ f64 g_scale_of(const Settings& settings, const State& state) {
    if (settings.objective != OBJECTIVE_SQUARED) return settings.g_scale;
    return scale_for(__longlong_as_double((i64)state.largest));
}

static __device__ __forceinline__ f64 clamp(f64 x, f64 low, f64 high) {
    return x < low ? low : (x > high ? high : x);
}

static __device__ __forceinline__ f64 sigmoid(const f64* table, f64 margin) {
    f64 place = (clamp(margin, -TABLE_REACH, TABLE_REACH) + TABLE_REACH) * ((f64)TABLE_STEPS / (2.0 * TABLE_REACH));
    u32 index = (u32)place;
    if (index > TABLE_STEPS - 1) index = TABLE_STEPS - 1;
    f64 low = table[index], high = table[index + 1];
    return low + (high - low) * (place - (f64)index);
}

static __device__ __forceinline__ Gradient quantise(f64 g, f64 h, f64 g_scale, f64 h_scale) {
    g = clamp(g * g_scale, -QUANTA, QUANTA);
    h = clamp(h * h_scale, 0.0, QUANTA);
    h = h > 0.0 ? (h + 0.5 < 1.0 ? 1.0 : h + 0.5) : 0.0;
    Gradient gradient;
    gradient.g = (i32)(g + copysign(0.5, g));
    gradient.h = (u32)h;
    return gradient;
}

// `math::exp`: IEEE operations alone.
static __device__ __noinline__ f64 exponential(f64 x) {
    x = clamp(x, -700.0, 700.0);
    f64 k = round(x * 1.4426950408889634074);
    f64 r = (x - k * 0.6931471803691238) - k * 1.9082149292705877e-10;
    f64 sum = 1.0;
#pragma unroll 1
    for (int n = 14; n >= 1; n--) sum = 1.0 + sum * r / (f64)n;
    i32 power = (i32)k < -1022 ? -1022 : ((i32)k > 1023 ? 1023 : (i32)k);
    return sum * __longlong_as_double((i64)(power + 1023) << 52);
}

// For classes: what every class of a row divides by (`math::softmax`). grid (blocks, lanes); the first class does it for all.
extern "C" __global__ void shares(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    const Settings& settings = job.settings[lane];
    if (settings.objective != OBJECTIVE_SOFTMAX || settings.output != 0 || !job.active[lane]) return;
    const f64* margins = job.margins + (u64)lane * job.row_count;
    f64* out = job.shares + (u64)settings.variant * job.row_count * 2;
    for (u64 row = (u64)blockIdx.x * THREADS + threadIdx.x; row < job.row_count; row += (u64)gridDim.x * THREADS) {
        f64 highest = margins[row];
        for (u32 class_ = 1; class_ < settings.outputs; class_++) {
            f64 margin = margins[(u64)class_ * job.row_count + row];
            if (margin > highest) highest = margin;
        }
        f64 sum = 0.0;
        for (u32 class_ = 0; class_ < settings.outputs; class_++) {
            sum += exponential(margins[(u64)class_ * job.row_count + row] - highest);
        }
        out[2 * row] = highest;
        out[2 * row + 1] = sum;
    }
}

static __device__ __forceinline__ Gradient gradient_of(const Job& job, u32 lane, u64 row, f64 g_scale) {
    const Settings& settings = job.settings[lane];
    f64 margin = job.margins[(u64)lane * job.row_count + row];
    f64 label = (f64)job.labels[row];
    f64 weight = weight_of(job, settings, row);
    f64 g = margin - label, h = 1.0;
    if (settings.objective == OBJECTIVE_LOGISTIC) {
        f64 p = sigmoid(job.table, margin);
        g = p - label;
        h = p * (1.0 - p);
    } else if (settings.objective == OBJECTIVE_SOFTMAX) {
        const f64* share = job.shares + ((u64)settings.variant * job.row_count + row) * 2;
        f64 p = exponential(margin - share[0]) / share[1];
        g = p - (label == (f64)settings.output ? 1.0 : 0.0);
        h = 2.0 * p * (1.0 - p);
    }
    return quantise(g * weight, h * weight, g_scale, settings.h_scale);
}

// Gradients, the rows that the tree sees (in any order) and their sum. grid (blocks, lanes).
extern "C" __global__ void gradients(const Job job, u32 step) {
    __shared__ u32 base;
    u32 lane = blockIdx.y;
    if (!job.active[lane]) return;
    const Settings& settings = job.settings[lane];
    State& state = job.states[lane];
    f64 g_scale = g_scale_of(settings, state);
    // All trees of a round see the same rows.
    u64 stream = 2 * state.round;
    Gradient* gradients = job.gradients + (u64)lane * job.row_count;
    u32* rows = rows_of(job, lane, 0);
    Sum sum = {0, 0};
    for (u64 first = (u64)blockIdx.x * THREADS; first < job.row_count; first += (u64)gridDim.x * THREADS) {
        u64 row = first + threadIdx.x;
        u32 chosen = 0;
        if (row < job.row_count) {
            Gradient gradient = gradient_of(job, lane, row, g_scale);
            gradients[row] = gradient;
            chosen = !settings.sampled || hash3(settings.seed, stream, job.row_offset + row) <= settings.sample_limit;
            if (chosen) {
                sum.g += gradient.g;
                sum.h += gradient.h;
            }
        }
        if (!settings.sampled) {
            if (chosen) rows[row] = (u32)row;
            continue;
        }
        u32 all;
        u32 place = block_scan(chosen, &all);
        if (threadIdx.x == 0) base = atomicAdd(&state.chosen, all);
        __syncthreads();
        if (chosen) rows[base + place] = (u32)row;
        __syncthreads();
    }
    for (u32 step_size = WARP / 2; step_size > 0; step_size /= 2) {
        sum.g += __shfl_down_sync(ALL_LANES, sum.g, step_size);
        sum.h += __shfl_down_sync(ALL_LANES, sum.h, step_size);
    }
    if (threadIdx.x % WARP == 0) {
        add_to(&state.total.g, sum.g);
        add_to(&state.total.h, sum.h);
    }
}

// grid (1, lanes): the root of the tree, and the tiles of its histogram.
extern "C" __global__ void root(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    if (threadIdx.x != 0 || !job.active[lane]) return;
    const Settings& settings = job.settings[lane];
    State& state = job.states[lane];
    u32 count = settings.sampled ? state.chosen : (u32)job.row_count;
    if (settings.sampled && count + state.elsewhere == 0) {
        // A tree over nothing would be no tree.
        Gradient gradient = job.gradients[(u64)lane * job.row_count];
        rows_of(job, lane, 0)[0] = 0;
        state.total.g = gradient.g;
        state.total.h = gradient.h;
        count = 1;
    }
    state.g_unit = 1.0 / g_scale_of(settings, state);
    state.h_unit = 1.0 / settings.h_scale;
    Node& node = tree_of(job, lane)[0];
    node.total = state.total;
    node.child = 0;
    node.begin = 0;
    node.count = count;
    node.slot = 0;
    node.depth = 0;
    node.value = leaf_value(state.total, settings, state);
    node.open = 0;
    Head& head = job.heads[(u64)lane * job.ring + state.place];
    head.g_unit = state.g_unit;
    head.nodes = 1;
    state.nodes = 1;
    state.leaves = 1;
    state.slots = 1;
    state.searched = 1;
    state.root = 1;
    state.sum_tile_rows = tile_rows(job, count);
    state.sum_tiles = (count + state.sum_tile_rows - 1) / state.sum_tile_rows;
    job.items[(u64)lane * job.slots].fresh_slot = 0;
    u32* first = job.sum_first + (u64)lane * (job.slots + 1);
    first[0] = 0;
    first[1] = state.sum_tiles;
}

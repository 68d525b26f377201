// What all kernels share: the layout of the device's memory, the same as `src/cuda/job.rs` says in Rust (a test compares them), and
// the arithmetic that the processor does too. Sums are integers, so the order of adding cannot change them; f64 appears only where
// a sum becomes a gain or a leaf, in the order of IEEE operations of `gbdt/split.rs`. Compiled with --fmad=false.
#pragma once

#ifdef AIRLOCK_EMULATOR
#include "emulator.h"
#endif

typedef unsigned char u8;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;
typedef float f32;
typedef double f64;

// Bins of a feature; the last one is for missing values.
#define BINS 256u
#define MISSING 255u
// Features whose bins lie together.
#define GROUP 16u
#define WARP 32u
#define ALL_LANES 0xffffffffu
#define NONE 0xffffffffu
// Threads of every block but those of `split_search`.
#define THREADS 256u
// Rows that a block parts at a time.
#define PART_TILE 2048u
// Rows that a block may sum in 32 bits: 2^15 rows of at most 2^15 stay within 2^30.
#define SUM_TILE_MAX 32768u
#define SUM_TILE_MIN 512u

// Most sums of a bin in a forest: the shared memory of a block holds no more.
#define FOREST_WIDTH_MAX 20u
#define FOREST_ROWS (1ull << 62)
#define FOREST_FEATURES (2ull << 62)

#define OBJECTIVE_LOGISTIC 0u
#define OBJECTIVE_SQUARED 1u
#define OBJECTIVE_SOFTMAX 2u
#define GROWTH_LOSSGUIDE 1u

// Bits of a gradient, and the reach and steps of the sigmoid's table.
#define QUANTA 32768.0
#define TABLE_REACH 16.0
#define TABLE_STEPS 4096u

struct Sum {
    i64 g, h;
};

struct Gradient {
    i32 g;
    u32 h;
};

// What one tree after another is grown by. One lane grows one tree of a round; a softmax model has a lane for each class.
struct Settings {
    f64 l2;
    f64 min_gain;
    // Least hessian of a child, in quanta; one at least.
    i64 min_h;
    f64 learning_rate;
    f64 g_scale;
    f64 h_scale;
    u64 seed;
    // A row is drawn when its hash is at most this.
    u64 sample_limit;
    // Into the class weights: weight = own * class_weights[class_weight_at + class].
    u32 class_weight_at;
    u32 classes;
    u32 objective;
    u32 growth;
    u32 depth_limit;
    u32 leaf_limit;
    // Features that a tree sees.
    u32 features_wanted;
    u32 sampled;
    // Which class this lane stands for, and the lane of class 0.
    u32 output;
    u32 first_lane;
    u32 outputs;
    u32 variant;
};

// What changes while a lane's tree grows.
struct State {
    Sum total;
    // Bits of the largest residual: floats that are not negative order like their bits.
    u64 largest;
    f64 g_unit;
    f64 h_unit;
    // Number of the round, from 0.
    u64 round;
    u32 chosen;
    u32 nodes;
    u32 leaves;
    // Histograms handed out.
    u32 slots;
    // Nodes that are split in this step, and tiles of their rows.
    u32 items;
    u32 part_tiles;
    // Nodes whose children (or the root itself) are searched in this step.
    u32 searched;
    u32 sum_tiles;
    u32 sum_tile_rows;
    u32 root;
    u32 done;
    // Rows drawn on other devices.
    u32 elsewhere;
    // Where in the ring the tree grows.
    u32 place;
    u32 padding;
};

struct Node {
    Sum total;
    // Of the best split.
    Sum left;
    f64 gain;
    u32 feature;
    u32 bin;
    u32 default_left;
    // The left child, whose neighbour is the right one; 0 for a leaf.
    u32 child;
    u32 begin;
    u32 count;
    u32 slot;
    u32 depth;
    f32 value;
    // A split was found and not yet made.
    u32 open;
};

// A node being split.
struct Item {
    u32 node;
    // The children may be split too: their rows are parted and their histograms built.
    u32 parts;
    u32 fresh_slot;
    u32 kept_slot;
    // Rows of the children on this device, and on all devices of the run.
    u32 left_here;
    u32 right_here;
    u32 left_rows;
    u32 right_rows;
    u32 right_is_smaller;
    u32 padding;
};

struct Candidate {
    Sum left;
    f64 gain;
    // bin * 2 + (missing values go right), or NONE.
    u32 code;
    u32 padding;
};

// What a grown tree is read by.
struct Head {
    f64 g_unit;
    u32 nodes;
    u32 padding;
};

// One row's part in the sums of a forest.
struct ForestRow {
    u32 weight;
    i32 label;
};

struct ForestNode {
    u64 key;
    f64 score;
    u32 feature;
    u32 bin;
    u32 default_left;
    // As in `Node`; children lie behind all nodes of their parent's level, in any order.
    u32 child;
    u32 begin;
    u32 count;
};

struct ForestState {
    u32 rows;
    u32 nodes;
    // The nodes of this level.
    u32 level_begin;
    u32 level_end;
};

// What the trees of a forest grow by, and where. Arrays are for all trees that grow at a time, one tree after another.
struct Forest {
    const ForestRow* labels;
    // How often each tree drew a row.
    u32* times;
    // Two lists of each tree.
    u32* rows;
    ForestState* states;
    ForestNode* nodes;
    // `width` sums of each node: draws, weight, then the weighted labels or the weight of each class.
    i64* sums;
    // For each block of each tree: the features in order, and the swaps of a node.
    u32* order;
    u64 seed;
    u64 first_tree;
    u32 width;
    // 0 for values and two classes.
    u32 classes;
    u32 tried;
    u32 min_leaf;
    // 0 for none.
    u32 depth_limit;
    u32 bootstrap;
    u32 nodes_max;
    u32 blocks;
};

// Where everything lies. Arrays are for all lanes, one lane after another, unless said otherwise.
struct Job {
    const Settings* settings;
    State* states;
    // Whether a lane takes part in this round.
    const u32* active;
    // Shared by all lanes: bins by group and row, bins by feature and row, cuts of each feature, labels, weights (or null).
    const u8* groups;
    const u8* columns;
    const u32* cuts;
    const f32* labels;
    const f32* weights;
    const f64* class_weights;
    const f64* table;
    // For each variant with classes and each row: the highest margin, and the sum of the exponentials below it.
    f64* shares;
    // For other rows that follow the training.
    const u8* valid_columns;
    f64* valid_margins;
    f64* margins;
    Gradient* gradients;
    // Two buffers for each lane.
    u32* rows;
    Sum* histograms;
    Candidate* candidates;
    Item* items;
    // Where the tiles of each item begin; one more than items.
    u32* part_first;
    u32* sum_first;
    // Whether a tree sees a feature.
    u8* seen;
    // `ring` trees for each lane, and how to read each.
    Node* nodes;
    Head* heads;
    // Null in boosting.
    const Forest* forest;
    u64 row_count;
    // Of all rows of the matrix, where its rows are spread over several devices.
    u64 row_offset;
    u64 valid_count;
    u32 features;
    u32 group_count;
    u32 slots;
    u32 nodes_max;
    u32 ring;
    // Blocks that sum histograms of one lane; its rows are cut into tiles for so many.
    u32 sum_blocks;
    u32 lanes;
    // Over which the rows of a run are spread.
    u32 devices;
};

static __device__ __forceinline__ u64 mix(u64 z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// `math::hash3`.
static __device__ __noinline__ u64 hash3(u64 seed, u64 stream, u64 index) {
    u64 z = seed + stream * 0x9E3779B97F4A7C15ull + 0x9E3779B97F4A7C15ull;
    z = mix(z) ^ (index * 0xD6E8FEB86659FD93ull);
    return mix(z);
}

// `Rules::score`; the smallest normal number keeps 0/0 away.
static __device__ __forceinline__ f64 score(Sum sum, f64 l2, f64 g_unit, f64 h_unit) {
    f64 g = (f64)sum.g * g_unit;
    f64 h = (f64)sum.h * h_unit;
    return g * g / (h + l2 + 2.2250738585072014e-308);
}

// `Soil::leaf`.
static __device__ __noinline__ f32 leaf_value(Sum sum, const Settings& settings, const State& state) {
    f64 g = (f64)sum.g * state.g_unit;
    f64 h = (f64)sum.h * state.h_unit;
    f64 value = sum.h == 0 ? 0.0 : -g / (h + settings.l2);
    return (f32)(value * settings.learning_rate);
}

static __device__ __forceinline__ Node* tree_at(const Job& job, u32 lane, u32 slot) {
    return job.nodes + ((u64)lane * job.ring + slot) * job.nodes_max;
}

static __device__ __forceinline__ Node* tree_of(const Job& job, u32 lane) {
    return tree_at(job, lane, job.states[lane].place);
}

static __device__ __forceinline__ Sum* histogram_of(const Job& job, u32 lane, u32 slot) {
    u64 place = (u64)lane * job.slots + slot;
    return job.histograms + place * job.group_count * GROUP * BINS;
}

// Rows of a node at an even depth lie in the first buffer, of one at an odd depth in the second.
static __device__ __forceinline__ u32* rows_of(const Job& job, u32 lane, u32 depth) {
    return job.rows + ((u64)lane * 2 + (depth & 1)) * job.row_count;
}

static __device__ __forceinline__ void add_to(i64* to, i64 value) {
    atomicAdd((u64*)to, (u64)value);
}

// The sum over the threads before this one; `*all` is that of all. Every thread of a block of THREADS takes part.
static __device__ __noinline__ u32 block_scan(u32 value, u32* all) {
    __shared__ u32 warp_sums[THREADS / WARP];
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    u32 sum = value;
    for (u32 step = 1; step < WARP; step *= 2) {
        u32 other = __shfl_up_sync(ALL_LANES, sum, step);
        if (lane >= step) sum += other;
    }
    if (lane == WARP - 1) warp_sums[warp] = sum;
    __syncthreads();
    u32 before = 0, total = 0;
    for (u32 other = 0; other < THREADS / WARP; other++) {
        if (other < warp) before += warp_sums[other];
        total += warp_sums[other];
    }
    // The next call writes again.
    __syncthreads();
    *all = total;
    return before + sum - value;
}

// Rows of a tile, so that `rows` rows keep all blocks busy.
static __device__ __noinline__ u32 tile_rows(const Job& job, u64 rows) {
    u64 tile = rows * job.group_count / job.sum_blocks + 1;
    if (tile < SUM_TILE_MIN) return SUM_TILE_MIN;
    return tile > SUM_TILE_MAX ? SUM_TILE_MAX : (u32)tile;
}

// The last `place` in [0, count) with first[place] <= at, where first rises and first[0] is 0.
static __device__ __forceinline__ u32 item_of(const u32* first, u32 count, u32 at) {
    u32 low = 0, high = count;
    while (high - low > 1) {
        u32 middle = (low + high) / 2;
        if (first[middle] <= at) low = middle;
        else high = middle;
    }
    return low;
}

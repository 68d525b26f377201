// What the tree does next: one block for each lane reads the best splits of the features, decides which nodes are split, makes their
// children and hands out work. The rules are those of `gbdt/grow.rs`.
#include "common.cuh"

// Reads what was searched into the nodes: for each, the best feature; ties go to the lower one. A warp for each node.
static __device__ void settle(const Job& job, u32 lane, const Settings& settings, const State& state, Node* nodes) {
    const Item* items = job.items + (u64)lane * job.slots;
    u32 sides = state.root ? 1 : 2;
    f64 least = settings.min_gain > 1e-12 ? settings.min_gain : 1e-12;
    for (u32 at = threadIdx.x / WARP; at < state.searched * sides; at += THREADS / WARP) {
        u32 number = at / sides, side = at % sides;
        const Item& item = items[number];
        if (!state.root && !item.parts) continue;
        const Candidate* of_node = job.candidates + (((u64)lane * job.slots + number) * 2 + side) * job.features;
        f64 gain = 0.0;
        u32 feature = NONE;
        for (u32 f = threadIdx.x % WARP; f < job.features; f += WARP) {
            bool better = feature == NONE || of_node[f].gain > gain;
            if (of_node[f].code != NONE && better) {
                gain = of_node[f].gain;
                feature = f;
            }
        }
        for (u32 step = WARP / 2; step > 0; step /= 2) {
            f64 other_gain = __shfl_down_sync(ALL_LANES, gain, step);
            u32 other = __shfl_down_sync(ALL_LANES, feature, step);
            bool better = feature == NONE || other_gain > gain || (other_gain == gain && other < feature);
            if (other != NONE && better) {
                gain = other_gain;
                feature = other;
            }
        }
        if (threadIdx.x % WARP != 0 || feature == NONE || !(gain > least)) continue;
        Node& node = nodes[state.root ? 0 : nodes[item.node].child + side];
        node.left = of_node[feature].left;
        node.gain = gain;
        node.feature = feature;
        node.bin = of_node[feature].code >> 1;
        node.default_left = !(of_node[feature].code & 1);
        node.open = 1;
    }
}

// Level by level: all open nodes of the level from the left, as many as leaves are left. Yields how many were chosen.
static __device__ u32 choose_level(const Job& job, u32 lane, u32 budget, const State& state, const Node* nodes, u32* next) {
    const Item* items = job.items + (u64)lane * job.slots;
    u32 sides = state.root ? 1 : 2, chosen = 0;
    u32 all = state.searched * sides;
    for (u32 from = 0; from < all; from += THREADS) {
        u32 at = from + threadIdx.x;
        u32 node = 0, is_open = 0;
        if (at < all) {
            const Item& item = items[at / sides];
            bool was_searched = state.root || item.parts;
            if (was_searched) {
                node = state.root ? 0 : nodes[item.node].child + at % sides;
                is_open = nodes[node].open;
            }
        }
        u32 count;
        u32 place = chosen + block_scan(is_open, &count);
        if (is_open && place < budget) next[place] = node;
        chosen += count;
    }
    return chosen < budget ? chosen : budget;
}

// The open node with the highest gain, ties to the older one. Yields 1 and writes it, or 0.
static __device__ u32 choose_best(u32 count, const Node* nodes, u32* next) {
    __shared__ f64 gains[THREADS / WARP];
    __shared__ u32 places[THREADS / WARP];
    f64 gain = 0.0;
    u32 place = NONE;
    for (u32 at = threadIdx.x; at < count; at += THREADS) {
        if (nodes[at].open && (place == NONE || nodes[at].gain > gain)) {
            gain = nodes[at].gain;
            place = at;
        }
    }
    for (u32 step = WARP / 2; step > 0; step /= 2) {
        f64 other_gain = __shfl_down_sync(ALL_LANES, gain, step);
        u32 other = __shfl_down_sync(ALL_LANES, place, step);
        bool better = place == NONE || other_gain > gain || (other_gain == gain && other < place);
        if (other != NONE && better) {
            gain = other_gain;
            place = other;
        }
    }
    if (threadIdx.x % WARP == 0) {
        gains[threadIdx.x / WARP] = gain;
        places[threadIdx.x / WARP] = place;
    }
    __syncthreads();
    u32 best = NONE;
    for (u32 warp = 0; warp < THREADS / WARP; warp++) {
        if (places[warp] == NONE) continue;
        bool better = best == NONE || gains[warp] > gains[best]
            || (gains[warp] == gains[best] && places[warp] < places[best]);
        if (better) best = warp;
    }
    if (best == NONE) return 0;
    if (threadIdx.x == 0) next[0] = places[best];
    return 1;
}

static __device__ void make_child(Node& child, Sum total, u32 depth, const Settings& settings, const State& state) {
    child.total = total;
    child.child = 0;
    child.begin = 0;
    child.count = 0;
    child.depth = depth;
    child.slot = NONE;
    child.open = 0;
    child.value = leaf_value(total, settings, state);
}

// Splits the node of an item: its children are the nodes `child` and `child + 1`.
static __device__ void split_node(
    Item& item, u32 at, u32 child, bool more, u32 slot, Node* nodes, const Settings& settings, const State& state) {
    Node& node = nodes[at];
    Sum right = {node.total.g - node.left.g, node.total.h - node.left.h};
    make_child(nodes[child], node.left, node.depth + 1, settings, state);
    make_child(nodes[child + 1], right, node.depth + 1, settings, state);
    node.child = child;
    node.open = 0;
    item.node = at;
    item.parts = more && node.depth + 1 < settings.depth_limit;
    item.fresh_slot = slot;
    item.kept_slot = node.slot;
    item.left_here = 0;
    item.right_here = 0;
    item.left_rows = 0;
    item.right_rows = 0;
    item.right_is_smaller = 0;
}

// grid (1, lanes).
extern "C" __global__ void plan(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    const Settings& settings = job.settings[lane];
    State& state = job.states[lane];
    if (state.done) return;
    Node* nodes = tree_of(job, lane);
    Item* items = job.items + (u64)lane * job.slots;
    // Free until the tiles of the rows are planned below.
    u32* first = job.part_first + (u64)lane * (job.slots + 1);
    u32* next = job.sum_first + (u64)lane * (job.slots + 1);
    settle(job, lane, settings, state, nodes);
    __syncthreads();
    u32 budget = settings.leaf_limit - state.leaves;
    u32 chosen = settings.growth == GROWTH_LOSSGUIDE
        ? choose_best(state.nodes, nodes, next)
        : choose_level(job, lane, budget, state, nodes, next);
    __syncthreads();
    bool more = state.leaves + chosen < settings.leaf_limit;
    u32 tiles = 0, parted = 0;
    for (u32 from = 0; from < chosen; from += THREADS) {
        u32 at = from + threadIdx.x, own_tiles = 0, own_parts = 0, count;
        if (at < chosen) {
            u32 node = next[at];
            own_parts = more && nodes[node].depth + 1 < settings.depth_limit;
            if (own_parts) own_tiles = (nodes[node].count + PART_TILE - 1) / PART_TILE;
        }
        u32 tile = tiles + block_scan(own_tiles, &count);
        tiles += count;
        u32 slot = state.slots + parted + block_scan(own_parts, &count);
        parted += count;
        if (at < chosen) {
            split_node(items[at], next[at], state.nodes + 2 * at, more, slot, nodes, settings, state);
            first[at] = tile;
        }
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    first[chosen] = tiles;
    state.items = chosen;
    state.part_tiles = tiles;
    state.nodes += 2 * chosen;
    state.leaves += chosen;
    state.slots += parted;
    state.searched = 0;
    state.sum_tiles = 0;
    state.root = 0;
    // Where no leaf may be added nothing is left to split, though nodes are open.
    state.done = chosen == 0 || !more;
    job.heads[(u64)lane * job.ring + state.place].nodes = state.nodes;
}

// grid (1, lanes), after `partition`: where the children's rows lie, whose histogram is built, and its tiles.
extern "C" __global__ void children(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    State& state = job.states[lane];
    if (state.done) return;
    Node* nodes = tree_of(job, lane);
    Item* items = job.items + (u64)lane * job.slots;
    u32* first = job.sum_first + (u64)lane * (job.slots + 1);
    u32 rows = 0;
    for (u32 from = 0; from < state.items; from += THREADS) {
        u32 at = from + threadIdx.x, own = 0, count;
        if (at < state.items && items[at].parts) {
            Item& item = items[at];
            const Node& parent = nodes[item.node];
            Node& left = nodes[parent.child];
            Node& right = nodes[parent.child + 1];
            // Every device of a run must build the same child: the host wrote the counts of all its rows.
            item.right_is_smaller = job.devices > 1
                ? item.right_rows < item.left_rows
                : item.right_here < item.left_here;
            u32 left_count = item.left_here;
            left.begin = parent.begin;
            left.count = left_count;
            right.begin = parent.begin + left_count;
            right.count = parent.count - left_count;
            left.slot = item.right_is_smaller ? item.kept_slot : item.fresh_slot;
            right.slot = item.right_is_smaller ? item.fresh_slot : item.kept_slot;
            own = item.right_is_smaller ? right.count : left.count;
        }
        block_scan(own, &count);
        rows += count;
    }
    u32 tile = tile_rows(job, rows), tiles = 0;
    for (u32 from = 0; from < state.items; from += THREADS) {
        u32 at = from + threadIdx.x, own = 0, count;
        if (at < state.items && items[at].parts) {
            const Node& smaller = nodes[nodes[items[at].node].child + items[at].right_is_smaller];
            own = (smaller.count + tile - 1) / tile;
        }
        u32 place = tiles + block_scan(own, &count);
        if (at < state.items) first[at] = place;
        tiles += count;
    }
    if (threadIdx.x != 0) return;
    first[state.items] = tiles;
    state.sum_tile_rows = tile;
    state.sum_tiles = tiles;
    state.searched = state.items;
}

// Adds the tree that was grown to the margins: every row walks down by its bins, in the order of the rows, so that a warp's reads of
// a column lie together.
#include "common.cuh"

// grid (blocks, lanes). The low bit of `step`: 0 is the training rows, 1 those that follow the training. The rest of it: 0 is the
// tree that was grown, n + 1 the one at place n of the ring.
extern "C" __global__ void update(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    if (!job.active[lane]) return;
    const Node* nodes = step < 2 ? tree_of(job, lane) : tree_at(job, lane, step / 2 - 1);
    bool follows = step & 1;
    u64 count = !follows ? job.row_count : job.valid_count;
    const u8* columns = !follows ? job.columns : job.valid_columns;
    f64* margins = (!follows ? job.margins : job.valid_margins) + (u64)lane * count;
    for (u64 row = (u64)blockIdx.x * THREADS + threadIdx.x; row < count; row += (u64)gridDim.x * THREADS) {
        u32 at = 0;
        while (nodes[at].child != 0) {
            u32 bin = columns[(u64)nodes[at].feature * count + row];
            bool goes_left = bin == MISSING ? nodes[at].default_left != 0 : bin <= nodes[at].bin;
            at = nodes[at].child + (goes_left ? 0 : 1);
        }
        margins[row] += (f64)nodes[at].value;
    }
}

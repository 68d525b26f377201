// Adds the tree that was grown to the margins: every row walks down by its bins, in the order of the rows, so that a warp's reads of
// a column lie together.
#include "common.cuh"

// grid (blocks, lanes). `step` 0 is the training rows, 1 those that follow the training.
extern "C" __global__ void update(const Job job, u32 step) {
    u32 lane = blockIdx.y;
    const Node* nodes = tree_of(job, lane);
    u64 count = step == 0 ? job.row_count : job.valid_count;
    const u8* columns = step == 0 ? job.columns : job.valid_columns;
    f64* margins = (step == 0 ? job.margins : job.valid_margins) + (u64)lane * count;
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

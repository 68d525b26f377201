// Everything that runs on a device, as one module.
#include "gradients.cu"
#include "histogram.cu"
#include "split.cu"
#include "plan.cu"
#include "partition.cu"
#include "update.cu"
#include "forest.cu"
#include "probe.cu"

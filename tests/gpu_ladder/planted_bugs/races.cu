// Planted races: ThreadSanitizer must report each at one of the marked lines, in any order of
// threads.
#include <cooperative_groups.h>

extern "C" __global__ void sum_within_block(const float* x, float* y, int n) {
  y[0] += x[threadIdx.x];  // BUG: needs an atomic or a reduction
}

extern "C" __global__ void sum_between_blocks(const float* x, float* y, int n) {
  if (threadIdx.x == 0) y[0] += x[blockIdx.x];  // BUG: one thread per block, but several blocks
}

extern "C" __global__ void no_barrier_before_read(const float* x, float* y, int n) {
  __shared__ float s[64];
  s[threadIdx.x] = x[threadIdx.x];  // BUG: no __syncthreads before the next line
  y[threadIdx.x] = s[63 - threadIdx.x];  // BUG
}

extern "C" __global__ void no_barrier_before_overwrite(const float* x, float* y, int n) {
  __shared__ float s[64];
  for (int t = 0; t < 2; ++t) {
    s[threadIdx.x] = x[threadIdx.x] + t;  // BUG: the neighbour may still read the previous round
    __syncthreads();
    y[threadIdx.x] = s[63 - threadIdx.x];  // BUG
  }
}

extern "C" __global__ void reduction_without_barrier(const float* x, float* y, int n) {
  __shared__ float s[64];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  for (int half = 32; half; half >>= 1)
    if (threadIdx.x < half) s[threadIdx.x] += s[threadIdx.x + half];  // BUG: no barrier after it
  __syncthreads();
  y[threadIdx.x] = s[0];
}

extern "C" __global__ void assumes_lockstep_warp(const float* x, float* y, int n) {
  __shared__ float s[32];
  s[threadIdx.x] = x[threadIdx.x];  // BUG: no __syncwarp before the next line
  y[threadIdx.x] = s[threadIdx.x ^ 1];  // BUG
}

extern "C" __global__ void shuffle_is_no_fence(const float* x, float* y, int n) {
  __shared__ float s[32];
  s[threadIdx.x] = x[threadIdx.x];  // BUG: a shuffle orders no memory
  const float other = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
  y[threadIdx.x] = other - s[threadIdx.x ^ 1];  // BUG
}

extern "C" __global__ void no_grid_barrier(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[i];  // BUG: __syncthreads does not wait for the other block
  __syncthreads();
  y[n + i] = y[n - 1 - i];  // BUG
}

extern "C" __global__ void one_grid_barrier_too_few(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  for (int t = 0; t < 2; ++t) {
    y[i] = x[i] + t;  // BUG: the other block may still read the previous round
    cooperative_groups::this_grid().sync();
    y[n + i] = y[n - 1 - i];  // BUG
  }
}

extern "C" __global__ void relies_on_block_order(const float* x, float* y, int n) {
  const int i = blockIdx.x;
  if (threadIdx.x == 0) y[i] = x[i] + (i ? y[i - 1] : 0);  // BUG: block i - 1 need not have run
}

extern "C" __global__ void overlapping_outputs(const float* x, float* y, int n) {
  const int i = threadIdx.x;
  y[i / 2] = x[i];  // BUG: two threads write one element
}

extern "C" __global__ void plain_read_beside_atomic(const float* x, float* y, int n) {
  atomicAdd(&y[0], x[threadIdx.x]);  // BUG: the line below reads while others still add
  y[1 + threadIdx.x] = y[0];  // BUG
}

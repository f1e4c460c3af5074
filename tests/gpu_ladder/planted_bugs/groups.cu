// Planted bugs of barriers and warps: the scheduler must refuse each launch, in every mode.
#include <cooperative_groups.h>

extern "C" __global__ void barrier_in_both_branches(const float* x, float* y, int n) {
  if (threadIdx.x < 8) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void barrier_in_one_branch(const float* x, float* y, int n) {
  if (threadIdx.x < 8) __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void barriers_of_different_number(const float* x, float* y, int n) {
  for (int k = 0; k < (threadIdx.x < 32 ? 2 : 3); ++k) __syncthreads();
  __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void returns_before_barrier(const float* x, float* y, int n) {
  if (threadIdx.x >= n - 1) return;
  __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void barrier_against_warp(const float* x, float* y, int n) {
  if (threadIdx.x < 16) __syncwarp();
  __syncthreads();
  y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void shuffle_from_lane_outside_mask(const float* x, float* y, int n) {
  float v = 0;
  if (threadIdx.x < 16) v = __shfl_sync(0xffffu, x[threadIdx.x], 20);
  y[threadIdx.x] = v;
}

extern "C" __global__ void shuffle_from_lane_beyond_block(const float* x, float* y, int n) {
  y[threadIdx.x] = __shfl_down_sync(0xffffffffu, x[threadIdx.x], 16);
}

extern "C" __global__ void shuffle_after_lanes_left(const float* x, float* y, int n) {
  if (threadIdx.x >= 24) return;
  y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
}

extern "C" __global__ void caller_not_in_mask(const float* x, float* y, int n) {
  y[threadIdx.x] = __shfl_sync(0x0000ffffu, x[threadIdx.x], 0);
}

extern "C" __global__ void divergent_shuffles(const float* x, float* y, int n) {
  if (threadIdx.x % 2)
    y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
  else
    y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
}

extern "C" __global__ void syncs_grid(const float* x, float* y, int n) {
  cooperative_groups::this_grid().sync();
  y[threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void one_block_skips_grid_sync(const float* x, float* y, int n) {
  if (blockIdx.x == 0) cooperative_groups::this_grid().sync();
  y[blockIdx.x * blockDim.x + threadIdx.x] = x[threadIdx.x];
}

extern "C" __global__ void uses_dynamic_shared(const float* x, float* y, int n) {
  extern __shared__ float s[];
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void uses_61440_bytes_of_static_shared(const float* x, float* y, int n) {
  __shared__ double s[7680];
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void waits_for_a_later_block(const float* x, int* flag, int n) {
  if (blockIdx.x == 0) {
    while (atomicAdd(flag, 0) == 0) {
    }
  } else {
    atomicExch(flag, 1);
  }
}

extern "C" __global__ void spins_on_what_nobody_writes(const float* x, int* flag, int n) {
  while (__ldcg(flag) == 0) {
  }
}

extern "C" __global__ void __launch_bounds__(32) bounded_by_32(const float* x, float* y, int n) {
  y[threadIdx.x] = x[threadIdx.x];
}

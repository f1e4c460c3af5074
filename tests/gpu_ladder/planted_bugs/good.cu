// Correct kernels that use all that the planted bugs misuse: no mode may complain, no order may
// matter.
#include <cooperative_groups.h>

extern "C" __global__ void __launch_bounds__(64) scale(const float* x, float* y, float a, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i];
}

template <class F, int WIDTH>
__global__ void __launch_bounds__(WIDTH) add_optional(const F* x, const F* bias, F* y, int n) {
  const int i = blockIdx.x * WIDTH + threadIdx.x;
  if (i < n) y[i] = bias ? x[i] + bias[i] : x[i];
}

// One block per row: maximum and sum through shuffles and shared memory.
__device__ float across_block(float v, float* s, bool is_sum) {
  for (int lanes = 16; lanes; lanes >>= 1) {
    const float other = __shfl_xor_sync(0xffffffffu, v, lanes);
    v = is_sum ? v + other : max(v, other);
  }
  if (threadIdx.x % warpSize == 0) s[threadIdx.x / warpSize] = v;
  __syncthreads();
  v = s[0];
  for (int w = 1; w < blockDim.x / warpSize; ++w) v = is_sum ? v + s[w] : max(v, s[w]);
  __syncthreads();  // s is used again
  return v;
}

extern "C" __global__ void __launch_bounds__(64) softmax(const float* x, float* y, int n) {
  __shared__ float s[2];
  const float* row = x + (size_t)blockIdx.x * n;
  float top = __int_as_float(0xff800000);  // -inf
  for (int i = threadIdx.x; i < n; i += blockDim.x) top = max(top, row[i]);
  top = across_block(top, s, false);
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += __expf(row[i] - top);
  sum = across_block(sum, s, true);
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    y[(size_t)blockIdx.x * n + i] = __expf(row[i] - top) / sum;
}

extern "C" __global__ void reverse_twice(const float* x, float* y, int n) {
  extern __shared__ float s[];
  float v = x[threadIdx.x];
  for (int round = 0; round < 2; ++round) {
    s[threadIdx.x] = v;
    __syncthreads();
    v = s[n - 1 - threadIdx.x] + round;
    __syncthreads();
  }
  y[threadIdx.x] = v;
}

extern "C" __global__ void swap_in_warp(const float* x, float* y, int n) {
  __shared__ float s[32];
  s[threadIdx.x] = x[threadIdx.x];
  __syncwarp();
  y[threadIdx.x] = s[threadIdx.x ^ 1];
}

extern "C" __global__ void scale_vectors(const float4* x, float4* y, int n) {
  const int i = threadIdx.x;
  if (i >= n) return;
  const float4 v = x[i];
  y[i] = make_float4(2 * v.x, 2 * v.y, 2 * v.z, 2 * v.w);
}

extern "C" __global__ void count_positive(const float* x, int* count, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const unsigned votes = __ballot_sync(0xffffffffu, i < n && x[i] > 0);
  const int in_block = __syncthreads_count(i < n && x[i] > 0);
  if (threadIdx.x == 0) atomicAdd(&count[0], in_block);
  if (threadIdx.x % 32 == 0) atomicAdd(&count[1], __popc(votes));
}

extern "C" __global__ void ping_pong(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  float v = x[i];
  for (int t = 0; t < 3; ++t) {
    y[i] = v;
    cooperative_groups::this_grid().sync();
    v = y[n - 1 - i] + 1;
    cooperative_groups::this_grid().sync();
  }
  y[i] = v;
}

// A grid barrier by hand: the last block to arrive opens the next generation.
__device__ void meet(unsigned* arrived, unsigned* generation) {
  __syncthreads();
  if (threadIdx.x == 0) {
    const unsigned now = __ldcg(generation);
    __threadfence();
    if (atomicAdd(arrived, 1u) == gridDim.x - 1) {
      *arrived = 0;
      __threadfence();
      atomicAdd(generation, 1u);
    } else {
      while (__ldcg(generation) == now) __nanosleep(20);
    }
    __threadfence();
  }
  __syncthreads();
}

extern "C" __global__ void ping_pong_by_hand(const float* x, float* y, unsigned* barrier, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  float v = x[i];
  for (int t = 0; t < 3; ++t) {
    __stcg(&y[i], v);
    meet(barrier, barrier + 1);
    v = __ldcg(&y[n - 1 - i]) + 1;
    meet(barrier, barrier + 1);
  }
  y[i] = v;
}

extern "C" __global__ void sum_in_tiles(const float* x, float* y, int n) {
  const auto tile =
      cooperative_groups::tiled_partition<8>(cooperative_groups::this_thread_block());
  float v = x[blockIdx.x * blockDim.x + threadIdx.x];
  for (int lanes = 4; lanes; lanes >>= 1) v += tile.shfl_down(v, lanes);
  if (tile.thread_rank() == 0) y[(blockIdx.x * blockDim.x + threadIdx.x) / 8] = v;
}

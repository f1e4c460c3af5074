// Planted bugs that only a wrong value shows: in one of the three orders, or through the NaN that
// fills shared memory and outputs.

extern "C" __global__ void accumulates_into_unset_shared(const float* x, float* y, int n) {
  __shared__ float total;
  atomicAdd(&total, x[threadIdx.x]);
  __syncthreads();
  y[threadIdx.x] = total;
}

extern "C" __global__ void reads_unset_shared(const float* x, float* y, int n) {
  __shared__ float s[65];
  s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x + 1] - s[threadIdx.x];
}

extern "C" __global__ void leaves_the_rest_unwritten(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i];
}

extern "C" __global__ void right_only_forward(const float* x, float* y, int n) {
  __shared__ float s[64];
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[threadIdx.x / 2];
}

extern "C" __global__ void right_only_backward(const float* x, float* y, int n) {
  __shared__ float s[64];
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[63 - (63 - threadIdx.x) / 2];
}

extern "C" __global__ void right_only_in_block_order(const float* x, float* y, int n) {
  y[blockIdx.x] = x[blockIdx.x] + (blockIdx.x ? y[blockIdx.x - 1] : 0);
}

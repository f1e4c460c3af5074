// Planted bugs that AddressSanitizer or UndefinedBehaviorSanitizer must report at the marked line.

extern "C" __global__ void write_without_guard(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = 2 * i;  // BUG: i < n is missing
}

extern "C" __global__ void read_without_guard(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const float value = x[i];  // BUG: read before the guard
  if (i < n || value < 0) y[i % n] = value;
}

extern "C" __global__ void guard_off_by_one(const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n) y[i] = x[0];  // BUG: <= instead of <
}

extern "C" __global__ void read_before_array(const float* x, float* y, int n) {
  const int i = threadIdx.x;
  if (i < n) y[i] = x[i - 1];  // BUG: x[-1] in thread 0
}

extern "C" __global__ void read_next_row(const float* x, float* y, int n) {
  const int i = threadIdx.x;
  y[i] = x[i] + x[i + blockDim.x];  // BUG: there is one row only
}

extern "C" __global__ void static_shared_too_small(const float* x, float* y, int n) {
  __shared__ float s[32];
  s[threadIdx.x] = x[threadIdx.x];  // BUG: 64 threads
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}

__device__ float first_of_next(const float* row);

extern "C" __global__ void static_shared_by_pointer(const float* x, float* y, int n) {
  __shared__ float s[32];
  if (threadIdx.x < 32) s[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = first_of_next(s);
}

__device__ float first_of_next(const float* row) {
  return row[32];  // BUG: one past the row
}

extern "C" __global__ void dynamic_shared_too_small(const float* x, float* y, int n) {
  extern __shared__ float s[];
  s[threadIdx.x] = x[threadIdx.x];  // BUG: launched with half the bytes
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void local_array_too_small(const float* x, float* y, int n) {
  float window[4];
  for (int k = 0; k < 4; ++k) window[k] = x[k];
  y[threadIdx.x] = window[(n >> 1) & 63];  // BUG: n / 2 = 32
}

extern "C" __global__ void index_overflows_int(const float* x, float* y, int n) {
  const int big = 1 << 26;
  const int offset = n * big;  // BUG: 64 * 2^26 needs 64 bits
  y[threadIdx.x] = offset > 0 ? x[0] : x[1];
}

extern "C" __global__ void misaligned_vector(const float* x, float* y, int n) {
  const float4 v = *(const float4*)(x + 1);  // BUG: 16 bytes from an address of 4
  y[threadIdx.x] = v.x + v.w;
}

extern "C" __global__ void divides_by_zero(const float* x, float* y, int n) {
  y[threadIdx.x] = n / ((int)threadIdx.x - 3);  // BUG: thread 3
}

extern "C" __global__ void float_does_not_fit(const float* x, float* y, int n) {
  y[threadIdx.x] = (int)(x[n - 1] * 1e12f);  // BUG: beyond int
}

extern "C" __global__ void shifts_too_far(const float* x, float* y, int n) {
  y[threadIdx.x] = 1 << (n / 2);  // BUG: 32 bits
}

extern "C" __global__ void reads_missing_optional(const float* x, float* y, int n) {
  y[threadIdx.x] = x[threadIdx.x];  // BUG: x may be NULL
}

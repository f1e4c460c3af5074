// Everything by which CUDA threads wait for each other: barriers, warp intrinsics, shared memory.
//
// Each function hands the line of its call to the runtime, which compares the lines at which the
// threads of one group arrive: two lines at one barrier are a divergent barrier.
#pragma once

// One number per __shared__ variable and template instance: the lambda's static is unique to both.
#define CUSIM_SHARED_ID ([] { static const int id = cusim_new_shared_id(); return id; }())
#define CUSIM_LINE int line_ = __builtin_LINE()

static inline void __syncthreads(CUSIM_LINE) { cusim_syncthreads(0, CUSIM_NONE, line_); }
static inline int __syncthreads_count(int p, CUSIM_LINE) {
  return cusim_syncthreads(p, CUSIM_COUNT, line_);
}
static inline int __syncthreads_and(int p, CUSIM_LINE) {
  return cusim_syncthreads(p, CUSIM_AND, line_);
}
static inline int __syncthreads_or(int p, CUSIM_LINE) {
  return cusim_syncthreads(p, CUSIM_OR, line_);
}

static inline void __syncwarp(unsigned mask = 0xffffffffu, CUSIM_LINE) {
  cusim_warp(mask, nullptr, nullptr, 0, -1, CUSIM_SYNCWARP, line_);
}
static inline unsigned __ballot_sync(unsigned mask, int predicate, CUSIM_LINE) {
  const char vote = predicate != 0;
  return cusim_warp(mask, &vote, nullptr, 1, -1, CUSIM_BALLOT, line_);
}
static inline int __any_sync(unsigned mask, int predicate, CUSIM_LINE) {
  return __ballot_sync(mask, predicate, line_) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, CUSIM_LINE) {
  return __ballot_sync(mask, !predicate, line_) == 0;
}
static inline unsigned __activemask() { return cusim_live_lanes(); }

template <class T>
static inline T cusim_read_lane(unsigned mask, T value, int source, int line) {
  static_assert(sizeof(T) <= 16, "a shuffle moves at most 16 bytes");
  T result;
  cusim_warp(mask, &value, &result, sizeof(T), source, CUSIM_SHUFFLE, line);
  return result;
}

// A source outside the caller's segment of `width` lanes means the caller's own value, as in CUDA.
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, CUSIM_LINE) {
  const int first = cusim_lane() & ~(width - 1);
  return cusim_read_lane(mask, value, first + (source & (width - 1)), line_);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, CUSIM_LINE) {
  const int lane = cusim_lane(), source = lane ^ bits, end = (lane & ~(width - 1)) + width;
  return cusim_read_lane(mask, value, source < end ? source : lane, line_);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                                 CUSIM_LINE) {
  const int lane = cusim_lane(), inside = (lane & (width - 1)) + (int)delta < width;
  return cusim_read_lane(mask, value, inside ? lane + (int)delta : lane, line_);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, CUSIM_LINE) {
  const int lane = cusim_lane(), inside = (lane & (width - 1)) >= (int)delta;
  return cusim_read_lane(mask, value, inside ? lane - (int)delta : lane, line_);
}

static inline void __nanosleep(unsigned, CUSIM_LINE) { cusim_yield(line_); }
static inline void __trap(CUSIM_LINE) { cusim_trap(line_); }
// One OS thread runs all fibers, so memory is always consistent: a missing fence is not seen here.
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}

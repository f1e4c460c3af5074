// The part of <cooperative_groups.h> that kernels here may use: grid, block and tiles of a warp.
#pragma once

namespace cooperative_groups {

struct thread_block {
  void sync(CUSIM_LINE) const { __syncthreads(line_); }
  unsigned size() const { return blockDim.x * blockDim.y * blockDim.z; }
  unsigned thread_rank() const {
    return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  }
};

struct grid_group {
  void sync(CUSIM_LINE) const { cusim_gridsync(line_); }
  bool is_valid() const { return cusim_is_cooperative(); }
  unsigned long long size() const {
    return (unsigned long long)gridDim.x * gridDim.y * gridDim.z * thread_block().size();
  }
  unsigned long long thread_rank() const {
    const unsigned long long block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    return block * thread_block().size() + thread_block().thread_rank();
  }
};

template <unsigned N> struct thread_block_tile {
  static unsigned mask() {
    return N == 32 ? 0xffffffffu : ((1u << (N & 31)) - 1) << (cusim_lane() & ~(N - 1));
  }
  static constexpr unsigned size() { return N; }
  unsigned thread_rank() const { return cusim_lane() & (N - 1); }
  void sync(CUSIM_LINE) const { __syncwarp(mask(), line_); }
  template <class T> T shfl(T value, int source, CUSIM_LINE) const {
    return __shfl_sync(mask(), value, source, N, line_);
  }
  template <class T> T shfl_xor(T value, int bits, CUSIM_LINE) const {
    return __shfl_xor_sync(mask(), value, bits, N, line_);
  }
  template <class T> T shfl_down(T value, unsigned delta, CUSIM_LINE) const {
    return __shfl_down_sync(mask(), value, delta, N, line_);
  }
  template <class T> T shfl_up(T value, unsigned delta, CUSIM_LINE) const {
    return __shfl_up_sync(mask(), value, delta, N, line_);
  }
};

inline grid_group this_grid() { return {}; }
inline thread_block this_thread_block() { return {}; }
template <unsigned N, class Group> thread_block_tile<N> tiled_partition(const Group&) { return {}; }

}  // namespace cooperative_groups

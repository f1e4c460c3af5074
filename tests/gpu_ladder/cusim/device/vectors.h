// CUDA's built-in vector types with their sizes and alignments, and dim3.
#pragma once

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// The alignments are the GPU's: a misaligned float4 access must be an error here as it is there.
#define CUSIM_VECTORS(T, NAME, ALIGN2, ALIGN4)                                                     \
  struct alignas(ALIGN2) NAME##2 { T x, y; };                                                      \
  struct alignas(ALIGN4) NAME##4 { T x, y, z, w; };                                                \
  static inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; }                                \
  static inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }

CUSIM_VECTORS(float, float, 8, 16)
CUSIM_VECTORS(double, double, 16, 16)
CUSIM_VECTORS(int, int, 8, 16)
CUSIM_VECTORS(unsigned, uint, 8, 16)

struct float3 {
  float x, y, z;
};
struct int3 {
  int x, y, z;
};
static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline int3 make_int3(int x, int y, int z) { return {x, y, z}; }
static inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

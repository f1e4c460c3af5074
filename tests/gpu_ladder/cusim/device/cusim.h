// CUDA C++'s device language as plain C++17, force-included (g++ -include) before a .cu file.
//
// The .cu stays as it is; only its __shared__ declarations are rewritten (translate.py). A CUDA
// thread is a fiber of the runtime beside this folder. A .cu may ask `#ifdef CUSIM` where it needs
// a fallback for something that cannot run here (inline PTX, tensor cores).
#pragma once
#define CUSIM 1

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// NVRTC has no standard headers, so a kernel that relies on these would not compile on the GPU.
#undef INFINITY
#undef NAN
#undef M_PI

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)  // translate.py puts a check into the kernel's body
#define __forceinline__ inline __attribute__((always_inline))
#undef __noinline__
#define __noinline__ __attribute__((noinline))
#define __align__(n) alignas(n)

#include "vectors.h"

// The scheduler sets the first two whenever it switches to another thread, the others once per
// launch.
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

#include "protocol.h"

#include "groups.h"
#include "intrinsics.h"
#include "atomics.h"
#include "launch.h"

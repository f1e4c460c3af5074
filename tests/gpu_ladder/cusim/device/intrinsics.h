// Arithmetic, bit and load/store intrinsics. The fast ones are exact here: compare with the GPU's
// tolerance. Macros stand where glibc already declares the name.
#pragma once

#define __expf(x) expf(x)
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __tanhf(x) tanhf(x)

static inline float __fdividef(float x, float y) { return x / y; }
static inline float fdividef(float x, float y) { return x / y; }
static inline float __fdiv_rn(float x, float y) { return x / y; }
static inline float __frcp_rn(float x) { return 1.f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fadd_rn(float x, float y) { return x + y; }
static inline float __fsub_rn(float x, float y) { return x - y; }
static inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
static inline double __dmul_rn(double x, double y) { return x * y; }
static inline double __dadd_rn(double x, double y) { return x + y; }
static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline double rsqrt(double x) { return 1. / sqrt(x); }
static inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }

// CUDA's min and max take mixed integer types; for floats they return the number when one is NaN.
static inline float max(float x, float y) { return fmaxf(x, y); }
static inline float min(float x, float y) { return fminf(x, y); }
static inline double max(double x, double y) { return fmax(x, y); }
static inline double min(double x, double y) { return fmin(x, y); }
template <class A, class B>
static inline auto max(A x, B y) -> decltype(x + y) { return (decltype(x + y))x > y ? x : y; }
template <class A, class B>
static inline auto min(A x, B y) -> decltype(x + y) { return (decltype(x + y))x < y ? x : y; }

template <class To, class From>
static inline To cusim_bits(From value) {
  static_assert(sizeof(To) == sizeof(From), "a bit cast keeps the size");
  To result;
  memcpy(&result, &value, sizeof result);
  return result;
}
static inline int __float_as_int(float x) { return cusim_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return cusim_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return cusim_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return cusim_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return cusim_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return cusim_bits<double>(x); }
static inline int __float2int_rn(float x) { return (int)lrintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline float __int2float_rn(int x) { return (float)x; }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline long long clock64() { return 0; }

template <class T>
static inline T __ldg(const T* p) { return *p; }
template <class T>
static inline T __ldcs(const T* p) { return *p; }
template <class T>
static inline void __stcs(T* p, T value) { *p = value; }
// Past L1, so other threads may look: atomic up to 8 bytes. The load lets the other threads run, so
// that a loop may spin on it.
template <class T>
static inline void __stcg(T* p, T value) {
  if constexpr (sizeof(T) <= 8) __atomic_store(p, &value, __ATOMIC_SEQ_CST);
  else *p = value;
}
template <class T>
static inline T __ldcg(const T* p, CUSIM_LINE) {
  cusim_yield(line_);
  T value;
  if constexpr (sizeof(T) <= 8) __atomic_load(p, &value, __ATOMIC_SEQ_CST);
  else value = *p;
  return value;
}

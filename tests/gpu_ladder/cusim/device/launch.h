// How Python calls a kernel: arguments arrive as one pointer each (as in cuLaunchKernel), their
// types are deduced from the kernel's own signature, which kernel.py reads back and checks.
#pragma once

#include <utility>

// NumPy's name of a scalar type; of a vector type its element's; "?" for what Python cannot pass.
template <class T> struct cusim_dtype { static constexpr const char* name = "?"; };
#define CUSIM_DTYPE(T, NAME)                                                                       \
  template <> struct cusim_dtype<T> { static constexpr const char* name = NAME; };
CUSIM_DTYPE(float, "f4") CUSIM_DTYPE(float2, "f4") CUSIM_DTYPE(float4, "f4")
CUSIM_DTYPE(double, "f8") CUSIM_DTYPE(double2, "f8") CUSIM_DTYPE(bool, "b1")
CUSIM_DTYPE(int, "i4") CUSIM_DTYPE(int2, "i4") CUSIM_DTYPE(int4, "i4") CUSIM_DTYPE(unsigned, "u4")
CUSIM_DTYPE(long, "i8") CUSIM_DTYPE(long long, "i8") CUSIM_DTYPE(unsigned long, "u8")
CUSIM_DTYPE(unsigned long long, "u8") CUSIM_DTYPE(short, "i2") CUSIM_DTYPE(unsigned short, "u2")
CUSIM_DTYPE(signed char, "i1") CUSIM_DTYPE(unsigned char, "u1")

// One parameter as text: "f4", "*f4" (the kernel may write through it), "*const f4".
template <class T> struct cusim_parameter {
  static constexpr const char* prefix = "";
  static constexpr const char* dtype = cusim_dtype<T>::name;
};
template <class T> struct cusim_parameter<T*> {
  static constexpr const char* prefix = "*";
  static constexpr const char* dtype = cusim_dtype<T>::name;
};
template <class T> struct cusim_parameter<const T*> {
  static constexpr const char* prefix = "*const ";
  static constexpr const char* dtype = cusim_dtype<T>::name;
};

template <class... A> struct cusim_call {
  void (*kernel)(A...);
  void** arguments;

  // Not instrumented: reading the argument block is the driver's doing, not the kernel's.
  template <size_t... I>
  __attribute__((no_sanitize_thread)) void run(std::index_sequence<I...>) {
    kernel(*(std::remove_const_t<A>*)arguments[I]...);
  }
  static void thread(void* self) { ((cusim_call*)self)->run(std::index_sequence_for<A...>()); }
};

template <class... A>
static int cusim_launch(void (*kernel)(A...), void** arguments, const cusim_request* request) {
  cusim_call<A...> call{kernel, arguments};
  return cusim_run(request, &cusim_call<A...>::thread, &call);
}

template <class... A> static void cusim_describe(void (*)(A...), char* text, size_t bytes) {
  const char* prefix[] = {cusim_parameter<std::remove_const_t<A>>::prefix..., nullptr};
  const char* dtype[] = {cusim_parameter<std::remove_const_t<A>>::dtype..., nullptr};
  size_t at = 0;
  text[0] = 0;
  for (size_t i = 0; i < sizeof...(A) && at < bytes; ++i)
    at += snprintf(text + at, bytes - at, "%s%s;", prefix[i], dtype[i]);
}

#define CUSIM_EXPORT(SYMBOL, KERNEL)                                                               \
  extern "C" int cusim_launch_##SYMBOL(void** arguments, const cusim_request* request) {           \
    return cusim_launch(KERNEL, arguments, request);                                               \
  }                                                                                                \
  extern "C" void cusim_describe_##SYMBOL(char* text, size_t bytes) {                              \
    cusim_describe(KERNEL, text, bytes);                                                           \
  }

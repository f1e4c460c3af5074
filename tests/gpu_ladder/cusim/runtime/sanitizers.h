// The calls by which AddressSanitizer and ThreadSanitizer learn of fibers; empty without them.
//
// ThreadSanitizer must see CUDA threads as concurrent although one OS thread runs them in turn:
// a switch of fibers is therefore declared as no synchronisation, and only barriers release and
// acquire a clock.
#pragma once

#if defined(CUSIM_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(CUSIM_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace cusim {

inline void release_clock(void* clock) {
#if defined(CUSIM_TSAN)
  __tsan_release(clock);
#endif
  (void)clock;
}

inline void acquire_clock(void* clock) {
#if defined(CUSIM_TSAN)
  __tsan_acquire(clock);
#endif
  (void)clock;
}

// What the sanitizers keep for one context: ASan its fake stack, TSan its fiber.
struct Shadow {
  void* fake_stack = nullptr;
  void* fiber = nullptr;

  void adopt_current() {
#if defined(CUSIM_TSAN)
    fiber = __tsan_get_current_fiber();
#endif
  }
  void create() {
#if defined(CUSIM_TSAN)
    fiber = __tsan_create_fiber(0);
#endif
  }
  void destroy(void* stack, unsigned long bytes) {
#if defined(CUSIM_ASAN)
    __asan_unpoison_memory_region(stack, bytes);
#endif
#if defined(CUSIM_TSAN)
    __tsan_destroy_fiber(fiber);
#endif
    (void)stack, (void)bytes;
  }
};

// Called right before a switch from `from` (null: it never runs again) to `to` on the given stack.
inline void before_switch(Shadow* from, Shadow* to, const void* stack, unsigned long bytes) {
#if defined(CUSIM_ASAN)
  __sanitizer_start_switch_fiber(from ? &from->fake_stack : nullptr, stack, bytes);
#endif
#if defined(CUSIM_TSAN)
  __tsan_switch_to_fiber(to->fiber, __tsan_switch_to_fiber_no_sync);
#endif
  (void)from, (void)to, (void)stack, (void)bytes;
}

// Called right after a switch has arrived in `here`; reports the stack that it came from.
inline void after_switch(Shadow* here, const void** stack, unsigned long* bytes) {
#if defined(CUSIM_ASAN)
  __sanitizer_finish_switch_fiber(here ? here->fake_stack : nullptr, stack, bytes);
#endif
  (void)here, (void)stack, (void)bytes;
}

}  // namespace cusim

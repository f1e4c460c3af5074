// What the scheduler (scheduler.cpp) and the thread groups (groups.cpp) share.
//
// Compiled without instrumentation, whatever the mode: it plays the hardware. In ThreadSanitizer
// mode it must not call memcpy or memset on the kernel's data either: the sanitizer intercepts
// those.
#pragma once

#include <stddef.h>
#include <ucontext.h>

#include <vector>

#include "protocol.h"
#include "sanitizers.h"
#include "vectors.h"

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace cusim {

constexpr int MAX_SHARED_VARIABLES = 512;  // of all kernels and template instances in a file

// A barrier of a block or a grid. Its clock alternates from one use to the next: with a single
// one, a fast thread's next phase would leak to a slow thread still leaving, and hide a
// write-after-read race.
struct Barrier {
  unsigned generation = 0;
  int arrived = 0, line = 0, accumulated = 0, result = 0;
  char clock[2];
};

// One warp intrinsic in flight: lanes of one mask arrive, then all leave, then the slot is free
// again.
struct WarpOperation {
  unsigned mask = 0, arrived = 0, left = 0, generation = 0, drained = 0;
  int line = 0, kind = 0;
  unsigned char value[32][16];
  char clock[2];
};

struct Warp {
  unsigned lanes = 0, exited = 0;
  WarpOperation operations[6];  // disjoint masks may be in flight together
};

struct Block {
  uint3 index;
  int threads = 0, live = 0;
  size_t static_bytes = 0;
  Barrier barrier;
  std::vector<Warp> warps;
  void* shared[MAX_SHARED_VARIABLES] = {};  // by number; no vector: a thread must not allocate
  void* dynamic_shared = nullptr;
};

struct Fiber {
  ucontext_t context;
  Shadow shadow;
  char* stack = nullptr;
  Block* block = nullptr;
  uint3 index;
  int lane = 0, warp = 0;
  bool done = false;
  const unsigned* waits_for = nullptr;  // runnable again once *waits_for != old_value
  unsigned old_value = 0;
  const char* what = "running";  // for the deadlock message
  int line = 0;
};

struct Launch {
  void (*thread)(void*);
  void* arguments;
  bool cooperative, failed;
  size_t dynamic_bytes;
  int threads, live;  // of all blocks that run together
  Barrier barrier;    // of the grid
  long long events;   // arrivals, releases and exits: if it stands still, threads only spin
  char* error;
  size_t error_bytes;
};

extern Launch launch;
extern Fiber* current;  // null while the scheduler runs

// Records the first error with the current thread's indices and never returns to the kernel.
[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...);
// Parks the current thread until *word differs from old_value.
void wait_until_changed(const unsigned* word, unsigned old_value, const char* what, int line);
// Lets every other thread run once.
void yield(const char* what, int line);
// The current thread returned from the kernel: an error if others wait for it.
void leave_groups();
// Frees a finished block's shared memory.
void free_shared(Block& block);
// At the beginning of a launch.
void reset_shared_memory();

}  // namespace cusim

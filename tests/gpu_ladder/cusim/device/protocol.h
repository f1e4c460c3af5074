// What a compiled kernel file, the runtime and kernel.py agree on.
#pragma once

#include <stddef.h>

struct cusim_request {  // one launch; mirrored by kernel.py's ctypes structure
  unsigned grid[3], block[3];
  size_t dynamic_bytes;
  int cooperative;
  int order;  // a cusim_order
  unsigned seed;
  char* error;
  size_t error_bytes;
};

enum cusim_order { CUSIM_FORWARD, CUSIM_REVERSE, CUSIM_RANDOM };
enum cusim_reduction { CUSIM_NONE, CUSIM_COUNT, CUSIM_AND, CUSIM_OR };
enum cusim_warp_kind { CUSIM_SHUFFLE, CUSIM_SYNCWARP, CUSIM_BALLOT };

extern "C" {
// launch.h -> scheduler.cpp; 0 or, with a message in request->error, 1.
int cusim_run(const cusim_request* request, void (*thread)(void*), void* arguments);

// groups.h, atomics.h -> groups.cpp
int cusim_new_shared_id();
void* cusim_shared(int id, size_t bytes);
void* cusim_dynamic_shared(int line);
int cusim_syncthreads(int predicate, int reduction, int line);
unsigned cusim_warp(unsigned mask, const void* value, void* result, int bytes, int source, int kind,
                    int line);
void cusim_gridsync(int line);
void cusim_yield(int line);
void cusim_trap(int line);
void cusim_launch_bounds(unsigned max_threads);
int cusim_lane();
unsigned cusim_live_lanes();
bool cusim_is_cooperative();
}

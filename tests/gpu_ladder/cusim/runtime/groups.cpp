// Barriers, warp intrinsics and shared memory of the CPU shim, with the errors a GPU does not
// report.
#include "runtime.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>


namespace cusim {
namespace {

constexpr int STATIC_SHARED_LIMIT = 48 << 10;   // of every GPU; NVRTC rejects more
constexpr int BLOCK_SHARED_LIMIT = 227 << 10;   // of sm_90 and sm_100, static and dynamic together

#if defined(CUSIM_TSAN)
// Outside malloc, where a free would count as a write, and never reused within one launch.
constexpr size_t ARENA_BYTES = size_t(1) << 30;
char* arena = nullptr;
size_t arena_used = 0;

void* allocate(size_t bytes) {
  char* memory = arena + arena_used;
  arena_used += (bytes + 127) & ~size_t(63);
  if (arena == (char*)MAP_FAILED || arena_used > ARENA_BYTES) fail("out of shared memory arena");
  return memory;
}
void release(void*) {}
#else
// Of the exact size, so that AddressSanitizer sees the first byte behind it.
void* allocate(size_t bytes) {
  void* memory = malloc(bytes);
  if (!memory) fail("out of memory for %zu bytes of shared memory", bytes);
  return memory;
}
void release(void* memory) { free(memory); }
#endif

// 0xff in every byte is NaN in a float and -1 in an int: a read before any write shows.
void* allocate_poisoned(size_t bytes) {
  unsigned char* memory = (unsigned char*)allocate(bytes);
  for (size_t i = 0; i < bytes; ++i) memory[i] = 0xff;
  return memory;
}

int arrive(Barrier& barrier, int threads, int live, int predicate, int reduction, const char* what,
           int line) {
  if (live < threads)
    fail("%s at line %d, but %d of %d threads have already returned", what, line, threads - live,
         threads);
  if (barrier.arrived == 0) {
    barrier.line = line;
    barrier.accumulated = reduction == CUSIM_AND;
  } else if (barrier.line != line) {
    fail("divergent barrier: %s reached at line %d by some threads and at line %d by others", what,
         barrier.line, line);
  }
  if (reduction == CUSIM_COUNT) barrier.accumulated += predicate != 0;
  if (reduction == CUSIM_AND) barrier.accumulated &= predicate != 0;
  if (reduction == CUSIM_OR) barrier.accumulated |= predicate != 0;

  const unsigned generation = barrier.generation;
  char* clock = &barrier.clock[generation & 1];
  release_clock(clock);
  launch.events++;
  if (++barrier.arrived == threads) {
    barrier.result = barrier.accumulated;
    barrier.arrived = 0;
    barrier.generation++;
  } else {
    wait_until_changed(&barrier.generation, generation, what, line);
  }
  acquire_clock(clock);
  return barrier.result;
}

WarpOperation& find_operation(Warp& warp, unsigned mask) {
  for (auto& operation : warp.operations)
    if (operation.arrived && operation.mask == mask) return operation;
  for (auto& operation : warp.operations)
    if (!operation.arrived) {
      operation.mask = mask;
      return operation;
    }
  fail("more than 6 different masks wait in one warp");
}

}  // namespace

void reset_shared_memory() {
#if defined(CUSIM_TSAN)
  // Here, where no fiber runs: ThreadSanitizer takes an mmap for a write of the one that calls it.
  if (!arena)
    arena = (char*)mmap(nullptr, ARENA_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  arena_used = 0;
#endif
}

void free_shared(Block& block) {
  for (void* memory : block.shared) release(memory);
  release(block.dynamic_shared);
}

void leave_groups() {
  Fiber& me = *current;
  Block& block = *me.block;
  Warp& warp = block.warps[me.warp];
  const unsigned bit = 1u << me.lane;
  warp.exited |= bit;
  block.live--;
  launch.live--;
  launch.events++;
  if (block.barrier.arrived)
    fail("a thread returned while others wait at __syncthreads (line %d)", block.barrier.line);
  if (launch.cooperative && launch.barrier.arrived)
    fail("a thread returned while others wait at grid.sync (line %d)", launch.barrier.line);
  for (auto& operation : warp.operations)
    if ((operation.mask & bit) && operation.arrived && !(operation.arrived & bit))
      fail("a thread returned while its warp waits for it at a warp intrinsic (line %d)",
           operation.line);
}

}  // namespace cusim

using namespace cusim;

extern "C" {

int cusim_new_shared_id() {
  static int next = 0;
  return next++;
}

void* cusim_shared(int id, size_t bytes) {
  Block& block = *current->block;
  if (id >= MAX_SHARED_VARIABLES) fail("more than %d __shared__ variables", MAX_SHARED_VARIABLES);
  if (!block.shared[id]) {
    block.static_bytes += bytes;
    if (block.static_bytes > STATIC_SHARED_LIMIT)
      fail("%zu bytes of static __shared__ memory exceed the %d of every GPU", block.static_bytes,
           STATIC_SHARED_LIMIT);
    if (block.static_bytes + launch.dynamic_bytes > BLOCK_SHARED_LIMIT)
      fail("%zu bytes of static and %zu of dynamic shared memory exceed %d per block",
           block.static_bytes, launch.dynamic_bytes, BLOCK_SHARED_LIMIT);
    block.shared[id] = allocate_poisoned(bytes);
  }
  return block.shared[id];
}

void* cusim_dynamic_shared(int line) {
  Block& block = *current->block;
  if (!launch.dynamic_bytes)
    fail("extern __shared__ at line %d, but the launch has shared_mem=0", line);
  if (!block.dynamic_shared) block.dynamic_shared = allocate_poisoned(launch.dynamic_bytes);
  return block.dynamic_shared;
}

int cusim_syncthreads(int predicate, int reduction, int line) {
  Block& block = *current->block;
  return arrive(block.barrier, block.threads, block.live, predicate, reduction, "__syncthreads",
                line);
}

void cusim_gridsync(int line) {
  if (!launch.cooperative)
    fail("grid.sync at line %d in a launch that is not cooperative: "
         "pass enable_cooperative_groups=True", line);
  arrive(launch.barrier, launch.threads, launch.live, 0, CUSIM_NONE, "grid.sync", line);
}

void cusim_yield(int line) { yield("an atomic or a polling load", line); }
void cusim_launch_bounds(unsigned max_threads) {
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  if (threads > max_threads)
    fail("%u threads per block exceed __launch_bounds__(%u)", threads, max_threads);
}
void cusim_trap(int line) { fail("__trap() at line %d", line); }
int cusim_lane() { return current->lane; }
bool cusim_is_cooperative() { return launch.cooperative; }

unsigned cusim_live_lanes() {
  const Warp& warp = current->block->warps[current->warp];
  return warp.lanes & ~warp.exited;
}

// Meets the lanes of `mask`. A shuffle returns lane `source`'s value, a ballot the votes as bits;
// only __syncwarp orders memory, so only it has a clock.
unsigned cusim_warp(unsigned mask, const void* value, void* result, int bytes, int source, int kind,
                    int line) {
  Warp& warp = current->block->warps[current->warp];
  const int lane = current->lane;
  const unsigned me = 1u << lane, expected = mask & warp.lanes;
  if (!(mask & me))
    fail("warp intrinsic at line %d: the calling lane is not in mask 0x%x", line, mask);
  if (expected & warp.exited)
    fail("warp intrinsic at line %d: the mask names lanes 0x%x, which have returned", line,
         expected & warp.exited);
  WarpOperation* operation = &find_operation(warp, mask);
  while (operation->arrived & me) {  // others have yet to leave this lane's previous intrinsic
    wait_until_changed(&operation->drained, operation->drained, "a warp intrinsic", line);
    operation = &find_operation(warp, mask);
  }
  if (!operation->arrived) {
    operation->line = line;
    operation->kind = kind;
  } else if (operation->line != line || operation->kind != kind) {
    fail("divergent warp intrinsic: line %d and line %d meet under mask 0x%x", operation->line,
         line, mask);
  }

  for (int i = 0; i < bytes; ++i) operation->value[lane][i] = ((const unsigned char*)value)[i];
  const unsigned generation = operation->generation;
  char* clock = &operation->clock[generation & 1];
  if (kind == CUSIM_SYNCWARP) release_clock(clock);
  operation->arrived |= me;
  launch.events++;
  if (operation->arrived == expected) operation->generation++;
  else wait_until_changed(&operation->generation, generation, "a warp intrinsic", line);
  if (kind == CUSIM_SYNCWARP) acquire_clock(clock);

  unsigned votes = 0;
  if (kind == CUSIM_BALLOT)
    for (int l = 0; l < 32; ++l)
      if ((expected >> l & 1) && operation->value[l][0]) votes |= 1u << l;
  if (kind == CUSIM_SHUFFLE) {
    if (source < 0 || source > 31 || !(expected >> source & 1))
      fail("shuffle at line %d reads lane %d, which is not in mask 0x%x or not in this block", line,
           source, mask);
    for (int i = 0; i < bytes; ++i) ((unsigned char*)result)[i] = operation->value[source][i];
  }
  operation->left |= me;
  if (operation->left == expected) {
    operation->left = operation->arrived = 0;
    operation->drained++;
  }
  return votes;
}

}  // extern "C"

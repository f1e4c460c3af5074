// One fiber per CUDA thread, all on one OS thread, so every launch is deterministic.
//
// A thread runs until it waits in a group, yields at an atomic or returns. The blocks of an
// ordinary launch run one after another, those of a cooperative launch together. The order of
// threads and blocks is forward, reverse or random: code that is right only in one of them has a
// race.
#include "runtime.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace cusim {

Launch launch;
Fiber* current = nullptr;

namespace {

constexpr size_t STACK_BYTES = 256 << 10, GUARD_BYTES = 4096;
// Rounds in which threads only spun; a spin barrier that works passes within a handful.
constexpr int SPIN_LIMIT = 20000;

ucontext_t scheduler_context;
Shadow scheduler_shadow;
const void* scheduler_stack;
unsigned long scheduler_stack_bytes;
std::vector<char*> free_stacks;
char exit_clock;

char* take_stack() {
  if (!free_stacks.empty()) {
    char* stack = free_stacks.back();
    free_stacks.pop_back();
    return stack;
  }
  char* memory = (char*)mmap(nullptr, GUARD_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  mprotect(memory, GUARD_BYTES, PROT_NONE);
  return memory + GUARD_BYTES;
}

void switch_to_scheduler(bool for_ever) {
  Fiber* me = current;
  before_switch(for_ever ? nullptr : &me->shadow, &scheduler_shadow, scheduler_stack,
                scheduler_stack_bytes);
  swapcontext(&me->context, &scheduler_context);
  after_switch(&me->shadow, &scheduler_stack, &scheduler_stack_bytes);
}

void run_until_it_parks(Fiber& fiber) {
  current = &fiber;
  threadIdx = fiber.index;
  blockIdx = fiber.block->index;
  before_switch(&scheduler_shadow, &fiber.shadow, fiber.stack, STACK_BYTES);
  swapcontext(&scheduler_context, &fiber.context);
  after_switch(&scheduler_shadow, nullptr, nullptr);
  current = nullptr;
}

void fiber_main() {
  after_switch(nullptr, &scheduler_stack, &scheduler_stack_bytes);
  launch.thread(launch.arguments);
  leave_groups();
  release_clock(&exit_clock);
  current->done = true;
  switch_to_scheduler(true);
}

struct Random {  // xorshift: the same order on every machine
  unsigned state;
  unsigned below(unsigned n) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state % n;
  }
  void shuffle(std::vector<int>& order) {
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[below(i)]);
  }
};

std::vector<int> ordered(size_t n, int order, Random& random) {
  std::vector<int> result(n);
  for (size_t i = 0; i < n; ++i) result[i] = order == CUSIM_REVERSE ? n - 1 - i : i;
  if (order == CUSIM_RANDOM) random.shuffle(result);
  return result;
}

bool create_fibers(Block& block, std::vector<Fiber>& fibers, size_t first) {
  for (int t = 0; t < block.threads; ++t) {
    Fiber& fiber = fibers[first + t];
    const unsigned plane = blockDim.x * blockDim.y;
    fiber.block = &block;
    fiber.index = {t % blockDim.x, t / blockDim.x % blockDim.y, t / plane};
    fiber.lane = t & 31;
    fiber.warp = t >> 5;
    block.warps[fiber.warp].lanes |= 1u << fiber.lane;
    if (!(fiber.stack = take_stack())) return false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = STACK_BYTES;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, fiber_main, 0);
    fiber.shadow.create();
  }
  return true;
}

void report(const char* what, const std::vector<Fiber>& fibers) {
  launch.failed = true;
  size_t at = snprintf(launch.error, launch.error_bytes, "%s:", what);
  std::vector<bool> counted(fibers.size());
  for (size_t i = 0; i < fibers.size() && at < launch.error_bytes; ++i) {
    if (fibers[i].done || counted[i]) continue;
    int threads = 0;
    for (size_t k = i; k < fibers.size(); ++k)
      if (!fibers[k].done && fibers[k].line == fibers[i].line &&
          !strcmp(fibers[k].what, fibers[i].what))
        counted[k] = true, ++threads;
    at += snprintf(launch.error + at, launch.error_bytes - at, " %d threads at %s (line %d);",
                   threads, fibers[i].what, fibers[i].line);
  }
}

void run_fibers(std::vector<Fiber>& fibers, int order, Random& random) {
  std::vector<int> turn = ordered(fibers.size(), order, random);
  int spins = 0;
  while (launch.live && !launch.failed) {
    bool ran = false;
    const long long events = launch.events;
    if (order == CUSIM_RANDOM) random.shuffle(turn);
    for (int i : turn) {
      Fiber& fiber = fibers[i];
      if (fiber.done || (fiber.waits_for && *fiber.waits_for == fiber.old_value)) continue;
      ran = true;
      run_until_it_parks(fiber);
      if (launch.failed) return;
    }
    spins = launch.events == events ? spins + 1 : 0;
    if (!ran) report("deadlock", fibers);
    else if (spins > SPIN_LIMIT) report("threads spin for ever", fibers);
  }
}

// Runs `blocks` of the grid together, from the first of `turn` on.
void run_blocks(const int* turn, size_t count, int order, Random& random,
                std::vector<char*>& used_stacks) {
  const int threads = blockDim.x * blockDim.y * blockDim.z;
  std::vector<Block> blocks(count);
  std::vector<Fiber> fibers(count * threads);
  launch.threads = launch.live = count * threads;
  bool created = true;
  for (size_t b = 0; b < count && created; ++b) {
    const unsigned i = turn[b];
    blocks[b].index = {i % gridDim.x, i / gridDim.x % gridDim.y, i / (gridDim.x * gridDim.y)};
    blocks[b].threads = blocks[b].live = threads;
    blocks[b].warps.resize((threads + 31) / 32);
    created = create_fibers(blocks[b], fibers, b * threads);
  }
  if (created) run_fibers(fibers, order, random);
  else report("no memory for the threads' stacks", fibers);
  for (auto& fiber : fibers) {
    if (!fiber.stack) continue;
    fiber.shadow.destroy(fiber.stack, STACK_BYTES);
    used_stacks.push_back(fiber.stack);
  }
  for (auto& block : blocks) free_shared(block);
}

}  // namespace

void fail(const char* format, ...) {
  if (!launch.failed) {
    launch.failed = true;
    va_list arguments;
    va_start(arguments, format);
    size_t at = vsnprintf(launch.error, launch.error_bytes, format, arguments);
    va_end(arguments);
    if (at < launch.error_bytes)
      snprintf(launch.error + at, launch.error_bytes - at, " [block (%u,%u,%u) thread (%u,%u,%u)]",
               blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
  }
  for (;;) switch_to_scheduler(false);  // the scheduler abandons the launch
}

void wait_until_changed(const unsigned* word, unsigned old_value, const char* what, int line) {
  Fiber& me = *current;
  me.waits_for = word;
  me.old_value = old_value;
  me.what = what;
  me.line = line;
  while (*word == old_value) switch_to_scheduler(false);
  me.waits_for = nullptr;
}

void yield(const char* what, int line) {
  current->what = what;
  current->line = line;
  switch_to_scheduler(false);
}

}  // namespace cusim

using namespace cusim;

extern "C" int cusim_run(const cusim_request* request, void (*thread)(void*), void* arguments) {
  gridDim = dim3(request->grid[0], request->grid[1], request->grid[2]);
  blockDim = dim3(request->block[0], request->block[1], request->block[2]);
  launch = Launch{};
  launch.thread = thread;
  launch.arguments = arguments;
  launch.cooperative = request->cooperative;
  launch.dynamic_bytes = request->dynamic_bytes;
  launch.error = request->error;
  launch.error_bytes = request->error_bytes;
  scheduler_shadow.adopt_current();
  reset_shared_memory();

  Random random{request->seed * 2654435761u | 1u};
  const size_t total = (size_t)gridDim.x * gridDim.y * gridDim.z;
  const size_t together = launch.cooperative ? total : 1;
  const std::vector<int> turn = ordered(total, request->order, random);
  std::vector<char*> used_stacks;
  for (size_t b = 0; b < total && !launch.failed; b += together) {
    run_blocks(&turn[b], together, request->order, random, used_stacks);
#if !defined(CUSIM_TSAN)  // there a stack reused within a launch would look like a race
    free_stacks.swap(used_stacks);
    free_stacks.insert(free_stacks.end(), used_stacks.begin(), used_stacks.end());
    used_stacks.clear();
#endif
  }
  free_stacks.insert(free_stacks.end(), used_stacks.begin(), used_stacks.end());
  acquire_clock(&exit_clock);
  return launch.failed;
}

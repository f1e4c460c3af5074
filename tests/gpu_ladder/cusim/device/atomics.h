// Atomic operations. Each first lets the other threads run, so that a loop that spins on one ends.
#pragma once

template <class Word, class T, class Update>
static inline T cusim_read_modify_write(T* p, Update update, int line) {
  static_assert(sizeof(Word) == sizeof(T), "the word holds the value");
  cusim_yield(line);
  Word* word = (Word*)p;
  Word seen = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  for (;;) {
    const T before = cusim_bits<T>(seen);
    const Word after = cusim_bits<Word>((T)update(before));
    if (__atomic_compare_exchange_n(word, &seen, after, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      return before;
  }
}

#define CUSIM_ATOMIC(NAME, T, WORD, RESULT)                                                        \
  static inline T NAME(T* p, T value, CUSIM_LINE) {                                                \
    return cusim_read_modify_write<WORD>(p, [=](T old) { return RESULT; }, line_);                 \
  }
#define CUSIM_ATOMICS(T, WORD)                                                                     \
  CUSIM_ATOMIC(atomicAdd, T, WORD, (T)(old + value))                                               \
  CUSIM_ATOMIC(atomicExch, T, WORD, ((void)old, value))
#define CUSIM_INTEGER_ATOMICS(T, WORD)                                                             \
  CUSIM_ATOMICS(T, WORD)                                                                           \
  CUSIM_ATOMIC(atomicMax, T, WORD, old > value ? old : value)                                      \
  CUSIM_ATOMIC(atomicMin, T, WORD, old < value ? old : value)                                      \
  CUSIM_ATOMIC(atomicOr, T, WORD, old | value)                                                     \
  CUSIM_ATOMIC(atomicAnd, T, WORD, old & value)                                                    \
  CUSIM_ATOMIC(atomicXor, T, WORD, old ^ value)                                                    \
  static inline T atomicCAS(T* p, T compare, T value, CUSIM_LINE) {                                \
    return cusim_read_modify_write<WORD>(                                                          \
        p, [=](T old) { return old == compare ? value : old; }, line_);                            \
  }

CUSIM_ATOMICS(float, unsigned)
CUSIM_ATOMICS(double, unsigned long long)
CUSIM_INTEGER_ATOMICS(unsigned, unsigned)
CUSIM_INTEGER_ATOMICS(unsigned long long, unsigned long long)
// On unsigned words in C++'s eyes, so that a counter may wrap as it does on the GPU.
CUSIM_ATOMIC(atomicAdd, int, unsigned, (int)((unsigned)old + (unsigned)value))
CUSIM_ATOMIC(atomicSub, int, unsigned, (int)((unsigned)old - (unsigned)value))
CUSIM_ATOMIC(atomicSub, unsigned, unsigned, old - value)
CUSIM_ATOMIC(atomicExch, int, unsigned, ((void)old, value))
CUSIM_ATOMIC(atomicMax, int, unsigned, old > value ? old : value)
CUSIM_ATOMIC(atomicMin, int, unsigned, old < value ? old : value)
CUSIM_ATOMIC(atomicOr, int, unsigned, old | value)
CUSIM_ATOMIC(atomicAnd, int, unsigned, old & value)
CUSIM_ATOMIC(atomicInc, unsigned, unsigned, old >= value ? 0u : old + 1)
CUSIM_ATOMIC(atomicDec, unsigned, unsigned, old == 0 || old > value ? value : old - 1)
static inline int atomicCAS(int* p, int compare, int value, CUSIM_LINE) {
  return cusim_read_modify_write<unsigned>(
      p, [=](int old) { return old == compare ? value : old; }, line_);
}

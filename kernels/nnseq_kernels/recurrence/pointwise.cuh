// What the pointwise kernels of the recurrent cells share. Each .cu of a cell follows this text.
//
// One thread computes one column (b, j) of one step t; nothing is exchanged between threads.
// T, B, H: steps, batch elements, units. Arrays are C-contiguous.
// A state s is (T+1, B, H): row t holds s_{t-1}, so row 0 is the initial state and row t+1 is s_t.
// dh_rec is what the product of step t+1 sends to h_t, dh_carry what else of step t+1 does.
// Pointers without __restrict__ are read and written by the same launch.

enum { BLOCK = 128 };  // threads of a block; recurrence/cell.py has the same number

// A column of a step: n counts the B H columns, now is its place in (T, B, H).
struct Column {
    int n, b, j;
    size_t now;

    __device__ __forceinline__ Column(int t, int B, int H)
    {
        n = blockIdx.x * BLOCK + threadIdx.x;
        b = n / H;
        j = n - b * H;
        now = (size_t)t * B * H + n;
    }

    // The place in (T, B, K H) of the first of this column's K blocks; the next is H further.
    __device__ __forceinline__ size_t of(int blocks, int t, int B, int H) const
    {
        return ((size_t)t * B + b) * blocks * H + j;
    }

    // The same in (B, K H).
    __device__ __forceinline__ size_t of(int blocks, int H) const
    {
        return (size_t)b * blocks * H + j;
    }
};

__device__ __forceinline__ float tanh_of(float x) { return tanhf(x); }
__device__ __forceinline__ double tanh_of(double x) { return tanh(x); }

// σ(x) = ½ + ½ tanh(x / 2), which overflows nowhere.
template <typename F> __device__ __forceinline__ F sigmoid(F x)
{
    return F(0.5) + F(0.5) * tanh_of(F(0.5) * x);
}

// Whether step t of sequence b counts; a mask that is NULL masks nothing.
__device__ __forceinline__ bool counts(const unsigned char* mask, int t, int b, int B)
{
    return !mask || mask[(size_t)t * B + b];
}

// The weight of column (t, b, j): w is (T or 1, B or 1, H), and its step in memory is 0 along an
// axis of 1. A weight that is NULL is `missing` everywhere.
template <typename F>
__device__ __forceinline__ F weight_at(
    const F* w, int t_step, int b_step, int t, Column at, F missing)
{
    return w ? w[(size_t)t * t_step + (size_t)at.b * b_step + at.j] : missing;
}

// Zoneout: z old + (1 - z) new.
template <typename F> __device__ __forceinline__ F keep(F z, F old_value, F new_value)
{
    return z * old_value + (F(1) - z) * new_value;
}

// The gradient of the state after step t: from above at t, and from step t+1 or the final state.
// dy, dy_T may be NULL, then they are zero.
template <typename F>
__device__ __forceinline__ F upstream(
    const F* dy, const F* dy_T, const F* dy_rec, const F* dy_carry, Column at, int t, int T)
{
    F g;
    if (t + 1 < T)
        g = dy_rec ? dy_carry[at.n] + dy_rec[at.n] : dy_carry[at.n];
    else
        g = dy_T ? dy_T[at.n] : F(0);
    return dy ? dy[at.now] + g : g;
}

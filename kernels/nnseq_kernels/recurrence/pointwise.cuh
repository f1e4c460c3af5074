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

// Zoneout: z old + (1 - z) new. Without it, where z is NULL, the new value itself: 0 times an
// infinite old value would be NaN.
template <typename F>
__device__ __forceinline__ F keep(
    const F* z, int z_t_step, int z_b_step, int t, Column at, F old_value, F new_value)
{
    if (!z) return new_value;
    const F z_t = weight_at(z, z_t_step, z_b_step, t, at, F(0));
    return z_t * old_value + (F(1) - z_t) * new_value;
}

// What of the gradient of a state goes to its old value, and to the new one.
template <typename F> struct Kept {
    F old_value, new_value;
};

template <typename F>
__device__ __forceinline__ Kept<F> undo_keep(
    const F* z, int z_t_step, int z_b_step, int t, Column at, F ds)
{
    if (!z) return {F(0), ds};
    const F z_t = weight_at(z, z_t_step, z_b_step, t, at, F(0));
    return {z_t * ds, (F(1) - z_t) * ds};
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

// ---- gru_before and MUT1-3: the reset comes before the product ---------------------------------
//
//     s = r h_{t-1}                                                                         (a)
//     n = tanh(a_n + q_n)                                                                   (b)
//     h̃ = w d n + v h_{t-1}         w, v = z, 1 - z or the other way round                  (c)

template <typename F> struct Mix {
    F w, v, d, n;
};

// (c), zoneout and padding.  h: (T+1, B, H).
template <typename F>
__device__ __forceinline__ void put_state(
    Mix<F> m, F* h, const F* z_h, int z_h_t, int z_h_b, const unsigned char* mask, int t,
    Column at, int B, int H)
{
    const F h_prev = h[at.now];
    const F h_new = m.w * m.d * m.n + m.v * h_prev;                                        // (c)
    const F h_t = keep(z_h, z_h_t, z_h_b, t, at, h_prev, h_new);
    h[at.now + (size_t)B * H] = counts(mask, t, at.b, B) ? h_t : h_prev;
}

// The gradients of a_n and of w, v taken to be 1 - w. They mean nothing at padded steps.
template <typename F> struct MixGradients {
    F da_n, dw;
};

// Undoes zoneout, (c) and (b), and writes dh_carry.
template <typename F>
__device__ __forceinline__ MixGradients<F> undo_state(
    Mix<F> m, F h_prev, const F* z_h, int z_h_t, int z_h_b, bool counted, F dh_t, F* dh_carry,
    int t, Column at)
{
    const Kept<F> to = undo_keep(z_h, z_h_t, z_h_b, t, at, dh_t);
    const F dh_new = to.new_value, dn = dh_new * m.w * m.d;                                // (c)
    dh_carry[at.n] = counted ? to.old_value + dh_new * m.v : dh_t;                         // (c)
    return {dn * (F(1) - m.n * m.n), dh_new * (m.d * m.n - h_prev)};                  // (b), (c)
}

// Undoes (a) and r = σ(a_r): returns the gradient of a_r, 0 at padded steps; writes s again, for
// the gradient of W_n, and adds to dh_carry.
template <typename F>
__device__ __forceinline__ F undo_reset(
    F r, F h_prev, F ds, bool counted, F* dh_carry, F* s_all, Column at)
{
    s_all[at.now] = counted ? r * h_prev : F(0);
    if (counted) dh_carry[at.n] += ds * r;
    return counted ? ds * h_prev * r * (F(1) - r) : F(0);
}

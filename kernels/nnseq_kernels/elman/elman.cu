// Elman: the pointwise part of one step, forward and backward.
//
//     h̃_t = act(a_t + h_{t-1} W_hh)        q = h_{t-1} W_hh comes from the product          (1)
//     h_t = z_h h_{t-1} + (1 - z_h) h̃_t     padded step: h_t = h_{t-1}                       (2)
//
// The equations are those of the reference, nnseq/cells/elman.py, with the same numbers.

enum Act { TANH = 0, RELU = 1, IDENTITY = 2 };

// Comparisons are written so that NaN stays NaN: a diverged run must not look healthy.
template <typename F> __device__ __forceinline__ F activate(int act, F x)
{
    if (act == TANH) return tanh_of(x);
    if (act == RELU) return x < F(0) ? F(0) : x;
    return x;
}

// d act'(.): the derivative of every activation is a function of its output h̃.
template <typename F> __device__ __forceinline__ F undo_activate(int act, F d, F h_new)
{
    if (act == TANH) return d * (F(1) - h_new * h_new);
    if (act == RELU) return h_new > F(0) ? d : F(0);
    return d;
}

// a: (T, B, H).  q: (B, H).  z_h: weight.  mask: (T, B).  h: (T+1, B, H).  h_new: (T, B, H) of (1),
// may be NULL.
template <typename F>
__global__ void __launch_bounds__(128) elman_forward(
    const F* __restrict__ a, const F* __restrict__ q, const F* __restrict__ z_h,
    const unsigned char* __restrict__ mask, F* h, F* __restrict__ h_new, int act, int z_h_t,
    int z_h_b, int t, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const F h_prev = h[at.now];
    const F h_act = activate(act, a[at.now] + q[at.n]);                                    // (1)
    const F h_t = keep(z_h, z_h_t, z_h_b, t, at, h_prev, h_act);
    h[at.now + (size_t)B * H] = counts(mask, t, at.b, B) ? h_t : h_prev;                   // (2)
    if (h_new) h_new[at.now] = h_act;
}

// h, z_h, mask as in elman_forward.  h_new: NULL without zoneout.  dh: (T, B, H).  dh_T, dh_rec,
// dh_carry: (B, H).  dq: (T, B, H), the gradient of a and of q.  dh and dh_T may be NULL.
template <typename F>
__global__ void __launch_bounds__(128) elman_backward(
    const F* __restrict__ h, const F* __restrict__ h_new, const F* __restrict__ z_h,
    const unsigned char* __restrict__ mask, const F* __restrict__ dh, const F* __restrict__ dh_T,
    const F* __restrict__ dh_rec, F* dh_carry, F* __restrict__ dq, int act, int z_h_t, int z_h_b,
    int t, int T, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const bool counted = counts(mask, t, at.b, B);
    const F dh_t = upstream(dh, dh_T, dh_rec, dh_carry, at, t, T);
    const Kept<F> to = undo_keep(z_h, z_h_t, z_h_b, t, at, dh_t);                          // (2)
    const F h_act = h_new ? h_new[at.now] : h[at.now + (size_t)B * H];
    const F da = undo_activate(act, to.new_value, h_act);                                  // (1)
    dq[at.now] = counted ? da : F(0);
    dh_carry[at.n] = counted ? to.old_value : dh_t;                                        // (2)
}

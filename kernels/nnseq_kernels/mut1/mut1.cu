// MUT1: the pointwise parts of one step, forward and backward.
//
//     z = σ(a_z)                                                                            (1)
//     r = σ(a_r + h_{t-1} W_r)                                 q_r = h_{t-1} W_r: a product (2)
//     s = r h_{t-1}                                                                         (3)
//     n = tanh(s W_n + a_n)                                    q_n = s W_n: a product       (4)
//     h̃_t = z n + (1 - z) h_{t-1}                                                           (5)
//     h_t = z_h h_{t-1} + (1 - z_h) h̃_t                        padded step: h_t = h_{t-1}   (6)
//
// The equations are those of the reference, nnseq/cells/mut1.py, with the same numbers; a_n is
// tanh(x_t) + b_x, added up for all steps before the loop (launch.py).
// A step is: product (2), gates, product (4), state; and backward the undoing of each.

// (1)-(3).  a: (T, B, 3H).  q_r: (B, H).  h: (T+1, B, H).  gates: (T, B, 3H) = r, z, n.  s: (B, H).
template <typename F>
__global__ void __launch_bounds__(128) mut1_gates(
    const F* __restrict__ a, const F* __restrict__ q_r, const F* __restrict__ h,
    F* __restrict__ gates, F* __restrict__ s, int t, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    a += at.of(3, t, B, H);
    gates += at.of(3, t, B, H);
    gates[H] = sigmoid(a[H]);                                                              // (1)
    const F r = sigmoid(a[0] + q_r[at.n]);                                                 // (2)
    gates[0] = r;
    s[at.n] = r * h[at.now];                                                               // (3)
}

// (4)-(6).  q_n: (B, H).  z_h: weight, which may be NULL, as mask: (T, B).
template <typename F>
__global__ void __launch_bounds__(128) mut1_state(
    const F* __restrict__ a, const F* __restrict__ q_n, const F* __restrict__ z_h,
    const unsigned char* __restrict__ mask, F* h, F* gates, int z_h_t, int z_h_b, int t, int B,
    int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    a += at.of(3, t, B, H);
    gates += at.of(3, t, B, H);
    const F z = gates[H];
    const F n = tanh_of(q_n[at.n] + a[2 * H]);                                             // (4)
    const Mix<F> mix = {z, F(1) - z, F(1), n};
    put_state(mix, h, z_h, z_h_t, z_h_b, mask, t, at, B, H);                               // (5), (6)
    gates[2 * H] = n;
}

// Undoes (6)-(4) and (1).  h, gates, z_h, mask as above.  dh: (T, B, H).  dh_T, dh_rec, dh_carry:
// (B, H).  dq_z, dq_n: (T, B, H).  dh, dh_T may be NULL.
template <typename F>
__global__ void __launch_bounds__(128) mut1_state_backward(
    const F* __restrict__ h, const F* __restrict__ gates, const F* __restrict__ z_h,
    const unsigned char* __restrict__ mask, const F* __restrict__ dh, const F* __restrict__ dh_T,
    const F* __restrict__ dh_rec, F* dh_carry, F* __restrict__ dq_z, F* __restrict__ dq_n,
    int z_h_t, int z_h_b, int t, int T, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const bool counted = counts(mask, t, at.b, B);
    const F dh_t = upstream(dh, dh_T, dh_rec, dh_carry, at, t, T);
    const F h_prev = h[at.now];
    gates += at.of(3, t, B, H);
    const F z = gates[H], n = gates[2 * H];

    const Mix<F> mix = {z, F(1) - z, F(1), n};
    const MixGradients<F> to =
        undo_state(mix, h_prev, z_h, z_h_t, z_h_b, counted, dh_t, dh_carry, t, at);  // (6)-(4)
    const F da_z = to.dw * z * (F(1) - z);                                                 // (1)

    dq_n[at.now] = counted ? to.da_n : F(0);
    dq_z[at.now] = counted ? da_z : F(0);
}

// Undoes (3) and (2).  ds: (B, H), from the product.  dq_r: (T, B, H).  Writes s again, for the
// gradient of W_n: (T, B, H), 0 at padded steps.
template <typename F>
__global__ void __launch_bounds__(128) mut1_gates_backward(
    const F* __restrict__ h, const F* __restrict__ gates, const unsigned char* __restrict__ mask,
    const F* __restrict__ ds, F* dh_carry, F* __restrict__ dq_r, F* __restrict__ s_all, int t, int B,
    int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const bool counted = counts(mask, t, at.b, B);
    const F h_prev = h[at.now], r = gates[at.of(3, t, B, H)], ds_t = ds[at.n];
    dq_r[at.now] = undo_reset(r, h_prev, ds_t, counted, dh_carry, s_all, at);         // (3), (2)
}

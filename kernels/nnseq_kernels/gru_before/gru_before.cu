// GRU, reset before the product: the pointwise parts of one step, forward and backward.
//
//     q_r, q_z = h_{t-1} W_rz                                  come from the product        (1)
//     r = σ(a_r + q_r)                                                                      (2)
//     z = σ(a_z + q_z)                                                                      (3)
//     s = r h_{t-1}                                                                         (4)
//     n = tanh(a_n + s W_n)                                    q_n = s W_n: a product       (5)
//     h̃_t = (1 - z) d_i n + z h_{t-1}                                                       (6)
//     h_t = z_h h_{t-1} + (1 - z_h) h̃_t                        padded step: h_t = h_{t-1}   (7)
//
// The equations are those of the reference, nnseq/cells/gru_before.py, with the same numbers.
// A step is: product (1), gates, product (5), state; and backward the undoing of each.

// (2)-(4).  a: (T, B, 3H).  q_rz: (B, 2H).  h: (T+1, B, H).  gates: (T, B, 3H) = r, z, n.
// s: (B, H).
template <typename F>
__global__ void __launch_bounds__(128) gru_before_gates(
    const F* __restrict__ a, const F* __restrict__ q_rz, const F* __restrict__ h,
    F* __restrict__ gates, F* __restrict__ s, int t, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    a += at.of(3, t, B, H);
    q_rz += at.of(2, H);
    gates += at.of(3, t, B, H);
    const F r = sigmoid(a[0] + q_rz[0]);                                                   // (2)
    gates[0] = r;
    gates[H] = sigmoid(a[H] + q_rz[H]);                                                    // (3)
    s[at.n] = r * h[at.now];                                                               // (4)
}

// (5)-(7).  q_n: (B, H).  z_h, d_i: weights, which may be NULL, as mask: (T, B).
template <typename F>
__global__ void __launch_bounds__(128) gru_before_state(
    const F* __restrict__ a, const F* __restrict__ q_n, const F* __restrict__ z_h,
    const F* __restrict__ d_i, const unsigned char* __restrict__ mask, F* h, F* gates, int z_h_t,
    int z_h_b, int d_i_t, int d_i_b, int t, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    a += at.of(3, t, B, H);
    gates += at.of(3, t, B, H);
    const F z = gates[H];
    const F n = tanh_of(a[2 * H] + q_n[at.n]);                                             // (5)
    const F d = weight_at(d_i, d_i_t, d_i_b, t, at, F(1));
    const Mix<F> mix = {F(1) - z, z, d, n};
    put_state(mix, h, z_h, z_h_t, z_h_b, mask, t, at, B, H);                               // (6), (7)
    gates[2 * H] = n;
}

// Undoes (7)-(5).  h, gates, weights, mask as above.  dh: (T, B, H).  dh_T, dh_rec, dh_carry:
// (B, H).  dq_rz: (T, B, 2H), of which this writes z's block.  dq_n: (T, B, H).  dh, dh_T may be
// NULL.
template <typename F>
__global__ void __launch_bounds__(128) gru_before_state_backward(
    const F* __restrict__ h, const F* __restrict__ gates, const F* __restrict__ z_h,
    const F* __restrict__ d_i, const unsigned char* __restrict__ mask, const F* __restrict__ dh,
    const F* __restrict__ dh_T, const F* __restrict__ dh_rec, F* dh_carry, F* __restrict__ dq_rz,
    F* __restrict__ dq_n, int z_h_t, int z_h_b, int d_i_t, int d_i_b, int t, int T, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const bool counted = counts(mask, t, at.b, B);
    const F dh_t = upstream(dh, dh_T, dh_rec, dh_carry, at, t, T);
    const F h_prev = h[at.now];
    gates += at.of(3, t, B, H);
    const F z = gates[H], n = gates[2 * H];
    const F d = weight_at(d_i, d_i_t, d_i_b, t, at, F(1));

    const Mix<F> mix = {F(1) - z, z, d, n};
    const MixGradients<F> to =
        undo_state(mix, h_prev, z_h, z_h_t, z_h_b, counted, dh_t, dh_carry, t, at);  // (7)-(5)
    const F da_z = -to.dw * z * (F(1) - z);                                                // (3)

    dq_n[at.now] = counted ? to.da_n : F(0);
    dq_rz[at.of(2, t, B, H) + H] = counted ? da_z : F(0);
}

// Undoes (4) and (2).  ds: (B, H), from the product.  Writes r's block of dq_rz, and s again, for
// the gradient of W_n: (T, B, H), 0 at padded steps.
template <typename F>
__global__ void __launch_bounds__(128) gru_before_gates_backward(
    const F* __restrict__ h, const F* __restrict__ gates, const unsigned char* __restrict__ mask,
    const F* __restrict__ ds, F* dh_carry, F* __restrict__ dq_rz, F* __restrict__ s_all, int t, int B,
    int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const bool counted = counts(mask, t, at.b, B);
    const F h_prev = h[at.now], r = gates[at.of(3, t, B, H)], ds_t = ds[at.n];
    dq_rz[at.of(2, t, B, H)] = undo_reset(r, h_prev, ds_t, counted, dh_carry, s_all, at);  // (4), (2)
}

// GRU, reset after the product: the pointwise part of one step, forward and backward.
//
//     q_r, q_z, q_n = h_{t-1} W_hh                             comes from the product       (1)
//     r = σ(a_r + q_r)                                                                      (2)
//     z = σ(a_z + q_z)                                                                      (3)
//     m = q_n + b_hn                                                                        (4)
//     n = tanh(a_n + r m)                                                                   (5)
//     h̃_t = (1 - z) d_i n + z h_{t-1}                                                       (6)
//     h_t = z_h h_{t-1} + (1 - z_h) h̃_t                        padded step: h_t = h_{t-1}   (7)
//
// The equations are those of the reference, nnseq/cells/gru.py, with the same numbers.

// a: (T, B, 3H).  q: (B, 3H).  b_hn: (H,).  z_h, d_i: weights.  mask: (T, B).  h: (T+1, B, H).
// gates: (T, B, 4H) = r, z, n, m.  b_hn, weights and mask may be NULL.
template <typename F>
__global__ void __launch_bounds__(128) gru_forward(
    const F* __restrict__ a, const F* __restrict__ q, const F* __restrict__ b_hn,
    const F* __restrict__ z_h, const F* __restrict__ d_i, const unsigned char* __restrict__ mask,
    F* h, F* __restrict__ gates, int z_h_t, int z_h_b, int d_i_t, int d_i_b, int t, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const F h_prev = h[at.now];
    a += at.of(3, t, B, H);
    q += at.of(3, H);
    const F r = sigmoid(a[0] + q[0]);                                                      // (2)
    const F z = sigmoid(a[H] + q[H]);                                                      // (3)
    const F m = b_hn ? q[2 * H] + b_hn[at.j] : q[2 * H];                                   // (4)
    const F n = tanh_of(a[2 * H] + r * m);                                                 // (5)
    const F d = weight_at(d_i, d_i_t, d_i_b, t, at, F(1));
    const F h_new = (F(1) - z) * d * n + z * h_prev;                                       // (6)
    const F h_t = keep(z_h, z_h_t, z_h_b, t, at, h_prev, h_new);
    h[at.now + (size_t)B * H] = counts(mask, t, at.b, B) ? h_t : h_prev;                   // (7)
    gates += at.of(4, t, B, H);
    gates[0] = r;
    gates[H] = z;
    gates[2 * H] = n;
    gates[3 * H] = m;
}

// h, gates, weights, mask as in gru_forward.  dh: (T, B, H).  dh_T, dh_rec, dh_carry: (B, H).
// dq, da: (T, B, 3H), gradients of q and of a, which differ in the last block.  dh, dh_T may be
// NULL.
template <typename F>
__global__ void __launch_bounds__(128) gru_backward(
    const F* __restrict__ h, const F* __restrict__ gates, const F* __restrict__ z_h,
    const F* __restrict__ d_i, const unsigned char* __restrict__ mask, const F* __restrict__ dh,
    const F* __restrict__ dh_T, const F* __restrict__ dh_rec, F* dh_carry, F* __restrict__ dq,
    F* __restrict__ da, int z_h_t, int z_h_b, int d_i_t, int d_i_b, int t, int T, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const bool counted = counts(mask, t, at.b, B);
    const F dh_t = upstream(dh, dh_T, dh_rec, dh_carry, at, t, T);
    const F h_prev = h[at.now];
    gates += at.of(4, t, B, H);
    const F r = gates[0], z = gates[H], n = gates[2 * H], m = gates[3 * H];
    const F d = weight_at(d_i, d_i_t, d_i_b, t, at, F(1));

    const Kept<F> to = undo_keep(z_h, z_h_t, z_h_b, t, at, dh_t);                          // (7)
    const F dh_new = to.new_value;
    const F dz = dh_new * (h_prev - d * n), dn = dh_new * (F(1) - z) * d;                  // (6)
    const F da_n = dn * (F(1) - n * n);                                                    // (5)
    const F dm = da_n * r, dr = da_n * m;                                                  // (5)
    const F da_z = dz * z * (F(1) - z);                                                    // (3)
    const F da_r = dr * r * (F(1) - r);                                                    // (2)

    dq += at.of(3, t, B, H);
    da += at.of(3, t, B, H);
    da[0] = dq[0] = counted ? da_r : F(0);
    da[H] = dq[H] = counted ? da_z : F(0);
    dq[2 * H] = counted ? dm : F(0);                                                       // (4)
    da[2 * H] = counted ? da_n : F(0);
    dh_carry[at.n] = counted ? to.old_value + dh_new * z : dh_t;                      // (7), (6)
}

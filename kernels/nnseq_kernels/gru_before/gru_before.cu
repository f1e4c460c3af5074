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
    const F h_prev = h[at.now];
    a += at.of(3, t, B, H);
    gates += at.of(3, t, B, H);
    const F z = gates[H];
    const F n = tanh_of(a[2 * H] + q_n[at.n]);                                             // (5)
    const F d = weight_at(d_i, d_i_t, d_i_b, t, at, F(1));
    const F h_new = (F(1) - z) * d * n + z * h_prev;                                       // (6)
    const F h_t = z_h ? keep(weight_at(z_h, z_h_t, z_h_b, t, at, F(0)), h_prev, h_new) : h_new;
    h[at.now + (size_t)B * H] = counts(mask, t, at.b, B) ? h_t : h_prev;                   // (7)
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
    const F zh = weight_at(z_h, z_h_t, z_h_b, t, at, F(0));

    const F dh_new = (F(1) - zh) * dh_t;                                                   // (7)
    const F dz = dh_new * (h_prev - d * n), dn = dh_new * (F(1) - z) * d;                  // (6)
    const F da_n = dn * (F(1) - n * n);                                                    // (5)
    const F da_z = dz * z * (F(1) - z);                                                    // (3)

    dq_n[at.now] = counted ? da_n : F(0);
    dq_rz[at.of(2, t, B, H) + H] = counted ? da_z : F(0);
    dh_carry[at.n] = counted ? zh * dh_t + dh_new * z : dh_t;                         // (7), (6)
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
    const F da_r = ds_t * h_prev * r * (F(1) - r);                                    // (4), (2)
    dq_rz[at.of(2, t, B, H)] = counted ? da_r : F(0);
    s_all[at.now] = counted ? r * h_prev : F(0);
    if (counted) dh_carry[at.n] += ds_t * r;                                               // (4)
}

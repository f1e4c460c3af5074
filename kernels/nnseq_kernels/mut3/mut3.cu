// MUT3: the pointwise parts of one step, forward and backward.
//
//     r = σ(a_r + h_{t-1} W_r)                  q_r = h_{t-1} W_r: a product                (1)
//     z = σ(a_z + tanh(h_{t-1}) W_z)            q_z = tanh(h_{t-1}) W_z: a product          (2)
//     s = r h_{t-1}                                                                         (3)
//     n = tanh(a_n + s W_n)                     q_n = s W_n: a product                      (4)
//     h̃_t = z n + (1 - z) h_{t-1}                                                           (5)
//     h_t = z_h h_{t-1} + (1 - z_h) h̃_t         padded step: h_t = h_{t-1}                  (6)
//
// The equations are those of the reference, nnseq/cells/mut3.py, with the same numbers.
// A step is: product (1), gates, products (2) and (4), state; and backward the undoing of each.
// Nothing waits for z before state, so that one launch prepares both other products.

// (1), (3), tanh of (2).  a: (T, B, 3H).  q_r: (B, H).  h: (T+1, B, H).  gates: (T, B, 3H) = r, z,
// n.  s, tanh_h: (B, H).
template <typename F>
__global__ void __launch_bounds__(128) mut3_gates(
    const F* __restrict__ a, const F* __restrict__ q_r, const F* __restrict__ h,
    F* __restrict__ gates, F* __restrict__ s, F* __restrict__ tanh_h, int t, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const F h_prev = h[at.now];
    const F r = sigmoid(a[at.of(3, t, B, H)] + q_r[at.n]);                                 // (1)
    gates[at.of(3, t, B, H)] = r;
    s[at.n] = r * h_prev;                                                                  // (3)
    tanh_h[at.n] = tanh_of(h_prev);                                                        // (2)
}

// (2), (4)-(6).  q_z, q_n: (B, H).  z_h: weight, which may be NULL, as mask: (T, B).
template <typename F>
__global__ void __launch_bounds__(128) mut3_state(
    const F* __restrict__ a, const F* __restrict__ q_z, const F* __restrict__ q_n,
    const F* __restrict__ z_h, const unsigned char* __restrict__ mask, F* h,
    F* __restrict__ gates, int z_h_t, int z_h_b, int t, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    a += at.of(3, t, B, H);
    gates += at.of(3, t, B, H);
    const F z = sigmoid(a[H] + q_z[at.n]);                                                 // (2)
    const F n = tanh_of(a[2 * H] + q_n[at.n]);                                             // (4)
    const Mix<F> mix = {z, F(1) - z, F(1), n};
    put_state(mix, h, z_h, z_h_t, z_h_b, mask, t, at, B, H);                               // (5), (6)
    gates[H] = z;
    gates[2 * H] = n;
}

// Undoes (6)-(4) and σ of (2).  h, gates, z_h, mask as above.  dh: (T, B, H).  dh_T, dh_rec,
// dh_carry: (B, H).  dq_z, dq_n: (T, B, H).  dh, dh_T may be NULL.
template <typename F>
__global__ void __launch_bounds__(128) mut3_state_backward(
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
    const F da_z = to.dw * z * (F(1) - z);                                                 // (2)

    dq_n[at.now] = counted ? to.da_n : F(0);
    dq_z[at.now] = counted ? da_z : F(0);
}

// Undoes (3), tanh of (2), and (1).  ds, dtanh_h: (B, H), from the products.  dq_r: (T, B, H).
// Writes s and tanh(h_{t-1}) again, for the gradients of W_n and W_z: (T, B, H), s 0 at padded
// steps.
template <typename F>
__global__ void __launch_bounds__(128) mut3_gates_backward(
    const F* __restrict__ h, const F* __restrict__ gates, const unsigned char* __restrict__ mask,
    const F* __restrict__ ds, const F* __restrict__ dtanh_h, F* dh_carry, F* __restrict__ dq_r,
    F* __restrict__ s_all, F* __restrict__ tanh_h_all, int t, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const bool counted = counts(mask, t, at.b, B);
    const F h_prev = h[at.now], r = gates[at.of(3, t, B, H)], ds_t = ds[at.n];
    const F tanh_prev = tanh_of(h_prev);
    dq_r[at.now] = undo_reset(r, h_prev, ds_t, counted, dh_carry, s_all, at);         // (3), (1)
    tanh_h_all[at.now] = tanh_prev;
    if (counted) dh_carry[at.n] += dtanh_h[at.n] * (F(1) - tanh_prev * tanh_prev);         // (2)
}

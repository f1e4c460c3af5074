// LSTM: the pointwise part of one step, forward and backward.
//
//     q = h_{t-1} W_hh                                         comes from the product       (1)
//     i = σ(a_i + q_i + p_i c_{t-1})                                                        (2)
//     f = σ(a_f + q_f + forget_bias + p_f c_{t-1})                                          (3)
//     g = tanh(a_g + q_g)                                                                   (4)
//     ĉ = f c_{t-1} + d_i i g                                                               (5)
//     c̃ = clip(ĉ, ±cell_clip)                                                               (6)
//     o = σ(a_o + q_o + p_o c̃)                                                              (7)
//     h̃ = o tanh c̃                                                                          (8)
//     c_t = z_c c_{t-1} + (1 - z_c) c̃                                                       (9)
//     h_t = z_h h_{t-1} + (1 - z_h) h̃                                                       (10)
//     h_t = d_i h_t + (1 - d_i) f h_{t-1}                      with ogate_zoneout           (11)
//     padded step: h_t = h_{t-1}, c_t = c_{t-1}
//
// The equations are those of the reference, nnseq/cells/lstm.py, with the same numbers.

// x clipped to [-limit, limit]; limit 0 is off. NaN stays NaN.
template <typename F> __device__ __forceinline__ F clip(F x, F limit)
{
    if (!(limit > F(0))) return x;
    return x > limit ? limit : (x < -limit ? -limit : x);
}

// a: (T, B, 4H).  q: (B, 4H).  p: (3, H).  z_h, z_c, d_i: weights.  mask: (T, B).
// h, c: (T+1, B, H).  gates: (T, B, 4H) = i, f, g, o.  p, weights and mask may be NULL.
template <typename F>
__global__ void __launch_bounds__(128) lstm_forward(
    const F* __restrict__ a, const F* __restrict__ q, const F* __restrict__ p,
    const F* __restrict__ z_h, const F* __restrict__ z_c, const F* __restrict__ d_i,
    const unsigned char* __restrict__ mask, F* h, F* c, F* __restrict__ gates,
    F forget_bias, F cell_clip, int ogate_zoneout, int z_h_t, int z_h_b, int z_c_t, int z_c_b,
    int d_i_t, int d_i_b, int t, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const size_t next = at.now + (size_t)B * H;
    const F h_prev = h[at.now], c_prev = c[at.now];
    a += at.of(4, t, B, H);
    q += at.of(4, H);
    F q_i = a[0] + q[0], q_f = a[H] + q[H] + forget_bias;                                  // (1)
    const F q_g = a[2 * H] + q[2 * H];
    F q_o = a[3 * H] + q[3 * H];
    if (p) q_i += p[at.j] * c_prev, q_f += p[H + at.j] * c_prev;
    const F d = weight_at(d_i, d_i_t, d_i_b, t, at, F(1));
    const F i = sigmoid(q_i), f = sigmoid(q_f), g = tanh_of(q_g);                // (2), (3), (4)
    const F c_new = clip(f * c_prev + d * i * g, cell_clip);                          // (5), (6)
    if (p) q_o += p[2 * H + at.j] * c_new;
    const F o = sigmoid(q_o);                                                              // (7)
    const F h_new = o * tanh_of(c_new);                                                    // (8)
    const F c_t = keep(z_c, z_c_t, z_c_b, t, at, c_prev, c_new);                           // (9)
    F h_t = keep(z_h, z_h_t, z_h_b, t, at, h_prev, h_new);                                // (10)
    if (ogate_zoneout) h_t = d * h_t + (F(1) - d) * f * h_prev;                           // (11)
    const bool counted = counts(mask, t, at.b, B);
    h[next] = counted ? h_t : h_prev;
    c[next] = counted ? c_t : c_prev;
    gates += at.of(4, t, B, H);
    gates[0] = i;
    gates[H] = f;
    gates[2 * H] = g;
    gates[3 * H] = o;
}

// h, c, gates, p, weights, mask as in lstm_forward.  dh, dc: (T, B, H).  dh_T, dc_T, dh_rec,
// dh_carry, dc_carry: (B, H).  dq: (T, B, 4H), the gradient of a and of q.  dp_b: (B, 3H), the sum
// over t for each sequence; NULL without p.  dh, dc, dh_T, dc_T may be NULL.
template <typename F>
__global__ void __launch_bounds__(128) lstm_backward(
    const F* __restrict__ h, const F* __restrict__ c, const F* __restrict__ gates,
    const F* __restrict__ p, const F* __restrict__ z_h, const F* __restrict__ z_c,
    const F* __restrict__ d_i, const unsigned char* __restrict__ mask,
    const F* __restrict__ dh, const F* __restrict__ dc, const F* __restrict__ dh_T,
    const F* __restrict__ dc_T, const F* __restrict__ dh_rec, F* dh_carry, F* dc_carry,
    F* __restrict__ dq, F* dp_b, F cell_clip, int ogate_zoneout, int z_h_t, int z_h_b, int z_c_t,
    int z_c_b, int d_i_t, int d_i_b, int t, int T, int B, int H)
{
    const Column at(t, B, H);
    if (at.n >= B * H) return;
    const bool counted = counts(mask, t, at.b, B);
    const F dh_t = upstream(dh, dh_T, dh_rec, dh_carry, at, t, T);
    const F dc_t = upstream(dc, dc_T, (const F*)0, dc_carry, at, t, T);
    const F h_prev = h[at.now], c_prev = c[at.now];
    gates += at.of(4, t, B, H);
    const F i = gates[0], f = gates[H], g = gates[2 * H], o = gates[3 * H];
    const F d = weight_at(d_i, d_i_t, d_i_b, t, at, F(1));
    const F c_raw = f * c_prev + d * i * g;                 // (5) again: cheaper than to keep
    const F c_new = clip(c_raw, cell_clip);                                                // (6)
    const F tanh_c = tanh_of(c_new);

    const F dropped = ogate_zoneout ? (F(1) - d) * dh_t : F(0);                           // (11)
    const F dh_kept = ogate_zoneout ? d * dh_t : dh_t;                                    // (11)
    const Kept<F> to_h = undo_keep(z_h, z_h_t, z_h_b, t, at, dh_kept);                    // (10)
    const Kept<F> to_c = undo_keep(z_c, z_c_t, z_c_b, t, at, dc_t);                        // (9)
    const F dh_new = to_h.new_value;
    const F da_o = dh_new * tanh_c * o * (F(1) - o);                                 // (8), (7)
    F dc_new = to_c.new_value + dh_new * o * (F(1) - tanh_c * tanh_c);                     // (8)
    if (p) dc_new += da_o * p[2 * H + at.j];                                               // (7)
    const F dc_raw = cell_clip > F(0) && c_new != c_raw ? F(0) : dc_new;                   // (6)
    const F da_f = (dropped * h_prev + dc_raw * c_prev) * f * (F(1) - f);      // (11), (5), (3)
    const F da_g = dc_raw * d * i * (F(1) - g * g);                                   // (5), (4)
    const F da_i = dc_raw * d * g * i * (F(1) - i);                                   // (5), (2)
    F dc_prev = to_c.old_value + dc_raw * f;                                               // (5)
    if (p) dc_prev += da_i * p[at.j] + da_f * p[H + at.j];                            // (2), (3)

    dq += at.of(4, t, B, H);
    dq[0] = counted ? da_i : F(0);
    dq[H] = counted ? da_f : F(0);
    dq[2 * H] = counted ? da_g : F(0);
    dq[3 * H] = counted ? da_o : F(0);
    dh_carry[at.n] = counted ? to_h.old_value + dropped * f : dh_t;                       // (11)
    dc_carry[at.n] = counted ? dc_prev : dc_t;
    if (dp_b) {
        const bool first = t + 1 == T;
        dp_b += at.of(3, H);
        dp_b[0] = (first ? F(0) : dp_b[0]) + (counted ? da_i * c_prev : F(0));             // (2)
        dp_b[H] = (first ? F(0) : dp_b[H]) + (counted ? da_f * c_prev : F(0));             // (3)
        dp_b[2 * H] = (first ? F(0) : dp_b[2 * H]) + (counted ? da_o * c_new : F(0));      // (7)
    }
}

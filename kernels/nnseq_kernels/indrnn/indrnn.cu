// IndRNN over a whole sequence: one launch forward, one launch and one small reduction backward.
//
//     s_t = a_t + u h_{t-1}                                                                 (1)
//     h_t = act(s_t)                        padded step: (3) h_t = h_{t-1}                  (2)
//     da_t = clip(g_t act'(h_t))            g_t = dh_t + carry; padded step: da_t = 0       (4)
//     du = Σ_{t,b} da_t h_{t-1}                                                             (5)
//     carry to t-1: u da_t                  padded step: g_t                                (6)
//
// The equations are those of the reference, nnseq/cells/indrnn.py, with the same numbers.
//
// A block owns 32 columns (b, j), one per lane: each step of a warp is one coalesced access. There
// are few columns (B H) and time is sequential: one warp per 32 of them cannot keep memory busy.
// Therefore the 8 warps of a block take turns: warp w loads the tiles w, w + 8, w + 16, ... of K
// steps into registers ahead of time, and computes a tile when the state reaches it through shared
// memory. The arithmetic stays that of the plain loop over t, in the same order.
//
// Arrays are C-contiguous; n = B H is the distance between two steps of a column.

enum Act { RELU = 0, TANH = 1, IDENTITY = 2 };
enum { COLUMNS = 32, WARPS = 8 };  // the block; launch.py has the same numbers

// Steps per tile: 128 bytes per thread in flight. Backward loads two arrays, and where there is a
// mask it takes a register per step too.
template <typename F, bool MASKED> struct Tile {
    static const int FORWARD = (MASKED ? 64 : 128) / sizeof(F);
    static const int BACKWARD = 64 / sizeof(F);
};

__device__ __forceinline__ float tanh_of(float x) { return tanhf(x); }
__device__ __forceinline__ double tanh_of(double x) { return tanh(x); }

// Comparisons are written so that NaN stays NaN: a diverged run must not look healthy.
template <typename F, int ACT> __device__ __forceinline__ F activate(F x)
{
    if (ACT == RELU) return x < F(0) ? F(0) : x;
    if (ACT == TANH) return tanh_of(x);
    return x;
}

// g act'(h): the derivative of every activation is a function of its output h.
template <typename F, int ACT> __device__ __forceinline__ F undo_activate(F g, F h)
{
    if (ACT == RELU) return h > F(0) ? g : F(0);
    if (ACT == TANH) return g * (F(1) - h * h);
    return g;
}

// x clipped to [-limit, limit]; limit 0 is off.
template <typename F> __device__ __forceinline__ F clip(F x, F limit)
{
    if (!(limit > F(0))) return x;
    return x > limit ? limit : (x < -limit ? -limit : x);
}

// Steps t, t + 1, ... of one column, as far as they exist. The index i of the step's entry walks,
// because an index of its own for each k would keep K multiples of n in registers.
template <typename F, int K, bool MASKED> struct ForwardTile {
    F a[K];
    unsigned char counts[MASKED ? K : 1];

    __device__ __forceinline__ void load(
        const F* __restrict__ a_all, const unsigned char* __restrict__ mask, size_t column,
        int t, int T, int B, int H)
    {
        const size_t n = (size_t)B * H;
        size_t i = t * n + column, m = (size_t)t * B + column / H;
#pragma unroll
        for (int k = 0; k < K; ++k, i += n, m += B)
            if (k < T - t) {
                a[k] = a_all[i];
                if (MASKED) counts[k] = mask[m];
            }
    }

    template <int ACT>
    __device__ __forceinline__ F run(
        F h_t, F u_j, F* __restrict__ h, size_t column, int t, int T, size_t n) const
    {
        size_t i = t * n + column;
#pragma unroll
        for (int k = 0; k < K; ++k, i += n)
            if (k < T - t) {
                const F h_active = activate<F, ACT>(a[k] + u_j * h_t);                // (1), (2)
                h_t = MASKED && !counts[k] ? h_t : h_active;                               // (3)
                h[i] = h_t;
            }
        return h_t;
    }
};

// a, h: (T, B, H).  u: (H,).  h0, h_T: (B, H).  mask: (T, B), not 0 where the step counts; unread
// and NULL unless MASKED.
template <typename F, int ACT, bool MASKED>
__global__ void __launch_bounds__(256, 2) indrnn_forward(
    const F* __restrict__ a, const F* __restrict__ u, const F* __restrict__ h0,
    const unsigned char* __restrict__ mask, F* __restrict__ h, F* __restrict__ h_T,
    int T, int B, int H)
{
    const int K = Tile<F, MASKED>::FORWARD;
    __shared__ F state[COLUMNS];                                // h_{t-1} of the turn's first step
    const size_t n = (size_t)B * H;
    const size_t column = (size_t)blockIdx.x * COLUMNS + threadIdx.x;
    const bool exists = column < n;                             // all threads meet at the barriers
    const F u_j = exists ? u[column % H] : F(0);
    if (exists && threadIdx.y == 0) state[threadIdx.x] = h0[column];

    ForwardTile<F, K, MASKED> tile;
    int t = threadIdx.y * K;                                    // first step of this warp's tile
    if (exists) tile.load(a, mask, column, t, T, B, H);
    for (int turn = 0; turn * K < T; ++turn) {
        const bool my_turn = exists && turn % WARPS == threadIdx.y;
        if (my_turn)
            state[threadIdx.x] = tile.template run<ACT>(
                state[threadIdx.x], u_j, h, column, t, T, n);
        __syncthreads();                            // hand over first, then load: others wait
        if (my_turn) {
            t += WARPS * K;
            tile.load(a, mask, column, t, T, B, H);
        }
    }
    if (exists && threadIdx.y == 0) h_T[column] = state[threadIdx.x];
}

// Steps t, t - 1, ... of one column, since time runs down: entry k belongs to step t - k, and
// h[k + 1] is the state before it.
template <typename F, int K, bool MASKED> struct BackwardTile {
    F h[K + 1], dh[K];
    unsigned char counts[MASKED ? K : 1];

    __device__ __forceinline__ void load(
        const F* __restrict__ h_all, F h0_j, const F* __restrict__ dh_all,
        const unsigned char* __restrict__ mask, size_t column, int t, int B, int H)
    {
        const size_t n = (size_t)B * H;
        size_t i = t * n + column, m = (size_t)t * B + column / H;
        if (t >= 0) h[0] = h_all[i];
#pragma unroll
        for (int k = 0; k < K; ++k, i -= n, m -= B)
            if (k <= t) {
                h[k + 1] = k < t ? h_all[i - n] : h0_j;
                dh[k] = dh_all ? dh_all[i] : F(0);
                if (MASKED) counts[k] = mask[m];
            }
    }

    template <int ACT>
    __device__ __forceinline__ F run(
        F carry, F& du_j, F u_j, F step_clip, F* __restrict__ da, size_t column, int t,
        size_t n) const
    {
        size_t i = t * n + column;
#pragma unroll
        for (int k = 0; k < K; ++k, i -= n)
            if (k <= t) {
                const bool counted = !MASKED || counts[k];
                const F g_t = dh[k] + carry;
                const F da_t = clip(undo_activate<F, ACT>(g_t, h[k]), step_clip);          // (4)
                du_j = counted ? du_j + da_t * h[k + 1] : du_j;                            // (5)
                carry = counted ? u_j * da_t : g_t;                                        // (6)
                da[i] = counted ? da_t : F(0);
            }
        return carry;
    }
};

// h, dh, da: (T, B, H).  u: (H,).  h0, dh_T, dh0: (B, H).  mask: (T, B) as in indrnn_forward.
// du_b: (B, H), the sum over t of (5).  dh and dh_T may be NULL: then they are zero.  step_clip: 0
// switches the clipping of (4) off.
template <typename F, int ACT, bool MASKED>
__global__ void __launch_bounds__(256, 2) indrnn_backward(
    const F* __restrict__ h, const F* __restrict__ u, const F* __restrict__ h0,
    const unsigned char* __restrict__ mask, const F* __restrict__ dh, const F* __restrict__ dh_T,
    F* __restrict__ da, F* __restrict__ du_b, F* __restrict__ dh0,
    F step_clip, int T, int B, int H)
{
    const int K = Tile<F, MASKED>::BACKWARD;
    __shared__ F state[COLUMNS];                                // carry of the turn's first step
    __shared__ F du_w[WARPS][COLUMNS];                          // each warp's share of du
    const size_t n = (size_t)B * H;
    const size_t column = (size_t)blockIdx.x * COLUMNS + threadIdx.x;
    const bool exists = column < n;
    const F u_j = exists ? u[column % H] : F(0);
    const F h0_j = exists ? h0[column] : F(0);
    F du_j = F(0);
    if (exists && threadIdx.y == 0) state[threadIdx.x] = dh_T ? dh_T[column] : F(0);

    BackwardTile<F, K, MASKED> tile;
    int t = T - 1 - (int)threadIdx.y * K;
    if (exists) tile.load(h, h0_j, dh, mask, column, t, B, H);
    for (int turn = 0; turn * K < T; ++turn) {
        const bool my_turn = exists && turn % WARPS == threadIdx.y;
        if (my_turn)
            state[threadIdx.x] = tile.template run<ACT>(
                state[threadIdx.x], du_j, u_j, step_clip, da, column, t, n);
        __syncthreads();                            // hand over first, then load: others wait
        if (my_turn) {
            t -= WARPS * K;
            tile.load(h, h0_j, dh, mask, column, t, B, H);
        }
    }
    du_w[threadIdx.y][threadIdx.x] = du_j;
    __syncthreads();
    if (!exists || threadIdx.y > 0) return;
    for (int w = 1; w < WARPS; ++w) du_j += du_w[w][threadIdx.x];
    du_b[column] = du_j;
    dh0[column] = state[threadIdx.x];
}

// du[j] = Σ_b du_b[b, j], always in the same order: warp w adds the rows b = w, w + 8, ... of 32
// units, and warp 0 adds the eight sums.  du_b: (B, H).  du: (H,).
template <typename F>
__global__ void __launch_bounds__(256) indrnn_sum_over_batch(
    const F* __restrict__ du_b, F* __restrict__ du, int B, int H)
{
    __shared__ F du_w[WARPS][COLUMNS];
    const int j = blockIdx.x * COLUMNS + threadIdx.x;
    F du_j = F(0);
    if (j < H)
        for (int b = threadIdx.y; b < B; b += WARPS) du_j += du_b[(size_t)b * H + j];
    du_w[threadIdx.y][threadIdx.x] = du_j;
    __syncthreads();
    if (j >= H || threadIdx.y > 0) return;
    for (int w = 1; w < WARPS; ++w) du_j += du_w[w][threadIdx.x];
    du[j] = du_j;
}

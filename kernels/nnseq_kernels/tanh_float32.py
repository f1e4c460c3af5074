"""tanh for float32 loops that the compiler can vectorise."""

from __future__ import annotations

import numpy as np

from nnseq_kernels.cpu_jit import cpu_jit

# tanh(x) = x P(x²) / Q(x²) on |x| <= 7.9, the rational function of degree (4, 4) with the smallest
# relative error (5.7e-9 in exact arithmetic), found by iteratively reweighted least squares.
LIMIT = np.float32(7.9)  # tanh is within 2.8e-7 of 1 from here on
P0, P1, P2, P3, P4 = np.array(
    [9.999999944e-01, 1.345061428e-01, 3.578984372e-03, 2.202310917e-05, 1.542775734e-08],
    dtype=np.float32,
)
Q0, Q1, Q2, Q3, Q4 = np.array(
    [1.000000000e00, 4.678394229e-01, 2.619220933e-02, 3.423637644e-04, 8.598698191e-07],
    dtype=np.float32,
)


@cpu_jit(error_model="numpy", fastmath={"contract"})
def tanh_float32(x):  # type: ignore[no-untyped-def]
    """tanh(x) of a float32 to 8 units in the last place; NaN stays NaN.

    Without Intel's SVML, Numba's math.tanh is a library call per entry: on one core of an AMD EPYC
    (AVX-512) a loop took 59 ns per entry with it.
    """
    x = LIMIT if x > LIMIT else -LIMIT if x < -LIMIT else x
    z = x * x
    numerator = P0 + z * (P1 + z * (P2 + z * (P3 + z * P4)))
    denominator = Q0 + z * (Q1 + z * (Q2 + z * (Q3 + z * Q4)))
    return x * numerator / denominator

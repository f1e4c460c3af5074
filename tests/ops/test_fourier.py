"""The discrete Fourier transform on pairs of real arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnseq import ops
from nnseq.tensor import Tensor, grad
from tests.ops.check import check_op, compare_with_torch, normal
from tests.strategies import arrays, shapes

NORMS = ("backward", "ortho", "forward")


@pytest.mark.parametrize("name", ["dft", "idft"])
@given(data=st.data())
def test_transform_is_its_definition(name, data):
    re = data.draw(arrays(shapes(min_dims=1, max_size=12, zero=False)))
    im = data.draw(arrays(re.shape))
    axis = data.draw(st.integers(-re.ndim, re.ndim - 1))
    norm = data.draw(st.sampled_from(NORMS))
    check_op(lambda re, im: getattr(ops, name)(re, im, axis, norm=norm), re, im)
    n = re.shape[axis]
    sign = 2j if name == "idft" else -2j
    F = np.exp(sign * np.pi * np.outer(np.arange(n), np.arange(n)) / n)
    divided = {"backward": "idft", "forward": "dft"}.get(norm)
    F = F / np.sqrt(n) if norm == "ortho" else F / n if divided == name else F
    y = np.moveaxis(np.tensordot(F, re + 1j * im, (1, axis)), 0, axis)
    y_re, y_im = getattr(ops, name)(re, im, axis, norm=norm)
    np.testing.assert_allclose(y_re + 1j * y_im, y, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", [1, 2, 7, 16])
def test_idft_undoes_dft(norm, n):
    re, im = normal(0, (3, n), (3, n))
    back = ops.idft(*ops.dft(re, im, norm=norm), norm=norm)
    np.testing.assert_allclose(back, [re, im], atol=1e-14)


def test_ortho_keeps_the_length_of_vectors():
    re, im = normal(0, (5, 6), (5, 6))
    y_re, y_im = ops.dft(re, im, norm="ortho")
    np.testing.assert_allclose((y_re**2 + y_im**2).sum(-1), (re**2 + im**2).sum(-1))


def test_one_output_alone_has_gradients_for_both_inputs():
    re, im = (Tensor(x, True) for x in normal(0, (4,), (4,)))
    y_re, _ = ops.dft(re, im)
    dy = np.arange(4.0)
    expected = np.fft.fft(dy)  # y_re = Re(F) re - Im(F) im, and F is symmetric
    np.testing.assert_allclose(grad(y_re, [re, im], dy), [expected.real, -expected.imag])


def test_parity_with_torch():
    re, im = normal(0, (3, 5), (3, 5))

    def theirs(torch, re, im):
        y = torch.fft.fft(torch.complex(re, im), dim=0)
        return y.real, y.imag

    compare_with_torch(lambda re, im: ops.dft(re, im, 0), theirs, re, im)


def test_what_does_not_fit_is_refused_by_name():
    x = np.ones((3, 0))
    with pytest.raises(ValueError, match=r"dft: shape \(3, 0\) has no entries along axis 1"):
        ops.dft(x, x)
    with pytest.raises(ValueError, match=r"idft: im has shape \(3,\), expected \(2,\)"):
        ops.idft(np.ones(2), np.ones(3))
    with pytest.raises(ValueError, match="dft: got norm 'unitary', expected one of"):
        ops.dft(np.ones(2), np.ones(2), norm="unitary")
    assert ops.dft(x, x, 0)[0].shape == (3, 0)

"""Decompositions and least squares on the host: traces, refused types, empty and deficient matrices, as PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from weft.errors import ArgumentError, DTypeError, GradError, LinAlgError, ShapeError, UnsupportedError

M = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
HOSTED: dict[str, Callable[[Any], Any]] = {
    "linalg_svd": lambda x: wf.linalg.svd(x).S,
    "svdvals": lambda x: wf.linalg.svdvals(x),
    "matrix_norm": lambda x: wf.linalg.matrix_norm(x, "nuc"),
    "linalg_norm": lambda x: wf.linalg.norm(x, 2),
    "norm": lambda x: x.norm("nuc"),
    "lstsq": lambda x: wf.linalg.lstsq(x, x[:, :1]).solution,
}


@pytest.mark.parametrize("name", HOSTED)
def test_traced_functions_refuse_by_name(device: Any, name: str) -> None:
    x, function = wf.tensor(M, device=device.name), HOSTED[name]
    for traced in (wf.jit(function), wf.compile(function)):
        with pytest.raises(
            UnsupportedError, match=rf"^{name}: LAPACK .* pass the result to it as an argument"
        ):
            traced(x)
    assert function(x).numpy().shape == wf.compiler.eval_shape(function, x).shape


def test_ops_of_the_host_cannot_be_recorded() -> None:
    x = wf.tensor(M, device="cpu")
    with pytest.raises(UnsupportedError, match=r"^pinv: LAPACK"):
        wf.jit(lambda x: wf.ops.bind(wf.ops.lookup("pinv"), x))(x)


@pytest.mark.parametrize("name", HOSTED)
def test_vmap_takes_the_samples_as_a_batch(device: Any, name: str) -> None:
    batch = np.stack([M, 2 * M, M[::-1]])
    x = wf.tensor(batch, device=device.name)
    found = wf.func.vmap(HOSTED[name])(x).numpy()
    expected = np.stack([HOSTED[name](sample).numpy() for sample in x])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_forward_gradients_equal_backward_ones() -> None:
    x, moved = (wf.tensor(m.astype("float64"), dtype=wf.float64, device="cpu") for m in (M, M[::-1]))
    for name, function in HOSTED.items():
        _, tangent = wf.func.jvp(function, (x,), (moved,))
        expected = np.asarray(
            [(row * moved).sum().item() for row in wf.func.jacrev(function)(x).reshape(-1, 4, 3)]
        )
        np.testing.assert_allclose(tangent.numpy().ravel(), expected, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("dtype", [wf.float16, wf.bfloat16, wf.int64])
@pytest.mark.parametrize("name", HOSTED)
def test_other_types_are_refused(device: Any, name: str, dtype: Any) -> None:
    with pytest.raises(DTypeError, match=name):
        HOSTED[name](wf.tensor(M, device=device.name).to(dtype))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 3)])
def test_empty_matrices(device: Any, shape: tuple[int, ...]) -> None:
    x, theirs = wf.zeros(shape, device=device.name), torch.zeros(shape)
    for order in ("nuc", 2):
        assert wf.linalg.matrix_norm(x, order).tolist() == torch.linalg.matrix_norm(theirs, order).tolist()
    with pytest.raises(IndexError, match="not empty for the order -2"):
        wf.linalg.matrix_norm(x, -2)
    for full in (True, False):
        pairs = zip(wf.linalg.svd(x, full), torch.linalg.svd(theirs, full), strict=True)
        for got, expected in pairs:
            np.testing.assert_array_equal(np.abs(got.numpy()), np.abs(expected.numpy()))
    b, other = wf.ones(*shape[:-1], 2, device=device.name), torch.ones(*shape[:-1], 2)
    assert wf.linalg.lstsq(x, b).solution.tolist() == torch.linalg.lstsq(theirs, other).solution.tolist()


@pytest.mark.parametrize("order", ["nuc", 2, -2])
@pytest.mark.parametrize(
    "matrix", [np.zeros((3, 2)), np.eye(3), np.array([[1.0, 2], [2, 4]])], ids=["0", "I", "1"]
)
def test_gradients_of_norms_where_singular_values_are_equal_or_0(order: Any, matrix: Any) -> None:
    x = wf.tensor(matrix, dtype=wf.float64, device="cpu", requires_grad=True)
    theirs = torch.tensor(matrix, requires_grad=True)
    wf.linalg.matrix_norm(x, order).backward()
    torch.linalg.matrix_norm(theirs, order).backward()
    u, s, vh = np.linalg.svd(matrix, full_matrices=False)
    weight = {"nuc": np.ones_like(s), 2: s == s.max(), -2: s == s.min()}[order].astype(float)
    weight /= 1 if order == "nuc" else weight.sum()
    np.testing.assert_allclose(x.grad.numpy(), (u * weight) @ vh, atol=1e-12)
    if not (
        order == -2 and matrix[0, 0] == matrix[-1, 0] / 2
    ):  # the null vectors of PyTorch's LAPACK have other signs
        np.testing.assert_allclose(np.abs(x.grad.numpy()), np.abs(theirs.grad.numpy()), atol=1e-12)


def test_gradients_of_everything_that_is_decomposed() -> None:
    x = wf.tensor(M.astype("float64"), dtype=wf.float64, device="cpu", requires_grad=True)
    b = wf.tensor(M[::-1, :2].astype("float64"), dtype=wf.float64, device="cpu", requires_grad=True)
    flat = wf.tensor(M.T.astype("float64"), dtype=wf.float64, device="cpu", requires_grad=True)
    deficient = wf.tensor(np.outer(M[:, 0], M[0]), dtype=wf.float64, device="cpu")
    for matrix in (x, flat):
        assert wf.autograd.gradcheck(lambda x: wf.linalg.svd(x, False), (matrix,))
        assert wf.autograd.gradcheck(lambda x: wf.linalg.svd(x)[1:], (x,))
    assert wf.autograd.gradcheck(lambda x, b: wf.linalg.lstsq(x, b, driver="gels")[:2], (x, b))
    assert wf.autograd.gradcheck(lambda b: wf.linalg.lstsq(deficient, b).solution, (b,))
    assert wf.autograd.gradgradcheck(lambda x, b: wf.linalg.lstsq(x, b).solution, (x, b))
    assert wf.autograd.gradgradcheck(lambda x: wf.linalg.norm(x, "nuc"), (x,))


def test_least_squares_of_deficient_matrices(device: Any) -> None:
    matrix = np.outer(M[:, 0], M[0])
    for driver in ("gelsy", "gelsd", "gelss"):
        ours = wf.linalg.lstsq(
            wf.tensor(matrix, device=device.name), wf.tensor(M, device=device.name), driver=driver
        )
        theirs = torch.linalg.lstsq(torch.tensor(matrix), torch.tensor(M), driver=driver)
        assert ours.rank.item() == theirs.rank.item() == 1
        assert tuple(ours.residuals.shape) == (0,)
        for got, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_cut_of_least_squares() -> None:
    matrix = np.diag([1.0, 1e-3]) + 1e-4
    a, b = (wf.tensor(m, dtype=wf.float64, device="cpu") for m in (matrix, np.ones((2, 1))))
    with pytest.raises(UnsupportedError, match="driver='gelsd'"):
        wf.linalg.lstsq(a, b, 1e-2)
    with pytest.raises(ArgumentError, match="a number"):
        wf.linalg.lstsq(a, b, float("nan"))
    with pytest.raises(UnsupportedError, match="less than 1"):
        wf.linalg.lstsq(a, b, 2.0)
    for rcond, driver in (
        (None, "gelsy"),
        (1e-4, "gelsy"),
        (1e-2, "gelsd"),
        (1e-4, "gelss"),
        (-1.0, "gelsd"),
    ):
        ours = wf.linalg.lstsq(a, b, rcond, driver=driver)
        theirs = torch.linalg.lstsq(
            torch.tensor(matrix), torch.ones(2, 1).double(), rcond=rcond, driver=driver
        )
        assert ours.rank.item() == theirs.rank.item()
        np.testing.assert_allclose(ours.solution.numpy(), theirs.solution.numpy(), rtol=1e-9, atol=1e-9)


def test_mistakes() -> None:
    x = wf.tensor(M, device="cpu")
    with pytest.raises(LinAlgError, match="svd: the matrix has non-finite elements"):
        wf.linalg.svdvals(x * float("nan"))
    with pytest.raises(LinAlgError, match="the matrix has non-finite elements"):
        wf.linalg.lstsq(x, x / 0)
    with pytest.raises(ShapeError, match="at least 2-dimensional"):
        wf.linalg.svd(x[0])
    with pytest.raises(ShapeError, match="at least 2-dimensional"):
        x[0].norm("nuc")
    with pytest.raises(ArgumentError, match="two dimensions"):
        x[None].norm("nuc")
    with pytest.raises(ArgumentError, match="'fro', 'nuc', 1"):
        wf.linalg.matrix_norm(x, 3)
    with pytest.raises(ArgumentError, match="one of gels, gelsy"):
        wf.linalg.lstsq(x, x, driver="qr")
    with pytest.raises(ShapeError, match="4 rows"):
        wf.linalg.lstsq(x, x[:2])
    with pytest.raises(ShapeError, match="as many dimensions as A, or one fewer"):
        wf.linalg.lstsq(x[None], x[0])
    with pytest.raises(DTypeError, match="float32, as A's"):
        wf.linalg.lstsq(x, x.double())
    with pytest.raises(GradError, match="requires grad"):
        wf.linalg.svdvals(wf.tensor(M, device="cpu", requires_grad=True), out=wf.zeros(3, device="cpu"))

"""``out=`` of every function whose namesake in PyTorch takes it, from the table of cases: values, identity, mistakes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from tests.ops.arrays import Placed, assert_equal, from_weft, to_weft
from tests.ops.cases import FUNCTION_CASES, Case
from tests.ops.test_functions import leaves, placed, rebuilt, results_of
from weft import dtypes, errors
from weft.ops import FUNCTIONS

BEYOND = ("isnan", "isinf", "isfinite", "masked_fill", "silu", "selu", "hardsigmoid", "hardswish", "mish",
          "elu", "celu", "leaky_relu", "hardtanh", "relu6")  # fmt: skip
"""Functions that take ``out=`` in weft and not in PyTorch: all pointwise functions of weft take it."""


def arguments(case: Case, form: Callable[[Placed], Any]) -> list[Any]:
    flat = leaves(placed(case, case.dtypes[0], "dense"))
    return rebuilt(case, [form(leaf) if isinstance(leaf, Placed) else leaf for leaf in flat])


def taken_by_torch(name: str) -> bool:
    """Return whether PyTorch's function of a name takes ``out=``, by calling it."""
    for home in (torch, torch.linalg):
        theirs = getattr(home, name.removeprefix("linalg_"), None)
        for case in FUNCTION_CASES[name][:3] if theirs is not None else ():
            given = arguments(case, lambda leaf: leaf.in_torch()[1])
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    result = theirs(*given, **case.keywords)
                    out = (
                        type(result)(map(torch.empty_like, result))
                        if type(result) is tuple
                        else (
                            tuple(map(torch.empty_like, result))
                            if isinstance(result, tuple)
                            else torch.empty_like(result)
                        )
                    )
                    theirs(*given, **case.keywords, out=out)
            except (TypeError, RuntimeError, ValueError):
                continue
            return True
    return False


TAKING = [name for name in FUNCTION_CASES if taken_by_torch(name)]
ROWS = [(name, at) for name in TAKING for at in range(min(4, len(FUNCTION_CASES[name])))]


def test_the_same_functions_take_it_as_in_torch() -> None:
    import inspect

    ours = {name for name, spec in FUNCTIONS.items() if "out" in inspect.signature(spec.function).parameters}
    assert ours == {*TAKING, *BEYOND}
    assert len(TAKING) > 140


def called(name: str, case: Case, device: str, **keywords: Any) -> Any:
    given = arguments(case, lambda leaf: to_weft(leaf.array, device))
    return FUNCTIONS[name].function(*given, **case.keywords, **keywords)


def like(result: Any, make: Callable[[Any], Any]) -> Any:
    return tuple(make(part) for part in result) if isinstance(result, tuple) else make(result)


def filled(shape: tuple[int, ...], dtype: Any, device: str) -> Any:
    return wf.full(shape, 1, dtype=dtype, device=device)


def stepped(result: Any) -> Any:
    """Return a tensor of the result's shape with strides: every other element of each row, columns first."""
    if not result.ndim:
        return filled((3,), result.dtype, str(result.device))[1]
    base = filled((*reversed(result.shape[:-1]), 2 * result.shape[-1] + 1), result.dtype, str(result.device))
    return base[..., 1::2].permute(*reversed(range(result.ndim - 1)), result.ndim - 1)


def wider(result: Any) -> Any:
    """Return a tensor of the result's shape in another type that holds the result's."""
    kinds = {"bool": dtypes.uint8, "uint": dtypes.int32, "int": dtypes.float32, "float": dtypes.float16}
    return filled(tuple(result.shape), kinds[result.dtype.kind], str(result.device))


@pytest.mark.parametrize(("name", "at"), ROWS, ids=[f"{name}-{at}" for name, at in ROWS])
def test_the_result_is_written(device: Any, name: str, at: int) -> None:
    case = FUNCTION_CASES[name][at]
    if not device.supports(case.dtypes[0]):
        pytest.skip("the device lacks the type")
    expected = called(name, case, device.name)
    if not all(hasattr(part, "dtype") for part in results_of(expected)):
        with pytest.raises(errors.WeftError):  # nonzero(as_tuple=True), where(condition): no tensor to write
            called(name, case, device.name, out=wf.ones(1, device=device.name))
        return
    forms = {
        "same": lambda result: filled(tuple(result.shape), result.dtype, device.name),
        "stepped": stepped,
        "wider": wider,
    }
    for form, make in forms.items():
        out = like(expected, make)
        result = called(name, case, device.name, out=out)
        for given, written, wanted in zip(
            results_of(out), results_of(result), results_of(expected), strict=True
        ):
            assert written is given
            assert not written.requires_grad
            want = from_weft(wanted)
            if form == "wider":
                with np.errstate(over="ignore"):
                    want = want.astype(given.dtype.numpy)
            scale = max(case.scale, 2) if form == "wider" else case.scale
            assert_equal(from_weft(written), want, f"{name} {form}", scale)


def mistaken(expected: Any, device: str) -> dict[str, tuple[Any, Any]]:
    """Return, for each mistake, the ``out`` and the error."""
    first = results_of(expected)[0]
    rest = results_of(expected)[1:]

    def with_rest(first_out: Any) -> Any:
        return (first_out, *rest) if isinstance(expected, tuple) else first_out

    found: dict[str, tuple[Any, Any]] = {
        "shape": (with_rest(filled((*first.shape, 3), first.dtype, device)), errors.ShapeError),
        "kind": (with_rest("text"), errors.ArgumentTypeError),
        "grad": (with_rest(wf.ones(*first.shape, device=device, requires_grad=True)), errors.GradError),
    }
    if first.dtype.kind != "bool":
        found["type"] = (with_rest(filled(tuple(first.shape), dtypes.bool_, device)), errors.DTypeError)
    if first.ndim and first.shape[0] > 1:
        found["overlap"] = (with_rest(first[:1].clone().expand(*first.shape)), errors.ShapeError)
    return found


@pytest.mark.parametrize("name", TAKING)
def test_mistakes_raise_and_change_nothing(device: Any, name: str) -> None:
    case = FUNCTION_CASES[name][0]
    if not device.supports(case.dtypes[0]):
        pytest.skip("the device lacks the type")
    expected = called(name, case, device.name)
    for mistake, (out, error) in mistaken(expected, device.name).items():
        before = [part.detach().tolist() for part in results_of(out) if hasattr(part, "tolist")]
        with pytest.raises(error, match=r"expected|more than one element") as caught:
            called(name, case, device.name, out=out)
        where = str(caught.value).partition(":")[0]
        assert where in FUNCTIONS or where in wf.ops.OPS, (mistake, str(caught.value))
        assert before == [part.detach().tolist() for part in results_of(out) if hasattr(part, "tolist")], (
            mistake
        )


EVERYWHERE = [name for name in TAKING if FUNCTION_CASES[name][0].dtypes[0] is not dtypes.float64]
"""Functions whose first case is of a type that all devices have."""


@pytest.mark.webgpu
@pytest.mark.parametrize("name", EVERYWHERE)
def test_out_on_another_device_is_named(name: str) -> None:
    case = FUNCTION_CASES[name][0]
    there = os.environ.get("WEFT_TEST_DEVICE", "webgpu:software")
    out = like(called(name, case, "cpu"), lambda result: filled(tuple(result.shape), result.dtype, there))
    with pytest.raises(errors.DeviceError, match=r"cpu.*webgpu|webgpu.*cpu"):
        called(name, case, "cpu", out=out)


def test_operands_that_require_grad_are_refused(device: Any) -> None:
    x = wf.ones(3, device=device.name, requires_grad=True)
    out = wf.zeros(3, device=device.name)
    for call in (
        lambda: wf.cumsum(x, 0, out=out),
        lambda: wf.cat([x], out=out),
        lambda: wf.topk(x, 3, out=(out, out)),
    ):
        with pytest.raises(errors.GradError, match=r"requires grad.*no_grad"):
            call()
    with wf.no_grad():
        assert wf.cumsum(x, 0, out=out) is out
    assert out.tolist() == [1, 2, 3]
    assert out.grad_fn is None


def test_an_operand_may_be_out(device: Any) -> None:
    a = np.arange(12, dtype="float32").reshape(3, 4)
    x = wf.tensor(a, device=device.name)
    assert wf.cumsum(x, 1, out=x) is x
    np.testing.assert_array_equal(x.numpy(), a.cumsum(1))
    square = wf.tensor(a[:, :3].copy(), device=device.name)
    wf.matmul(square, square, out=square)
    np.testing.assert_allclose(square.numpy(), a[:, :3] @ a[:, :3])
    wf.sort(x, 1, True, out=(x, x.long()))
    np.testing.assert_array_equal(x.numpy(), a.cumsum(1)[:, ::-1])


def test_the_number_of_tensors_is_checked(device: Any) -> None:
    x = wf.arange(4, device=device.name).float()
    with pytest.raises(
        errors.ArgumentTypeError, match=r"topk: out is one Tensor, expected a tuple of 2 tensors"
    ):
        wf.topk(x, 4, out=x)
    with pytest.raises(errors.ArgumentTypeError, match=r"sum: out is tuple, expected a Tensor"):
        wf.sum(x, out=(x, x))


MADE: dict[str, Callable[..., Any]] = {
    "zeros": lambda **o: wf.zeros(2, 3, **o), "ones": lambda **o: wf.ones((2, 3), **o),
    "full": lambda **o: wf.full((2, 3), 2.5, **o), "arange": lambda **o: wf.arange(1, 7, 2, **o),
    "linspace": lambda **o: wf.linspace(0, 1, 5, **o), "logspace": lambda **o: wf.logspace(0, 2, 3, **o),
    "eye": lambda **o: wf.eye(2, 3, **o), "rand": lambda **o: wf.rand(4, **o), "randn": lambda **o: wf.randn(2, 2, **o),
    "normal": lambda **o: wf.normal(1.0, 2.0, (3,), **o), "randint": lambda **o: wf.randint(9, (4,), **o),
    "randperm": lambda **o: wf.randperm(5, **o),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_creation_functions_take_it_too(device: Any, name: str) -> None:
    make = MADE[name]
    wf.manual_seed(3)
    expected = make(device=device.name)
    for form in (lambda result: filled(tuple(result.shape), result.dtype, device.name), stepped):
        out = form(expected)
        wf.manual_seed(3)
        assert make(out=out) is out
        np.testing.assert_array_equal(out.numpy(), expected.numpy())
    with pytest.raises(errors.ShapeError, match=f"{'full' if name in ('zeros', 'ones') else name}|cast|pow"):
        make(out=wf.zeros(7, 7, dtype=expected.dtype, device=device.name))
    with pytest.raises(errors.GradError):
        make(out=wf.ones(*expected.shape, device=device.name, requires_grad=True))
    if name != "randperm":
        half = wf.zeros(*expected.shape, dtype=dtypes.float16, device=device.name)
        if name != "randint":
            assert make(out=half).dtype is dtypes.float16
        with pytest.raises(errors.DTypeError, match="as dtype says"):
            make(out=half, dtype=dtypes.bfloat16)


def test_empty_and_bernoulli(device: Any) -> None:
    out = wf.ones(2, 3, device=device.name)
    assert wf.empty(2, 3, out=out) is out
    with pytest.raises(errors.ShapeError, match="empty"):
        wf.empty(3, out=out)
    chances = wf.tensor([0.0, 1.0], device=device.name)
    out = wf.full((2,), 7.0, device=device.name)
    assert wf.bernoulli(chances, out=out) is out
    assert out.tolist() == [0, 1]

"""The random functions: uniform, normal and integer tensors, permutations, dropout."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy

from weft import devices, dtypes
from weft.dtypes import DType
from weft.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    DTypeError,
    UnsupportedError,
    mistake,
)
from weft.ops import OPS, TensorType, bind, interpreter_stack
from weft.ops.registry.arguments import data_type, floating, integer, sizes
from weft.ops.registry.arguments import tensor as checked_tensor
from weft.ops.registry.outs import bind_out, check_given
from weft.ops.registry.signatures import checked
from weft.ops.registry.targets import check_target
from weft.random.generator import Generator, default_generator, samples
from weft.tensors.array import require_support
from weft.tensors.creation import tensor
from weft.tensors.host import host_memory

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


def drawing(function: F) -> F:
    """Decorate a public function that draws: its arguments are normalised, PyTorch's memory options are accepted."""
    return checked(function, neutral=("layout", "pin_memory", "memory_format"))


def _draw(
    op: str,
    where: str,
    size: Sequence[int],
    bounds: tuple[Any, Any],
    dtype: DType,
    generator: Generator | None = None,
    out: Tensor | None = None,
    given: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Run an op that draws, with the counters of a generator, into a new tensor or ``out``."""
    kind = dtype if given is None else data_type(where, given)
    if out is not None:
        device, kind = _from_out(where, out, device, given, requires_grad)
    if op != "random_integer":
        floating(where, "the result", kind)
    name = (devices.default() if device is None else devices.open(device)).name
    if generator is not None and generator.device != name:
        if device is not None:
            raise ArgumentError(mistake(where, "generator", f"on {generator.device}", f"on {name}"))
        name = generator.device
    require_support(devices.open(name), kind)
    shape = sizes(where, (tuple(size),))
    if out is not None:
        check_target(where, TensorType(shape, kind), out)
    state, low, high = (generator or default_generator(name)).take(math.prod(shape))
    if out is not None:
        bind(OPS[op], state, low, high, *bounds, shape=shape, dtype=kind, into=(out,))
        return out
    made: Tensor = bind(OPS[op], state, low, high, *bounds, shape=shape, dtype=kind)
    return made.requires_grad_() if requires_grad else made


def _from_out(where: str, out: Any, device: Any, dtype: Any, requires_grad: bool) -> tuple[str, DType]:
    """Return device and dtype of ``out``; an error where ``device`` or ``dtype`` name others."""
    check_given(where, (out,), ())
    if requires_grad:
        raise ArgumentError(mistake(where, "requires_grad", True, "False with out="))
    if dtype is not None and dtype is not out.dtype:
        raise DTypeError(mistake(where, "out's dtype", out.dtype.name, f"{dtype.name}, as dtype says"))
    if device is not None and devices.open(device).name != str(out.device):
        raise DeviceError(mistake(where, "out", f"on {out.device}", f"on {device}, as device says"))
    return str(out.device), out.dtype


@drawing
def rand(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Draw uniform numbers in [0, 1): ``rand(2, 3)`` or ``rand((2, 3))``; float32 by default.

    The numbers come from ``generator``, by default the device's generator, which ``manual_seed`` seeds.

    >>> import weft as wf
    >>> x = wf.rand(2, 3)
    >>> x.shape, bool(((x >= 0) & (x < 1)).all())
    ((2, 3), True)
    """
    shape, options = sizes("rand", size), (generator, out, dtype, device, requires_grad)
    return _draw("random_uniform", "rand", shape, (0.0, 1.0), dtypes.default_float(), *options)


@drawing
def randn(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Draw normal numbers of mean 0 and standard deviation 1; arguments as for ``rand``.

    >>> import weft as wf
    >>> wf.randn(2, 3).shape
    (2, 3)
    """
    shape, options = sizes("randn", size), (generator, out, dtype, device, requires_grad)
    return _draw("random_normal", "randn", shape, (0.0, 1.0), dtypes.default_float(), *options)


@drawing
def normal(
    mean: float,
    std: float,
    size: int | Sequence[int],
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Draw normal numbers of a mean and a standard deviation, float32 by default."""
    if not std >= 0:
        raise ArgumentError(mistake("normal", "std", std, "0 or more"))
    shape, options = sizes("normal", (size,)), (generator, out, dtype, device, requires_grad)
    return _draw(
        "random_normal", "normal", shape, (float(mean), float(std)), dtypes.default_float(), *options
    )


@drawing
def randint(
    low: int | None = None,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Draw uniform integers in [``low``, ``high``), int64 by default; ``low`` is 0 in ``randint(10, (2, 3))``.

    >>> import weft as wf
    >>> wf.randint(5, 6, (3,))
    tensor([5, 5, 5])
    """
    if isinstance(high, Sequence):
        low, size, high = 0, high, low
    elif high is None:
        low, high = 0, low
    if size is None:
        raise ArgumentTypeError(mistake("randint", "size", "missing", "a sequence of ints"))
    first, last = integer("randint", "low", 0 if low is None else low), integer("randint", "high", high)
    if not 0 < last - first < 2**32:
        raise ArgumentError(mistake("randint", "high", last, f"from {first + 1} to {first + 2**32 - 1}"))
    bounds, options = (first, last - first), (generator, out, dtype, device, requires_grad)
    return _draw("random_integer", "randint", size, bounds, dtypes.int64, *options)


@drawing
def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Draw uniform numbers in [0, 1) with the shape, dtype and device of a tensor, unless given."""
    place, kind = str(input.device) if device is None else device, dtype or input.dtype
    return rand(*input.shape, generator=generator, dtype=kind, device=place, requires_grad=requires_grad)


@drawing
def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DType | None = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Draw normal numbers with the shape, dtype and device of a tensor, unless given."""
    place, kind = str(input.device) if device is None else device, dtype or input.dtype
    return randn(*input.shape, generator=generator, dtype=kind, device=place, requires_grad=requires_grad)


@drawing
def bernoulli(input: Tensor, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
    """Draw 1 with the probability that each element gives, else 0; the dtype is that of ``input``."""
    checked_tensor("bernoulli", "input", input)
    floating("bernoulli", "input", input.dtype)
    drawn = rand(input.shape, device=str(input.device), generator=generator)
    if out is not None:
        return bind_out(OPS["lt"], out, drawn, input.detach())  # type: ignore[no-any-return]
    return (drawn < input.detach()).to(input.dtype)


@drawing
def randperm(
    n: int, *, generator: Generator | None = None, out: Tensor | None = None, device: str | None = None
) -> Tensor:
    """Return the numbers 0 to n - 1 in random order, int64; drawn on the host from the generator's key and counter."""
    count = integer("randperm", "n", n)
    if count < 0:
        raise ArgumentError(mistake("randperm", "n", n, "0 or more"))
    if out is not None:
        device, _ = _from_out("randperm", out, device, None, False)
        check_target("randperm", TensorType((count,), dtypes.int64), out)
    name = (devices.default() if device is None else devices.open(device)).name
    if not interpreter_stack()[0].executes:
        raise UnsupportedError(
            "randperm: is drawn on the host, expected outside of a traced function; pass it in"
        )
    if samples.get() is not None:
        raise UnsupportedError(
            "randperm: is drawn on the host, expected outside of a function that vmap maps; pass it in, or sort rand(n)"
        )
    used = generator or default_generator(name)
    _, low, high = used.take(max(count, 1))
    source = numpy.random.Generator(numpy.random.Philox(key=used.initial_seed(), counter=low | high << 32))
    with host_memory("randperm", "n", n):
        permutation = source.permutation(count)
    made = tensor(permutation, dtype=dtypes.int64, device=name)
    return made if out is None else out.copy_(made)


@drawing
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero elements with probability ``p`` and scale the rest by 1 / (1 - p), while ``training``.

    ``inplace`` overwrites the elements of ``input`` and returns it.
    """
    checked_tensor("dropout", "input", input)
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(mistake("dropout", "p", p, "a probability in [0, 1]"))
    if not training or p == 0.0:
        return input
    floating("dropout", "input", input.dtype)
    state, low, high = default_generator(str(input.device)).take(input.numel())
    result: Tensor = bind(OPS["dropout"], input, state, low, high, p=float(p))[0]
    return input.copy_(result) if inplace else result

"""The random functions: uniform, normal and integer tensors, permutations, dropout."""

from __future__ import annotations

import math
from typing import Any

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
from weft.ops.arguments import data_type, floating, integer, sizes
from weft.ops.arguments import tensor as checked_tensor
from weft.ops.outs import bind_out, check_given
from weft.ops.targets import check_target
from weft.random.generator import Generator, default_generator, samples
from weft.tensors.tensor import Tensor, tensor


def _draw(
    op: str, where: str, size: Any, bounds: tuple[Any, Any], options: dict[str, Any], dtype: DType
) -> Tensor:
    generator: Generator | None = options.pop("generator", None)
    device, given = options.pop("device", None), options.pop("dtype", None)
    requires_grad, out = options.pop("requires_grad", False), options.pop("out", None)
    if options:
        expected = "generator, dtype, device, out, requires_grad"
        raise ArgumentTypeError(mistake(where, "arguments", sorted(options), expected))
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
    from weft.tensors.array import require_support

    require_support(devices.open(name), kind)
    shape = sizes(where, size)
    if out is not None:
        check_target(where, TensorType(shape, kind), out)
    state, low, high = (generator or default_generator(name)).take(math.prod(shape))
    if out is not None:
        bind(OPS[op], state, low, high, *bounds, shape=shape, dtype=kind, into=(out,))
        return out  # type: ignore[no-any-return]
    made: Tensor = bind(OPS[op], state, low, high, *bounds, shape=shape, dtype=kind)
    return made.requires_grad_() if requires_grad else made


def _from_out(where: str, out: Any, device: Any, dtype: Any, requires_grad: bool) -> tuple[str, DType]:
    """Device and dtype of a given tensor, with which what else is given agrees."""
    check_given(where, (out,), ())
    if requires_grad:
        raise ArgumentError(mistake(where, "requires_grad", True, "False with out="))
    if dtype is not None and dtype is not out.dtype:
        raise DTypeError(mistake(where, "out's dtype", out.dtype.name, f"{dtype.name}, as dtype says"))
    if device is not None and devices.open(device).name != str(out.device):
        raise DeviceError(mistake(where, "out", f"on {out.device}", f"on {device}, as device says"))
    return str(out.device), out.dtype


def rand(*size: Any, **options: Any) -> Tensor:
    """Uniform numbers in [0, 1); options ``generator``, ``dtype``, ``device``, ``requires_grad``."""
    return _draw("random_uniform", "rand", size, (0.0, 1.0), options, dtypes.float32)


def randn(*size: Any, **options: Any) -> Tensor:
    """Normal numbers of mean 0 and deviation 1; options ``generator``, ``dtype``, ``device``, ``requires_grad``."""
    return _draw("random_normal", "randn", size, (0.0, 1.0), options, dtypes.float32)


def normal(mean: float, std: float, size: Any, **options: Any) -> Tensor:
    """Normal numbers of a mean and a standard deviation."""
    if std < 0:
        raise ArgumentError(mistake("normal", "std", std, "0 or more"))
    return _draw("random_normal", "normal", size, (float(mean), float(std)), options, dtypes.float32)


def randint(low: int, high: int | Any, size: Any = None, **options: Any) -> Tensor:
    """Uniform integers in [low, high): ``randint(10, (2, 3))`` counts from 0; int64 unless ``dtype`` says otherwise."""
    if size is None:
        low, high, size = 0, low, high
    first, last = integer("randint", "low", low), integer("randint", "high", high)
    if not 0 < last - first < 2**32:
        raise ArgumentError(mistake("randint", "high", last, f"from {first + 1} to {first + 2**32 - 1}"))
    shape = (size,) if isinstance(size, int) else size
    return _draw("random_integer", "randint", (tuple(shape),), (first, last - first), options, dtypes.int64)


def rand_like(input: Tensor, **options: Any) -> Tensor:
    """Uniform numbers in [0, 1) with the shape, dtype and device of a tensor."""
    return rand(input.shape, **{"dtype": input.dtype, "device": str(input.device), **options})


def randn_like(input: Tensor, **options: Any) -> Tensor:
    """Normal numbers with the shape, dtype and device of a tensor."""
    return randn(input.shape, **{"dtype": input.dtype, "device": str(input.device), **options})


def bernoulli(input: Tensor, *, generator: Generator | None = None, out: Tensor | None = None) -> Tensor:
    """1 with the probability that each element gives, else 0; dtype as ``input``."""
    checked_tensor("bernoulli", "input", input)
    floating("bernoulli", "input", input.dtype)
    drawn = rand(input.shape, device=str(input.device), generator=generator)
    if out is not None:
        return bind_out(OPS["lt"], out, drawn, input.detach())  # type: ignore[no-any-return]
    return (drawn < input.detach()).to(input.dtype)


def randperm(
    n: int, *, generator: Generator | None = None, out: Tensor | None = None, device: str | None = None
) -> Tensor:
    """The numbers 0 to n - 1 in random order, as int64; drawn on the host from the generator's key and counter."""
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
    own = generator or default_generator(name)
    _, low, high = own.take(max(count, 1))
    source = numpy.random.Generator(numpy.random.Philox(key=own.initial_seed(), counter=low | high << 32))
    made = tensor(source.permutation(count), dtype=dtypes.int64, device=name)
    return made if out is None else out.copy_(made)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Elements zeroed with probability ``p`` and the rest scaled by 1 / (1 - p), while ``training``."""
    checked_tensor("dropout", "input", input)
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(mistake("dropout", "p", p, "a probability in [0, 1]"))
    if not training or p == 0.0:
        return input
    floating("dropout", "input", input.dtype)
    state, low, high = default_generator(str(input.device)).take(input.numel())
    result: Tensor = bind(OPS["dropout"], input, state, low, high, p=float(p))[0]
    return result

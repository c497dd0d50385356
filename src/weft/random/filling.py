"""Functions that overwrite tensors with random numbers, for ``Tensor.uniform_``, ``nn.init`` and others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from weft import dtypes
from weft.errors import ArgumentError, mistake
from weft.ops import OPS, bind
from weft.ops.registry.arguments import floating, integer
from weft.random.generator import Generator, default_generator
from weft.tensors.creation import empty

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


def drawn(
    where: str, op: str, like: Tensor, bounds: tuple[Any, Any], generator: Generator | None = None
) -> Tensor:
    """Run an op that draws, with the shape, type and device of ``like``."""
    device = str(like.device)
    source = generator or default_generator(device)
    if source.device != device:
        raise ArgumentError(mistake(where, "generator", f"on {source.device}", f"on {device}, as the tensor"))
    state, low, high = source.take(like.numel())
    made: Tensor = bind(OPS[op], state, low, high, *bounds, shape=tuple(like.shape), dtype=like.dtype)
    return made


def _require_float(where: str, tensor: Tensor) -> None:
    floating(where, "the tensor", tensor.dtype)


def uniform_(tensor: Tensor, start: float, to: float, generator: Generator | None) -> Tensor:
    """Overwrite a tensor with uniform numbers in [start, to)."""
    _require_float("uniform_", tensor)
    if not start <= to:
        raise ArgumentError(mistake("uniform_", "to", to, f"at least {start}"))
    return tensor.copy_(drawn("uniform_", "random_uniform", tensor, (float(start), float(to)), generator))


def normal_(tensor: Tensor, mean: float, std: float, generator: Generator | None) -> Tensor:
    """Overwrite a tensor with normal numbers."""
    _require_float("normal_", tensor)
    if not std >= 0:
        raise ArgumentError(mistake("normal_", "std", std, "0 or more"))
    return tensor.copy_(drawn("normal_", "random_normal", tensor, (float(mean), float(std)), generator))


MANTISSA = {"float16": 11, "bfloat16": 8, "float32": 24}
"""The bits of the consecutive integers that a type holds exactly."""


def random_(tensor: Tensor, start: int, to: int | None, generator: Generator | None) -> Tensor:
    """Overwrite a tensor with uniform integers in [start, to)."""
    dtype = tensor.dtype
    if dtype.kind == "bool":
        start, to = 0, 2
    if to is None:
        bits = MANTISSA.get(dtype.name, dtype.bits - (dtype.kind == "int"))
        if bits > 32:
            raise ArgumentError(
                mistake("random_", "to", "missing", f"a number for {dtype.name}, up to 2**32 above the least")
            )
        to = 2**bits + (dtype.kind == "float")
    first, last = integer("random_", "start", start), integer("random_", "to", to)
    if not 0 < last - first < 2**32 + 1:
        raise ArgumentError(mistake("random_", "to", last, f"from {first + 1} to {first + 2**32 - 1}"))
    count = min(last - first, 2**32 - 1)
    like = tensor if dtype.is_integer else empty(*tensor.shape, dtype=dtypes.int64, device=str(tensor.device))
    return tensor.copy_(drawn("random_", "random_integer", like, (first, count), generator))


def _uniform(where: str, tensor: Tensor, generator: Generator | None) -> Tensor:
    _require_float(where, tensor)
    return drawn(where, "random_uniform", tensor, (0.0, 1.0), generator)


def exponential_(tensor: Tensor, lambd: float, generator: Generator | None) -> Tensor:
    """Overwrite a tensor with -log(1 - u) / lambd of uniform u."""
    if not lambd > 0:
        raise ArgumentError(mistake("exponential_", "lambd", lambd, "above 0"))
    return tensor.copy_((-_uniform("exponential_", tensor, generator)).log1p() / -float(lambd))


def cauchy_(tensor: Tensor, median: float, sigma: float, generator: Generator | None) -> Tensor:
    """Overwrite a tensor with median + sigma tan(pi (u - 1/2)) of uniform u."""
    if not sigma > 0:
        raise ArgumentError(mistake("cauchy_", "sigma", sigma, "above 0"))
    tangents = ((_uniform("cauchy_", tensor, generator) - 0.5) * math.pi).tan()
    return tensor.copy_(tangents * float(sigma) + float(median))


def log_normal_(tensor: Tensor, mean: float, std: float, generator: Generator | None) -> Tensor:
    """Overwrite a tensor with exponentials of normal numbers."""
    _require_float("log_normal_", tensor)
    if not std > 0:
        raise ArgumentError(mistake("log_normal_", "std", std, "above 0"))
    bounds = (float(mean), float(std))
    return tensor.copy_(drawn("log_normal_", "random_normal", tensor, bounds, generator).exp())


def geometric_(tensor: Tensor, p: float, generator: Generator | None) -> Tensor:
    """Overwrite a tensor with numbers of trials up to the first success."""
    if not 0 < p < 1:
        raise ArgumentError(mistake("geometric_", "p", p, "in (0, 1)"))
    logs = (-_uniform("geometric_", tensor, generator)).log1p()
    return tensor.copy_((logs / math.log1p(-p)).ceil().clamp(min=1.0))


def bernoulli_(tensor: Tensor, p: Any, generator: Generator | None) -> Tensor:
    """Overwrite a tensor with 1 with probability ``p`` (a number, or a tensor that broadcasts to the shape), else 0."""
    if isinstance(p, int | float) and not 0 <= p <= 1:
        raise ArgumentError(mistake("bernoulli_", "p", p, "a probability in [0, 1]"))
    like = (
        tensor
        if tensor.dtype.kind == "float"
        else empty(*tensor.shape, dtype=dtypes.float32, device=str(tensor.device))
    )
    chosen = drawn("bernoulli_", "random_uniform", like, (0.0, 1.0), generator) < p
    if tuple(chosen.shape) != tuple(tensor.shape):
        raise ArgumentError(
            mistake(
                "bernoulli_",
                "p",
                f"of shape {tuple(p.shape)}",
                f"one that broadcasts to {tuple(tensor.shape)}",
            )
        )
    return tensor.copy_(chosen)

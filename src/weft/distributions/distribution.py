"""``Distribution``: the base of all distributions, with shapes, checks and samples; and ``Independent``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from weft import dtypes
from weft.autograd import no_grad
from weft.errors import ArgumentError, ArgumentTypeError, UnsupportedError, mistake
from weft.ops import FUNCTIONS, interpreter_stack
from weft.ops.registry.geometry import broadcast_shapes
from weft.ops.registry.kinds import argument_class
from weft.ops.registry.lazy_fronts import Checked
from weft.tensors.creation import full
from weft.tensors.described import Size
from weft.tensors.tensor import Tensor


def common(where: str, **values: Any) -> list[Tensor]:
    """Return parameters as tensors of one shape; numbers take the type and the device of the first tensor."""
    tensors = [value for value in values.values() if isinstance(value, Tensor)]
    options: dict[str, Any] = {"dtype": dtypes.default_float()}
    if tensors:
        options = {"dtype": tensors[0].dtype, "device": str(tensors[0].device)}
    parameters: list[Any] = []
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Tensor | int | float):
            raise ArgumentTypeError(mistake(where, name, f"a {type(value).__name__}", "a tensor or a number"))
        parameters.append(value if isinstance(value, Tensor) else full((), float(value), **options))
    shape = parameters[0].shape
    for tensor in parameters[1:]:
        shape = broadcast(where, shape, tensor.shape)
    return [tensor if tensor.shape == shape else tensor.expand(*shape) for tensor in parameters]


def broadcast(where: str, first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """Return the shape that two shapes broadcast to."""
    return tuple(broadcast_shapes(where, tuple(first), tuple(second)))


@argument_class("a Distribution")
class Distribution(Checked):
    """The base of all distributions.

    ``batch_shape`` is the shape of the parameters, with a distribution for each element; ``event_shape`` is the shape
    of a draw. Samples have the shape ``sample_shape + batch_shape + event_shape``, their log-probabilities
    ``sample_shape + batch_shape``. ``validate_args`` is whether parameters and values are checked, which reads them on
    the host; traced functions do not check.
    """

    has_rsample: ClassVar[bool] = False
    """Whether gradients flow from samples to the parameters."""

    def __init__(
        self,
        batch_shape: Sequence[int] = (),
        event_shape: Sequence[int] = (),
        validate_args: bool | None = None,
    ) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        self._validate_args = validate_args is not False

    @property
    def batch_shape(self) -> Size:
        """The shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of a draw."""
        return self._event_shape

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check(self, argument: str, holds: Any, expected: str) -> None:
        """Raise ``ArgumentError`` where a condition is false for an element."""
        if self._validate_args and interpreter_stack()[0].executes and not bool(holds.all()):
            raise ArgumentError(mistake(self._name, argument, "out of range in places", expected))

    def _checked_value(self, value: Any) -> Tensor:
        """Return the argument of ``log_prob`` or ``cdf`` after checking its type and shape."""
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(
                mistake(f"{self._name}.log_prob", "value", f"a {type(value).__name__}", "a tensor")
            )
        broadcast(f"{self._name}.log_prob", value.shape, (*self.batch_shape, *self.event_shape))
        return value

    def _extended_shape(self, sample_shape: Sequence[int] = ()) -> tuple[int, ...]:
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameters; ``UnsupportedError`` where there are none."""
        raise UnsupportedError(
            f"{self._name}.rsample: draws have no gradient, expected a distribution with has_rsample; use sample()"
        )

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability, or of the density, of a value."""
        raise UnsupportedError(f"{self._name}: log_prob is not defined")

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        raise UnsupportedError(f"{self._name}: entropy has no closed form here")

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of a draw of at most a value."""
        raise UnsupportedError(f"{self._name}: cdf is not defined")

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        raise UnsupportedError(f"{self._name}: mean is not defined")

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        raise UnsupportedError(f"{self._name}: variance is not defined")

    @property
    def stddev(self) -> Tensor:
        """The standard deviation of draws."""
        result: Tensor = self.variance.sqrt()
        return result

    def perplexity(self) -> Tensor:
        """The exponential of the entropy."""
        result: Tensor = self.entropy().exp()
        return result

    def __repr__(self) -> str:
        return f"{self._name}(batch_shape: {tuple(self.batch_shape)}, event_shape: {tuple(self.event_shape)})"


def sum_last(value: Tensor, count: int) -> Tensor:
    """Return the sum over the last ``count`` dimensions."""
    total: Tensor = FUNCTIONS["sum"].function(value, tuple(range(-count, 0))) if count else value
    return total


class Independent(Distribution):
    """A distribution whose last batch dimensions are event dimensions: log-probabilities are summed over them.

    As ``torch.distributions.Independent``.

    >>> import weft as wf
    >>> d = Independent(wf.distributions.Normal(wf.zeros(4, 3), wf.ones(4, 3)), 1)
    >>> d.batch_shape, d.event_shape, d.log_prob(wf.zeros(4, 3)).shape
    ((4,), (3,), (4,))
    """

    def __init__(
        self,
        base_distribution: Distribution,
        reinterpreted_batch_ndims: int,
        validate_args: bool | None = None,
    ) -> None:
        shape, count = base_distribution.batch_shape, reinterpreted_batch_ndims
        if not 0 <= count <= len(shape):
            raise ArgumentError(
                mistake(
                    "Independent", "reinterpreted_batch_ndims", count, f"from 0 to {len(shape)}, the batch's"
                )
            )
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, count
        rank = len(shape) - count
        super().__init__(shape[:rank], (*shape[rank:], *base_distribution.event_shape), validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """Whether gradients flow from samples to the parameters."""
        return self.base_dist.has_rsample

    @property
    def mean(self) -> Tensor:
        """The mean of draws."""
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        """The variance of draws."""
        return self.base_dist.variance

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws without gradients."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with gradients to the parameters."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability, or of the density, of a value."""
        return sum_last(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """The entropy in nats."""
        return sum_last(self.base_dist.entropy(), self.reinterpreted_batch_ndims)


LOG_2PI = math.log(2 * math.pi)

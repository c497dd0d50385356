"""Parameter groups: a group's options, its learning rate on the devices, and the cohorts that share a step counter.

``ParamGroup`` is the dict that users see in ``optimizer.param_groups``. A ``Cohort`` is the parameters of a group on
one device that have taken the same number of steps; one kernel updates it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from weft.autograd import no_grad
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops.registry.kinds import normal
from weft.ops.registry.lazy_fronts import front_of
from weft.optim.numbers import HOST, Numbers
from weft.tensors.arena import scalar
from weft.tensors.tensor import Tensor
from weft.tensors.watch import Retrace, refuse_tracing, tracing


def number(where: str, argument: str, value: Any, low: float = 0.0, high: float | None = None) -> float:
    """Return a number as a float; ``ArgumentError`` unless it is in [low, high). A tensor of one element is read."""
    if isinstance(value, Tensor):
        value = value.item()
    elif type(value).__module__ == "numpy":
        value = normal(where, argument, value, frozenset({"float"}))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArgumentTypeError(mistake(where, argument, repr(value), "a number"))
    if not value >= low or (high is not None and not value < high):
        bounds = f"at least {low:g}" if high is None else f"in [{low:g}, {high:g})"
        raise ArgumentError(mistake(where, argument, value, bounds))
    return float(value)


def option_of(kind: type | None, key: str, value: Any) -> Any:
    """Normalize an option of a group as the optimizer's constructor does.

    Raises ``ArgumentTypeError`` for values that the constructor refuses.
    """
    for owner in () if kind is None else kind.__mro__:
        # a base class may have options that the class itself sets
        front: Any = getattr(front_of(owner), "front", None)
        for argument in () if front is None else front.arguments:
            if argument.name == key:
                plain = key == "params" or not argument.kinds or value is argument.default
                return value if plain else normal(kind.__name__, key, value, argument.kinds)  # type: ignore[union-attr]
    return value


_following: ContextVar[bool] = ContextVar("weft_following", default=False)


@contextmanager
def following() -> Iterator[None]:
    """Within the block, setting a rate does not write to the device, where a compiled step computed it already."""
    token = _following.set(True)
    try:
        yield
    finally:
        _following.reset(token)


class ParamGroup(dict[str, Any]):
    """The options of some parameters, by name, with the parameters under ``"params"``.

    ``group["lr"]`` reads as a float. Assigning a float also writes the 0-d tensor that the kernels read on the device,
    so that a schedule changes no code. ``numbers`` holds the tensors of other options that schedules change. A change
    of any other option increases ``revision``, since compiled steps contain these options as constants.

    >>> import weft as wf
    >>> optimizer = wf.optim.SGD([wf.nn.Parameter(wf.ones(2))], lr=0.5)
    >>> optimizer.param_groups[0]["lr"] = 0.25
    >>> optimizer.param_groups[0]["lr"]
    0.25
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.rates: dict[str, Tensor] = {}
        self.numbers: dict[tuple[str, str], tuple[Tensor, Formula]] = {}
        self.kind: Any = None  # the class of the optimizer, which lists the options that schedules change
        self.revision = 0
        self.cohorts: list[Cohort] = []
        self.stepped: Any = None  # the trace, and the schedule that stepped in it, as weak references
        self.cycled = False  # whether a schedule changes the momentum in compiled steps
        super().__setitem__("lr", number("optimizer", "lr", self["lr"]))

    @property
    def scheduled(self) -> Mapping[str, Callable[[Any], Any]]:
        """See ``Optimizer.scheduled``."""
        options: Mapping[str, Callable[[Any], Any]] = {} if self.kind is None else self.kind.scheduled
        return options

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """Copy and pickle options, cohorts and kind; the tensors of rates and numbers are created again."""
        return _group, (dict(self), self.cohorts, self.kind)

    def __setitem__(self, key: str, value: Any) -> None:
        refuse_tracing(f"param_groups: {key!r}", "change options after the call")
        value = option_of(self.kind, key, value)
        before = self.get(key)
        if key == "lr":
            value = number("optimizer", "lr", value)
            if not _following.get():
                with no_grad():
                    for rate in self.rates.values():
                        rate.fill_(value)
        super().__setitem__(key, value)
        built_in = self.scheduled.get(key)
        if built_in is not None:
            if not _following.get():
                with no_grad():
                    for tensor, formula in self.numbers.values():
                        tensor.fill_(formula(self.momentum, HOST))
            value, before = built_in(value), built_in(before)
        if key not in _FREE and value != before:
            self.revision += 1

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Set several options, each as by ``group[name] = value``."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> ParamGroup:  # type: ignore[override, misc]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the option, after setting it to ``default`` where it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def __delitem__(self, key: str) -> None:
        self.revision += 1
        super().__delitem__(key)

    @property
    def momentum(self) -> float:
        """The momentum, or the first of ``betas``."""
        return float(self["betas"][0] if "betas" in self else self["momentum"])

    def option(self, key: str, formula: Formula, device: str) -> float | Tensor:
        """Return a number that depends on the momentum: a float, or in a trace the device's tensor of it."""
        if not tracing():
            return float(formula(self.momentum, HOST))
        known = self.numbers.get((key, device))
        if known is None:
            known = self.numbers[key, device] = (scalar(formula(self.momentum, HOST), device), formula)
            if self.cycled:
                raise Retrace  # a tensor that is created in a trace is no state that the program could update
        return known[0]

    def rate(self, device: str) -> Tensor:
        """Return the tensor of the learning rate on a device."""
        if device not in self.rates:
            self.rates[device] = scalar(self["lr"], device)
        return self.rates[device]


def _group(options: dict[str, Any], cohorts: list[Cohort], kind: Any) -> ParamGroup:
    """Rebuild a group from a copy or a pickle."""
    group = ParamGroup(options)
    group.cohorts, group.kind = cohorts, kind
    return group


Formula = Callable[[Any, Numbers], Any]
"""An operand of a kernel as a function of the momentum, a Python number or a traced tensor."""

_FREE = frozenset({"lr", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum", "params"})
"""Options that compiled steps do not contain as constants."""


@dataclass
class Cohort:
    """Parameters of one group and device that have taken the same number of steps, and their counter.

    ``started`` is whether the host knows that a step was taken. ``numbers`` are the other scalars that steps change and
    all members share, by their names in the state.
    """

    device: str
    members: list[Tensor]
    step: Tensor
    started: bool = False
    numbers: dict[str, Tensor] = field(default_factory=dict)

    @property
    def counters(self) -> dict[str, Tensor]:
        """The counter and the numbers, by their names in the state."""
        return {"step": self.step, **self.numbers}


def _is_matrix(name: str, parameter: Tensor) -> bool:
    return parameter.ndim > 1


def decay_groups(
    named_parameters: Iterable[tuple[str, Tensor]],
    weight_decay: float,
    decays: Callable[[str, Tensor], bool] = _is_matrix,
) -> list[dict[str, Any]]:
    """Return two parameter groups for an optimizer: with weight decay, where ``decays(name, parameter)``, and without.

    By default matrices decay, and vectors (biases, the scales of norms) do not. Empty groups are left out.

    >>> import weft as wf
    >>> model = wf.nn.Sequential(wf.nn.Linear(2, 2), wf.nn.LayerNorm(2))
    >>> groups = wf.optim.decay_groups(model.named_parameters(), 0.1)
    >>> [(group["weight_decay"], [name for name, _ in group["params"]]) for group in groups]
    [(0.1, ['0.weight']), (0.0, ['0.bias', '1.weight', '1.bias'])]
    >>> optimizer = wf.optim.AdamW(groups, lr=1e-3)
    """
    number("decay_groups", "weight_decay", weight_decay)
    parts: dict[float, list[tuple[str, Tensor]]] = {float(weight_decay): [], 0.0: []}
    for entry in named_parameters:
        if not isinstance(entry, tuple) or len(entry) != 2:
            raise ArgumentTypeError(
                mistake("decay_groups", "named_parameters", f"of {type(entry).__name__}", "pairs (name, parameter)",
                        "use model.named_parameters()")
            )  # fmt: skip
        parts[float(weight_decay) if decays(*entry) else 0.0].append(entry)
    return [{"params": members, "weight_decay": decay} for decay, members in parts.items() if members]

"""Parameter groups: a group's options, the device's copy of its learning rate, and who shares a step counter.

``ParamGroup`` is the dict that users see in ``optimizer.param_groups``. A ``Cohort`` is what one kernel updates:
the parameters of a group on one device that have taken the same number of steps.
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
    """A float of at least ``low`` and, where given, below ``high``; a tensor of one element is read."""
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
    """An option of a group in the form in which the optimizer's constructor takes it.

    Raises ``ArgumentTypeError`` for what the constructor would refuse.
    """
    for owner in () if kind is None else kind.__mro__:
        front: Any = getattr(
            front_of(owner), "front", None
        )  # a base may have options that the class sets itself
        for argument in () if front is None else front.arguments:
            if argument.name == key:
                plain = key == "params" or not argument.kinds or value is argument.default
                return value if plain else normal(kind.__name__, key, value, argument.kinds)  # type: ignore[union-attr]
    return value


_following: ContextVar[bool] = ContextVar("weft_following", default=False)


@contextmanager
def following() -> Iterator[None]:
    """Within it a rate that is set is what the device has already: a compiled step worked it out there."""
    token = _following.set(True)
    try:
        yield
    finally:
        _following.reset(token)


class ParamGroup(dict[str, Any]):
    """The options of some parameters, by name, with the parameters under ``"params"``.

    ``group["lr"]`` reads as a float; assigning one also writes the 0-d tensor on the device that the kernels read,
    so that a schedule changes numbers and never code. ``numbers`` are such for what else a schedule changes; every
    other option that changes is counted in ``revision``, since a compiled step has it built in.

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
        self.kind: Any = None  # the class of the optimizer, which says what schedules change
        self.revision = 0
        self.cohorts: list[Cohort] = []
        self.stepped: Any = None  # by what schedule in which trace, as weak references
        self.cycled = False  # whether a schedule changes the momentum in compiled steps
        super().__setitem__("lr", number("optimizer", "lr", self["lr"]))

    @property
    def scheduled(self) -> Mapping[str, Callable[[Any], Any]]:
        """See ``Optimizer.scheduled``."""
        found: Mapping[str, Callable[[Any], Any]] = {} if self.kind is None else self.kind.scheduled
        return found

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        """What copies and pickles keep: options, cohorts and kind; the device's numbers are made anew."""
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
        """The option, set to ``default`` first where it is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def __delitem__(self, key: str) -> None:
        self.revision += 1
        super().__delitem__(key)

    @property
    def momentum(self) -> float:
        """The momentum, which is the first of ``betas`` where there are two."""
        return float(self["betas"][0] if "betas" in self else self["momentum"])

    def option(self, key: str, formula: Formula, device: str) -> float | Tensor:
        """A number that depends on the momentum: as it is, or in a trace the device's copy of it."""
        if not tracing():
            return float(formula(self.momentum, HOST))
        known = self.numbers.get((key, device))
        if known is None:
            known = self.numbers[key, device] = (scalar(formula(self.momentum, HOST), device), formula)
            if self.cycled:
                raise Retrace  # what is made in a trace is no state that it could write
        return known[0]

    def rate(self, device: str) -> Tensor:
        """The learning rate on a device."""
        if device not in self.rates:
            self.rates[device] = scalar(self["lr"], device)
        return self.rates[device]


def _group(options: dict[str, Any], cohorts: list[Cohort], kind: Any) -> ParamGroup:
    """A group that was copied or pickled."""
    made = ParamGroup(options)
    made.cohorts, made.kind = cohorts, kind
    return made


Formula = Callable[[Any, Numbers], Any]
"""A number that a kernel reads, of the momentum: of a Python number, or traced."""

_FREE = frozenset({"lr", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum", "params"})
"""Options that no compiled step has built in."""


@dataclass
class Cohort:
    """Parameters of one group and device that have taken the same number of steps, and their counter.

    ``started``: whether the host knows that a step was taken. ``numbers``: what else changes with the steps and is one
    number for all members, by its name in the state.
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
    """Parameter groups for an optimizer: those that ``decays(name, parameter)`` chooses, and the others without decay.

    Unless told otherwise matrices decay, and vectors (biases, the scales of norms) do not. A group without parameters
    is left out.

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

"""Parameter groups: a group's options, the device's copy of its learning rate, and who shares a step counter.

``ParamGroup`` is the dict that users see in ``optimizer.param_groups``. A ``Cohort`` is what one kernel updates:
the parameters of a group on one device that have taken the same number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.autograd import no_grad
from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.tensors.arena import scalar
from weft.tensors.tensor import Tensor


def number(where: str, argument: str, value: Any, low: float = 0.0, high: float | None = None) -> float:
    """A float of at least ``low`` and, where given, below ``high``; a tensor of one element is read."""
    if isinstance(value, Tensor):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArgumentTypeError(mistake(where, argument, repr(value), "a number"))
    if not value >= low or (high is not None and not value < high):
        bounds = f"at least {low:g}" if high is None else f"in [{low:g}, {high:g})"
        raise ArgumentError(mistake(where, argument, value, bounds))
    return float(value)


class ParamGroup(dict[str, Any]):
    """The options of some parameters, by name, with the parameters under ``"params"``.

    ``group["lr"]`` reads as a float; assigning one also writes the 0-d tensor on the device that the kernels read,
    so that a schedule changes numbers and never code.

    >>> import weft as wf
    >>> optimizer = wf.optim.SGD([wf.nn.Parameter(wf.ones(2))], lr=0.5)
    >>> optimizer.param_groups[0]["lr"] = 0.25
    >>> optimizer.param_groups[0]["lr"]
    0.25
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        self.rates: dict[str, Tensor] = {}
        self.cohorts: list[Cohort] = []
        super().__setitem__("lr", number("optimizer", "lr", self["lr"]))

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "lr":
            value = number("optimizer", "lr", value)
            with no_grad():
                for rate in self.rates.values():
                    rate.fill_(value)
        super().__setitem__(key, value)

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

    def rate(self, device: str) -> Tensor:
        """The learning rate on a device."""
        if device not in self.rates:
            self.rates[device] = scalar(self["lr"], device)
        return self.rates[device]


@dataclass
class Cohort:
    """Parameters of one group and device that have taken the same number of steps, and their counter.

    ``started``: whether the host knows that a step was taken.
    """

    device: str
    members: list[Tensor]
    step: Tensor
    started: bool = False

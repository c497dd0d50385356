"""What a scan folds, for both targets: states, how an element becomes one, and how two join.

A scan keeps one to two numbers a place. ``lift`` makes them from the inputs ``x0, x1`` at place ``i``; ``join`` from
those of an earlier run (``a0, a1``) and of the run after it (``b0, b1``); it is associative, and NaN stays.
"""

from __future__ import annotations

from dataclasses import dataclass

from weft import dtypes
from weft.dtypes import DType
from weft.expr import Expr, parse, variable
from weft.expr.node import INDEX
from weft.target import TargetProfile


@dataclass(frozen=True)
class Scan:
    """``places``: which states are places (int64) instead of values; ``outputs``: which states are results."""

    inputs: int
    lift: tuple[str, ...]
    join: tuple[str, ...]
    outputs: tuple[int, ...]
    places: tuple[int, ...] = ()

    def types(self, value: DType) -> tuple[DType, ...]:
        """The type of each state, where values are computed in ``value``."""
        return tuple(INDEX if at in self.places else value for at in range(len(self.lift)))

    def lifted(self, value: DType) -> tuple[Expr, ...]:
        """The states of an element, over ``x0 … i``."""
        names = {**{f"x{at}": value for at in range(self.inputs)}, "i": INDEX}
        return tuple(parse(text, names) for text in self.lift)

    def joined(self, value: DType) -> tuple[Expr, ...]:
        """The states of two runs together, over ``a0 … b0 …``."""
        types = self.types(value)
        names = {f"{run}{at}": dtype for run in "ab" for at, dtype in enumerate(types)}
        return tuple(parse(text, names) for text in self.join)

    def variables(self, run: str, value: DType) -> tuple[Expr, ...]:
        """The variables of a run's states, ``"a"`` or ``"b"``."""
        return tuple(variable(f"{run}{at}", dtype) for at, dtype in enumerate(self.types(value)))


def _extreme(sign: str) -> Scan:
    later = f"(b0 {sign} a0) | (b0 != b0)"
    return Scan(1, ("x0", "i"), (f"where({later}, b0, a0)", f"where({later}, b1, a1)"), (0, 1), (1,))


SCANS = {
    "cumsum": Scan(1, ("x0",), ("a0 + b0",), (0,)),
    "cumprod": Scan(1, ("x0",), ("a0 * b0",), (0,)),
    "logcumsumexp": Scan(
        1,
        ("x0",),
        (
            "top = maximum(a0, b0)\nwhere((abs(top) == inf) & (a0 == b0), top, top + log1p(exp(-abs(a0 - b0))))",
        ),
        (0,),
    ),
    "cummax": _extreme(">="),
    "cummin": _extreme("<="),
    # the maps h -> x0 * h + x1, one after another
    "recurrence": Scan(2, ("x0", "x1"), ("a0 * b0", "b0 * a1 + b1"), (1,)),
}


def accumulator(name: str, dtype: DType, wide: bool) -> DType:
    """The type that values are folded in; ``wide`` targets fold floats in float64."""
    if wide and dtype.kind == "float" and name in ("cumsum", "cumprod", "logcumsumexp", "recurrence"):
        return dtypes.float64
    return dtypes.int32 if dtype is dtypes.bool_ else dtype.compute


def parameters(buffers: list[str]) -> tuple[str, ...]:
    """The kernels' parameters, int64: two outer sizes and the length, and each buffer's start and strides."""
    names = [f"{name}_{part}" for name in buffers for part in ("offset", "first", "s0", "s1", "sn")]
    return ("rows0", "rows1", "n", *names)


SHARE = 8
"""Consecutive elements that an invocation folds, on targets with workgroups."""


def invocations(profile: TargetProfile, form: str) -> int:
    """Invocations in a workgroup."""
    if form == "serial":
        return 64
    return 32 if profile.software else 256


def block(profile: TargetProfile) -> int:
    """Elements that a workgroup folds."""
    return invocations(profile, "blocks") * SHARE

"""The associative operators of scans, for all targets: the state of an element, and the combination of two states.

The state of a scan is one or two numbers. ``lift`` computes the state of an element from the inputs ``x0, x1`` at
position ``i``; ``join`` combines the state of a run (``a0, a1``) with the state of the following run (``b0, b1``). The
combination is associative and propagates NaN.
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
    """A scan's operator; ``places`` are the states that are positions (int64), ``outputs`` those that are results."""

    inputs: int
    lift: tuple[str, ...]
    join: tuple[str, ...]
    outputs: tuple[int, ...]
    places: tuple[int, ...] = ()

    def types(self, value: DType) -> tuple[DType, ...]:
        """Return the type of each state for values of type ``value``."""
        return tuple(INDEX if at in self.places else value for at in range(len(self.lift)))

    def lifted(self, value: DType) -> tuple[Expr, ...]:
        """Return the states of an element, over ``x0 … i``."""
        names = {**{f"x{at}": value for at in range(self.inputs)}, "i": INDEX}
        return tuple(parse(text, names) for text in self.lift)

    def joined(self, value: DType) -> tuple[Expr, ...]:
        """Return the combined states of two runs, over ``a0 … b0 …``."""
        types = self.types(value)
        names = {f"{run}{at}": dtype for run in "ab" for at, dtype in enumerate(types)}
        return tuple(parse(text, names) for text in self.join)

    def variables(self, run: str, value: DType) -> tuple[Expr, ...]:
        """Return the variables of the states of run ``"a"`` or ``"b"``."""
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
    # the composition of the maps h -> x0 * h + x1
    "recurrence": Scan(2, ("x0", "x1"), ("a0 * b0", "b0 * a1 + b1"), (1,)),
}


def accumulator(name: str, dtype: DType, wide: bool) -> DType:
    """Return the accumulator's type; ``wide`` targets accumulate floats in float64."""
    if wide and dtype.kind == "float" and name in ("cumsum", "cumprod", "logcumsumexp", "recurrence"):
        return dtypes.float64
    return dtypes.int32 if dtype is dtypes.bool_ else dtype.compute


def parameters(buffers: list[str]) -> tuple[str, ...]:
    """Return the kernels' parameters, all int64: two outer sizes, the length, and each buffer's start and strides."""
    names = [f"{name}_{part}" for name in buffers for part in ("offset", "first", "s0", "s1", "sn")]
    return ("rows0", "rows1", "n", *names)


SHARE = 8
"""The consecutive elements that an invocation folds, on targets with workgroups."""


def invocations(profile: TargetProfile, form: str) -> int:
    """Return the invocations of a workgroup."""
    if form == "serial":
        return 64
    return 32 if profile.software else 256


def block(profile: TargetProfile) -> int:
    """Return the elements that a workgroup folds."""
    return invocations(profile, "blocks") * SHARE

"""Folds of derived kernels in WGSL: in a loop of one invocation, and as a tree over a workgroup.

The order of a fold depends on the sizes alone: a serial loop in row-major order, or strided partial results of a
fixed number of invocations (and four lanes), joined in a fixed tree. The same kernel on the same data gives the
same bits each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weft import dtypes
from weft.codegen.folds import identity
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr.wgsl import Emitter, call_text
from weft.expr.wgsl_text import Declarations, bare, literal, type_name
from weft.kernels import Reduction

BLOCK = 128
"""Terms of a float sum that are added one after another before they join the total."""

FUNCTIONS = {
    "sum": "add", "prod": "mul", "max": "maximum", "largest": "larger", "min": "minimum", "any": "or", "all": "and",
    "argmax": "gt", "argmin": "lt",
}  # fmt: skip
"""The function of the table that joins two values of a fold, or says whether the first replaces the second."""

_WORDS = {"int": dtypes.int32, "uint": dtypes.uint32}
"""The types in which integers are folded: WGSL has no others."""


@dataclass(frozen=True)
class Fold:
    """Names of a reduction's variables: its accumulator, and for argmax and argmin the best value."""

    reduction: Reduction
    accumulator: str
    best: str
    width: int = 1

    @property
    def positional(self) -> bool:
        """Whether the result is a position."""
        return self.reduction.combine in ("argmax", "argmin")

    @property
    def blocked(self) -> bool:
        """Whether blocks are summed first: the error of a float sum then grows with the blocks, not with the terms."""
        return self.reduction.combine == "sum" and self.dtype.kind == "float"

    @property
    def dtype(self) -> DType:
        """The type of the folded values."""
        return self.reduction.value.dtype

    def identity(self, emitter: Emitter) -> str:
        """Return the text of the combine's identity."""
        value = identity(self.reduction.combine, _WORDS.get(self.dtype.kind, self.dtype))
        start = literal(value, self.dtype, emitter.declarations)
        return start if self.width == 1 else f"{type_name(self.dtype, self.width)}({start})"

    def declare(self, emitter: Emitter) -> None:
        """Declare the accumulators, at the combine's identity."""
        start = self.identity(emitter)
        if self.positional:
            emitter.line(f"var {self.best} = {start};")
            emitter.line(f"var {self.accumulator} = 0i;")
        else:
            emitter.line(f"var {self.accumulator} = {start};")
        if self.blocked:
            emitter.line(f"var {self.accumulator}_block = {start};")

    def join(self, emitter: Emitter, value: str, position: str) -> None:
        """Fold a value (at ``position``, for argmax and argmin) into the accumulators."""
        declarations = emitter.declarations
        if not self.positional:
            name = f"{self.accumulator}_block" if self.blocked else self.accumulator
            emitter.line(f"{name} = {bare(self.joined(declarations, name, value))};")
            return
        with emitter.block(f"if ({self.better(declarations, value, self.best)})"):
            emitter.line(f"{self.best} = {value};")
            emitter.line(f"{self.accumulator} = {position};")

    def end_block(self, emitter: Emitter) -> None:
        """Add the block to the total, and clear it."""
        if self.blocked:
            emitter.line(f"{self.accumulator} += {self.accumulator}_block;")
            zero = "0.0f" if self.width == 1 else f"{type_name(self.dtype, self.width)}()"
            emitter.line(f"{self.accumulator}_block = {zero};")

    def narrowed(self, emitter: Emitter, name: str) -> Fold:
        """Return a fold of scalars whose variable ``name`` starts at this fold's joined lanes."""
        fold = Fold(self.reduction, name, f"{name}_best")
        x, y, z, w = (f"{self.accumulator}.{lane}" for lane in "xyzw")
        pairs = [fold.joined(emitter.declarations, *pair) for pair in ((x, y), (z, w))]
        emitter.line(f"var {name} = {bare(fold.joined(emitter.declarations, *pairs))};")
        return fold

    def joined(self, declarations: Declarations, a: str, b: str) -> str:
        """Return the text of two partial results combined."""
        return call_text(
            declarations, FUNCTIONS[self.reduction.combine], (self.dtype, self.dtype), (a, b), self.width
        )

    def better(self, declarations: Declarations, new: str, old: str) -> str:
        """Return the condition that a value replaces the best so far: NaN is better than all but NaN."""
        plain = call_text(
            declarations, FUNCTIONS[self.reduction.combine], (self.dtype, self.dtype), (new, old)
        )
        if self.dtype.kind != "float":
            return plain
        new_nan, old_nan = (call_text(declarations, "isnan", (self.dtype,), (text,)) for text in (new, old))
        return f"{plain} || ({new_nan} && !{old_nan})"


def make_fold(reduction: Reduction, name: str, width: int = 1) -> Fold:
    """Return the fold of a reduction; raise ``KernelError`` for a type that the combine does not take."""
    identity(reduction.combine, reduction.value.dtype)
    fold = Fold(reduction, name, f"{name}_best", width)
    if fold.positional and width > 1:
        raise KernelError(f"reduction {reduction.combine}: cannot be folded in fours; use vector 1")
    return fold


WIDEST = 16
"""Partial results that one step of a tree joins, at most."""

Arrays = Callable[[int, int], "tuple[str, str]"]
"""The workgroup arrays, of so many partial results, of a tree's step (0, 1, …): values, and positions (or "")."""


def steps(team: int) -> list[int]:
    """Return how many partial results each step of a team's tree joins: few steps, as each has a barrier.

    >>> steps(4), steps(32), steps(128), steps(1024)
    ([4], [4, 8], [8, 16], [8, 8, 16])
    """
    found: list[int] = []
    while team > WIDEST:
        found.append(4 if team == 32 else 8)
        team //= found[-1]
    return [*found, team]


def exchange(emitter: Emitter, folds: Sequence[Fold], count: int) -> None:
    """Join the accumulators of ``count`` neighbours in a subgroup by butterfly exchange."""
    for apart in (1 << level for level in range(count.bit_length() - 1)):
        for fold in folds:
            other = f"subgroupShuffleXor({fold.accumulator}, {apart}u)"
            joined = fold.joined(emitter.declarations, fold.accumulator, other)
            emitter.line(f"{fold.accumulator} = {bare(joined)};")


def subgroup_tree(
    emitter: Emitter, folds: Sequence[Fold], team: int, whole: bool, arrays: Sequence[Arrays], subgroup: int
) -> bool:
    """Write ``tree`` by exchange within subgroups; return ``False``, with nothing written, where that is impossible.

    Teams larger than a subgroup store each subgroup's result in workgroup memory, and exchange these again.
    """
    plain = all(not fold.positional and fold.dtype.kind != "bool" for fold in folds)
    width = min(team, subgroup)
    if not plain or width < 2 or team // width > width:
        return False
    exchange(emitter, folds, width)
    count = team // width
    if count == 1:
        return True
    lane, start = ("local", "") if whole else ("lane", f"local / {team}u * {count}u + ")
    names = [each(0, count)[0] for each in arrays]
    with emitter.block(f"if ({lane} % {width}u == 0u)"):
        for fold, name in zip(folds, names, strict=True):
            emitter.line(f"{name}[{start}{lane} / {width}u] = {fold.accumulator};")
    emitter.line("workgroupBarrier();")
    for fold, name in zip(folds, names, strict=True):
        emitter.line(f"{fold.accumulator} = {name}[{start}{lane} % {count}u];")
    exchange(emitter, folds, count)
    emitter.line("workgroupBarrier();")  # the next tree writes where this tree has read
    return True


def tree(emitter: Emitter, folds: Sequence[Fold], team: int, whole: bool, arrays: Sequence[Arrays]) -> None:
    """Join the accumulators of each ``team`` of invocations; each invocation then has the result.

    ``whole``: a team is the workgroup; else ``lane`` is an invocation's number in its team. ``arrays`` has an entry
    for each fold. A step writes where the step before does not read, so that one barrier for each step is enough.
    """
    lane, count, place = ("local" if whole else "lane"), team, "local"
    taken = steps(team)
    for number, joined in enumerate(taken):
        names = [each(number, count) for each in arrays]
        for fold, (values, positions) in zip(folds, names, strict=True):
            emitter.line(f"{values}[{place}] = {fold.best if positions else _kept(fold, fold.accumulator)};")
            if positions:
                emitter.line(f"{positions}[{place}] = {fold.accumulator};")
        if number:
            emitter.close()
        emitter.line("workgroupBarrier();")
        start = "" if whole else f"local / {team}u * {count}u + "
        count //= joined
        if count > 1:
            emitter.open(f"if ({lane} < {count}u)")
            start += f"{lane} + "
        for fold, (values, positions) in zip(folds, names, strict=True):
            if positions:
                _join_positions(emitter, fold, (values, positions), f"{start}0u", joined, count)
            else:
                places = [f"{values}[{start}{i * count}u]" for i in range(joined)]
                _join_values(emitter, fold, [_taken(fold, each) for each in places])
        place = lane if whole else f"local / {team}u * {count}u + lane"
    if len(taken) == 1:
        emitter.line("workgroupBarrier();")  # the next tree's first step writes where this tree has read


def _join_values(emitter: Emitter, fold: Fold, texts: Sequence[str]) -> None:
    """Join values pairwise, as a binary tree."""
    while len(texts) > 1:
        pairs = zip(texts[::2], texts[1::2], strict=True)
        texts = [fold.joined(emitter.declarations, *pair) for pair in pairs]
    emitter.line(f"{fold.accumulator} = {bare(texts[0])};")


def _join_positions(
    emitter: Emitter, fold: Fold, names: tuple[str, str], first: str, joined: int, apart: int
) -> None:
    """Join values and positions in a loop; of equal values the first position wins."""
    values, positions = names
    place, other = emitter.fresh("place"), emitter.fresh("other")
    emitter.line(f"let {place} = {first};")
    emitter.line(f"{fold.best} = {values}[{place}];")
    emitter.line(f"{fold.accumulator} = {positions}[{place}];")
    with emitter.block(f"for (var next = {apart}u; next < {joined * apart}u; next += {apart}u)"):
        emitter.line(f"let {other} = {values}[{place} + next];")
        emitter.line(f"let {other}_position = {positions}[{place} + next];")
        better = fold.better(emitter.declarations, other, fold.best)
        worse = fold.better(emitter.declarations, fold.best, other)
        with emitter.block(f"if (({better}) || (!({worse}) && {other}_position < {fold.accumulator}))"):
            emitter.line(f"{fold.best} = {other};")
            emitter.line(f"{fold.accumulator} = {other}_position;")


def array_type(dtype: DType) -> str:
    """Return the type of partial results in workgroup memory: bool as u32."""
    return type_name(dtypes.uint32 if dtype.kind == "bool" else dtype)


def _kept(fold: Fold, text: str) -> str:
    return f"u32({text})" if fold.dtype.kind == "bool" else text


def _taken(fold: Fold, text: str) -> str:
    return f"({text} != 0u)" if fold.dtype.kind == "bool" else text

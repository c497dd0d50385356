"""The kernels that ``tune`` measures: matrix products by tile and split of the depth, reductions by team size.

A subject allocates memory for its kernel, and runs the kernel as it would be lowered with each choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from weft.codegen import generate
from weft.devices.base import Device, Range, Storage
from weft.dtypes import DType
from weft.errors import KernelError
from weft.graph import Graph, passes
from weft.graph.fuse import tuning
from weft.graph.fuse.fusing import fuse
from weft.graph.fuse.products import asked
from weft.graph.lower.blocks import lower
from weft.graph.lower.lowered import KernelCall, Lowered, flat
from weft.graph.rewriting.parts import loaded, stored
from weft.kernels import Kernel, Library, Offset, Operand
from weft.ops import OPS, bind
from weft.ops.matmul.products import Asked, Choice, ProductLayout, candidates, gpu_program
from weft.ops.registry.sharing import TEAMS_TRIED
from weft.target import KernelSpec, TargetProfile
from weft.tensors.creation import ones

TRIED = 12
"""How many candidates of each product are measured: those that the shipped table expects to be fastest."""

Dispatch = tuple[KernelSpec, Sequence[Range], Sequence[int | float]]


class Subject(Protocol):
    """A tuning question; ``choices`` are its possible answers, the shipped answer first."""

    question: str
    choices: list[Choice]

    def dispatches(self, choice: Choice) -> list[Dispatch]:
        """Return the dispatches of a choice; ``KernelError`` where the target cannot run it."""


def subjects(device: Device, plain: TargetProfile, graph: Graph) -> Iterator[Callable[[], Subject]]:
    """Yield a constructor of each subject of a graph, once for each question; ``plain`` is the profile without choices.

    The subjects are constructed one after another, so that only one of them holds memory at a time.
    """
    lowered = lower(passes.run(graph, plain), plain)
    seen = set()
    for call in flat(lowered.calls):
        product = asked(call)
        if product is not None and str(product[0]) not in seen:
            seen.add(str(product[0]))
            yield lambda call=call, question=product[0]: Product(device, plain, question, call)  # type: ignore[misc]
    fused = fuse(lowered, plain)
    for call in flat(fused.calls):
        kernel = call.kernel
        # kernels with parameters depend on a loop's step
        if not isinstance(kernel, Kernel) or kernel.parameters:
            continue
        for question, part in tuning.asked(kernel).items():
            if question not in seen:
                seen.add(question)
                alone = replace(kernel, parts=(part,))
                yield lambda alone=alone, question=question: Fold(device, plain, question, alone, fused)  # type: ignore[misc]


def _filled(device: Device, dtype: DType, elements: int) -> Storage:
    """Return memory filled with ones, which are valid indices of most tables and fast operands of every kernel."""
    made: Any = bind(OPS["cast"], ones(elements, device=device.name), dtype=dtype)
    storage: Storage = made._data.storage
    return storage


class Fold:
    """A fused kernel with one reduction; the choice is its team size: how many invocations share each result."""

    def __init__(
        self, device: Device, plain: TargetProfile, question: str, kernel: Kernel, lowered: Lowered
    ) -> None:
        (part,) = kernel.parts
        used = loaded(part) | stored(part)
        self.kernel = replace(
            kernel, buffers=tuple(buffer for buffer in kernel.buffers if buffer.name in used)
        )
        self.question, self.profile = question, plain
        shipped = ("team", kernel.cooperative)
        self.choices = [shipped, *(team for team in TEAMS_TRIED if team != shipped)]
        sizes = {value.name: max(value.elements, 1) for value in lowered.values}
        self.storages = [_filled(device, buffer.dtype, sizes[buffer.name]) for buffer in self.kernel.buffers]

    def dispatches(self, choice: Choice) -> list[Dispatch]:
        """Return the kernel with the team size of a choice."""
        if self.kernel.vector > 1 and choice[1] == 0:
            raise KernelError(
                f"{self.question}: a team size of 0 is given, expected 1 or more for a vector kernel"
            )
        return [(generate(replace(self.kernel, cooperative=choice[1]), self.profile), self.storages, ())]


class Product:
    """A call of ``matmul`` with operands in the layout of the call, filled with ones."""

    def __init__(self, device: Device, plain: TargetProfile, question: Asked, call: KernelCall) -> None:
        kernel = call.kernel
        assert isinstance(kernel, Library)
        self.device, self.profile, self.types = device, plain, kernel.dtypes
        self.question, self.choices = str(question), candidates(plain, question)[:TRIED]
        batch0, batch1, m, n, k = map(int, call.arguments[:5])
        numbers = [tuple(map(int, call.arguments[at : at + 5])) for at in (5, 10)]
        self.offsets = [number[0] for number in numbers] + [0]
        c = (batch1 * m * n, m * n, n, 1)
        self.layout = ProductLayout((batch0, batch1), m, n, k, numbers[0][1:], numbers[1][1:], c)
        options = dict(kernel.options)
        self.operands = [
            Operand(at, dtype, aligned=at == 2 or bool(options[side]))
            for at, (dtype, side) in enumerate(zip(self.types, "abc", strict=True))
        ]
        sizes = [(batch0, batch1, m, k), (batch0, batch1, k, n), (batch0, batch1, m, n)]
        self.storages = [
            _filled(device, dtype, offset + _reach(size, strides))
            for dtype, offset, size, strides in zip(
                self.types, self.offsets, sizes, (self.layout.a, self.layout.b, c), strict=True
            )
        ]

    def dispatches(self, choice: Choice) -> list[Dispatch]:
        """Return the product's dispatch, and where its depth is split the sum of the partial products."""
        profile = replace(self.profile, choices={self.question: choice})
        a, b, c = self.operands
        program = gpu_program(a, b, c, self.layout, profile, 3)
        scratch = [
            self.device.allocate(count * self.device.itemsize(dtype)) for dtype, count in program.temporaries
        ]
        values: list[Range] = [*self.storages, *scratch]
        offsets = [*self.offsets, *(0 for _ in scratch)]
        made: list[Dispatch] = []
        for step in program.steps:
            numbers = [
                offsets[argument.index] if isinstance(argument, Offset) else argument
                for argument in step.arguments
                if isinstance(argument, int | float | Offset)
            ]
            made.append((generate(step.kernel, profile), [values[at] for at in step.buffers], numbers))
        return made


def _reach(size: Sequence[int], strides: Sequence[int]) -> int:
    """Return the number of elements from the first to the last element of a view."""
    return 1 + sum((count - 1) * stride for count, stride in zip(size, strides, strict=True))

"""What ``tune`` measures: products of matrices by tile and pieces of the depth, folds by how many share a result.

A subject has memory to run in, and runs as it would be lowered with one choice or another.
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
"""Candidates that are measured of each product: those that the shipped table expects to be fastest."""

Dispatch = tuple[KernelSpec, Sequence[Range], Sequence[int | float]]


class Subject(Protocol):
    """One question: ``choices`` are its possible answers, the shipped one first."""

    question: str
    choices: list[Choice]

    def dispatches(self, choice: Choice) -> list[Dispatch]:
        """What runs with a choice; ``KernelError`` where the target cannot."""


def subjects(device: Device, plain: TargetProfile, graph: Graph) -> Iterator[Callable[[], Subject]]:
    """What there is to measure of a graph that is lowered without measurements, each question once.

    They come as makers, so that the memory of one is free before the next takes its own.
    """
    lowered = lower(passes.run(graph, plain), plain)
    seen = set()
    for call in flat(lowered.calls):
        product = asked(call)
        if product is not None and str(product[0]) not in seen:
            seen.add(str(product[0]))
            yield lambda call=call, own=product[0]: Product(device, plain, own, call)  # type: ignore[misc]
    fused = fuse(lowered, plain)
    for call in flat(fused.calls):
        kernel = call.kernel
        if not isinstance(kernel, Kernel) or kernel.parameters:  # those of loops depend on the round
            continue
        for question, part in tuning.asked(kernel).items():
            if question not in seen:
                seen.add(question)
                alone = replace(kernel, parts=(part,))
                yield lambda alone=alone, own=question: Fold(device, plain, own, alone, fused)  # type: ignore[misc]


def _filled(device: Device, dtype: DType, elements: int) -> Storage:
    """Memory with ones in it: indices of most tables, and numbers that no kernel is slow for."""
    made: Any = bind(OPS["cast"], ones(elements, device=device.name), dtype=dtype)
    storage: Storage = made._data.storage
    return storage


class Fold:
    """A fused kernel with one fold; the choice is how many invocations share each of its results."""

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
        """The one kernel, shared otherwise."""
        if self.kernel.vector > 1 and choice[1] == 0:
            raise KernelError(f"{self.question}: elements are taken four at a time by teams only")
        return [(generate(replace(self.kernel, cooperative=choice[1]), self.profile), self.storages, ())]


class Product:
    """A call of ``matmul`` with memory to run it in: operands where the call has them, ones in them."""

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
        """The product, and where its depth is cut the sum of its pieces."""
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
    """Elements up to the last one of a view."""
    return 1 + sum((count - 1) * stride for count, stride in zip(size, strides, strict=True))

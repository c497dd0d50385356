"""``run`` of a prepared call: a generated function from the operands to the outputs.

The source text depends on the structure of the call alone (how many operands, which of them each kernel binds, which
arguments change), so that few functions are compiled. All else (launches, sizes, types, layouts) is bound to them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from weft.devices.base import Device, Launch
from weft.dtypes import DType
from weft.errors import IndexOutOfRangeError
from weft.kernels import as_parameter
from weft.kernels.numbers import LARGEST_FLOAT32
from weft.tensors.array import Array

Structure = tuple[int, int, int, bool, tuple[tuple[Any, ...], ...]]
"""Operands, outputs, temporaries, whether the outputs are given; for each step its buffers, the values whose offsets
it takes, and the operands that are numbers, each with the kind of its parameter."""


def run_function(
    structure: Structure, device: Device, launches: Sequence[Launch], sizes: Sequence[int],
    made: Sequence[tuple[DType, tuple[int, ...], tuple[int, ...], int]], numbers: Sequence[DType],
    reported: Callable[[int], IndexOutOfRangeError],
) -> Callable[..., tuple[Array, ...]]:  # fmt: skip
    """Return the function that runs a call.

    Args:
        structure: The structure of the call, on which the source text depends.
        device: The device, which must be ``direct`` when the function is called.
        launches: One for each step.
        sizes: Bytes of new outputs and temporaries.
        made: Type, shape, strides and layout of new outputs.
        numbers: The types of the parameters that are numbers, by step.
        reported: Makes the error of an index that a kernel reports.

    Returns:
        A function of the operands, and of the targets where they are given. It raises ``TypeError``, with nothing
        done, where a storage was disposed.
    """
    flat = [part for output in made for part in output]
    run: Callable[..., tuple[Array, ...]] = _maker(structure)(
        device.allocator(), Array, object.__new__, as_parameter, reported, *launches, *sizes, *flat, *numbers
    )
    return run


@lru_cache(maxsize=4096)  # the number of operands is unbounded, and so is the number of structures
def _maker(structure: Structure) -> Callable[..., Any]:
    scope: dict[str, Any] = {}
    exec(compile(_source(*structure), str(Path(__file__).parent / "<call>"), "exec"), scope)
    make: Callable[..., Any] = scope["make"]
    return make


def _source(
    operands: int, outputs: int, temporaries: int, into: bool, steps: Sequence[tuple[Any, ...]]
) -> str:
    """Return the source of a function that returns ``run``: storages are ``s``, arrays ``v``, numbers ``n``."""
    given = operands + outputs * into
    new = range(given, operands + outputs + temporaries)
    arrays = range(operands, operands + outputs)
    lines, names = [], []
    checked = into and len(steps) > 1
    calls = []
    for step, (buffers, offsets, numbers) in enumerate(steps):
        arguments = [f"s{at}.address" if at in new else f"v{at}.storage.address" for at in buffers]
        if checked:
            lines += [f"if v{at}.storage.address is None: raise TypeError" for at in buffers if at not in new]
        arguments += [f"v{at}.offset" for at in offsets]
        for place, (at, kind) in enumerate(numbers):
            name = f"n{step}_{place}"
            names.append(f"t{name}")
            fits = f"-{LARGEST_FLOAT32!r} <= v{at} <= {LARGEST_FLOAT32!r}"
            if kind == "int":
                fits = f"type(v{at}) is int and 0 <= v{at} < {2**31}"
            lines.append(f"{name} = v{at} if {fits} else number(v{at}, t{name})")
            arguments.append(name)
        calls += [
            f"index = launch{step}({', '.join(arguments)})",
            "if index is not None: raise reported(index)",
        ]
    lines += [f"s{at} = allocate(size{at})" for at in new]
    for at in arrays if not into else ():
        lines += [
            f"v{at} = new(Array)", f"v{at}.storage = s{at}", f"v{at}.dtype = dtype{at}", f"v{at}.shape = shape{at}",
            f"v{at}.strides = strides{at}", f"v{at}.offset = 0", f"v{at}.key = key{at}",
        ]  # fmt: skip
    lines += [*calls, f"return ({''.join(f'v{at}, ' for at in arrays)})"]
    bound = [
        "allocate", "Array", "new", "number", "reported", *(f"launch{at}" for at in range(len(steps))),
        *(f"size{at}" for at in new),
        *(f"{part}{at}" for at in (() if into else arrays) for part in ("dtype", "shape", "strides", "key")), *names,
    ]  # fmt: skip
    body = "\n        ".join(lines)
    arguments = [f"v{at}" for at in range(given)]
    return f"def make({', '.join(bound)}):\n    def run({', '.join(arguments)}):\n        {body}\n    return run\n"

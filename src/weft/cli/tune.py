"""``weft tune``: measure the fastest kernels for a program's matrix products and folds, and keep the choices."""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weft import devices
from weft.compiler import tune
from weft.errors import ArgumentError, mistake
from weft.tensors.creation import ones
from weft.tensors.tensor import Tensor

EXAMPLE = "example"
"""The default name of the function in a file that returns the function to tune."""
SIZES = {True: (64, 128, 256), False: (256, 512, 1024, 2048, 4096)}
"""The square products that are measured without a file: for a software rasteriser, and for hardware."""

Example = tuple[Callable[..., Any], tuple[Any, ...]]


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "program", nargs="?",
        help="a Python file, or file.py:name; its function (by default `example`) takes no arguments and returns a "
        "function to tune and a tuple of its arguments; without a file some square products are measured",
    )  # fmt: skip
    parser.add_argument(
        "--device", help="the device to tune for, as in `weft devices`; by default the default device"
    )


def run(arguments: argparse.Namespace) -> int:
    """Tune, and print the choices."""
    device = devices.default() if arguments.device is None else devices.open(arguments.device)
    with devices.using(device.name):
        if arguments.program is None:
            function, given = squares(device.name, SIZES[device.profile.software])
        else:
            function, given = example(arguments.program)
        try:
            print(tune(function, *given))
        except KeyboardInterrupt:
            print("weft tune: interrupted; what was measured so far is kept", file=sys.stderr)
            return 130
    return 0


def squares(device: str, sizes: tuple[int, ...]) -> Example:
    """Return a function of products of square matrices, plain and with either operand transposed, and its arguments."""

    def products(*given: Tensor) -> list[Tensor]:
        return [product for x in given for product in (x @ x, x @ x.transpose(0, 1), x.transpose(0, 1) @ x)]

    return products, tuple(ones(size, size, device=device) for size in sizes)


def example(named: str) -> Example:
    """Return the result of a file's function; raise ``ArgumentError`` for a missing file or function."""
    path, _, name = named.rpartition(":") if not Path(named).exists() else (named, "", "")
    if not path:
        path, name = named, ""
    name = name or EXAMPLE
    if not Path(path).is_file():
        raise ArgumentError(mistake("tune", "program", repr(named), "a Python file, or file.py:function"))
    function = runpy.run_path(path, run_name="weft_tune").get(name)
    if not callable(function):
        raise ArgumentError(mistake("tune", "program", repr(named), f"a file with a function {name}()"))
    result = function()
    if not (
        isinstance(result, tuple)
        and len(result) == 2
        and callable(result[0])
        and isinstance(result[1], tuple)
    ):
        raise ArgumentError(
            mistake(
                "tune", f"what {name}() gives", type(result).__name__, "(function, tuple of its arguments)"
            )
        )
    return result

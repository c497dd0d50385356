"""``weft tune``: measure which kernels are fastest for the products of a program, and keep that for this machine."""

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
"""The function of a file that gives what is to be tuned, where no other is named."""
SIZES = {True: (64, 128, 256), False: (256, 512, 1024, 2048, 4096)}
"""Square products that are measured where no file is given: for a software rasteriser, and for hardware."""

Example = tuple[Callable[..., Any], tuple[Any, ...]]


def options(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "program", nargs="?",
        help="a Python file, or file.py:name, whose function (named example, unless told) takes nothing and gives "
        "what to tune: a function and a tuple of its arguments; without a file some square products are measured",
    )  # fmt: skip
    parser.add_argument(
        "--device", help="the device to tune for, as in `weft devices`; the default one if not given"
    )


def run(arguments: argparse.Namespace) -> int:
    """Tune, and print what was found."""
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
    """Products of square matrices as they lie, and with either one transposed."""

    def products(*given: Tensor) -> list[Tensor]:
        return [one for x in given for one in (x @ x, x @ x.transpose(0, 1), x.transpose(0, 1) @ x)]

    return products, tuple(ones(size, size, device=device) for size in sizes)


def example(named: str) -> Example:
    """What a file's function gives; ``ArgumentError`` for a file or a function that is not there."""
    path, _, name = named.rpartition(":") if not Path(named).exists() else (named, "", "")
    if not path:
        path, name = named, ""
    name = name or EXAMPLE
    if not Path(path).is_file():
        raise ArgumentError(mistake("tune", "program", repr(named), "a Python file, or file.py:function"))
    made = runpy.run_path(path, run_name="weft_tune").get(name)
    if not callable(made):
        raise ArgumentError(mistake("tune", "program", repr(named), f"a file with a function {name}()"))
    found = made()
    if not (
        isinstance(found, tuple) and len(found) == 2 and callable(found[0]) and isinstance(found[1], tuple)
    ):
        raise ArgumentError(
            mistake(
                "tune", f"what {name}() gives", type(found).__name__, "(function, tuple of its arguments)"
            )
        )
    return found

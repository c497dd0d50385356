"""Runs a program of ``sources/`` as text, with PyTorch or with weft in its place, and records what it computes.

A program is written as people write them for PyTorch. At its top level stand its modules and optimizers, a function
``train_step`` of tensors that gives the loss, ``train(steps)`` that gives the losses, and ``evaluate()``, a number.
"""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

ROOT = Path(__file__).parent.parent.parent
SOURCES = Path(__file__).parent / "sources"
NAMES = sorted(path.stem for path in SOURCES.glob("*.py"))
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """What a program computed: initial state, gradients after the first step, losses, and its evaluation."""

    state: Arrays
    gradients: Arrays
    losses: list[float]
    evaluation: float


def with_weft(text: str) -> str:
    """The source with the imports of ``torch`` replaced by those of ``weft``; nothing else changes.

    >>> with_weft("import torch; from torch import nn")
    'import weft as torch; from weft import nn'
    """
    text = re.sub(r"\bimport torch\b(?![.\w])", "import weft as torch", text)
    # `import torch.utils.data` binds `torch`
    text = re.sub(
        r"\bimport torch\.([\w.]+)(?=\s*$)", r"import weft.\1; import weft as torch", text, flags=re.M
    )
    text = re.sub(r"\bimport torch\.", "import weft.", text)
    return re.sub(r"\bfrom torch\b", "from weft", text)


def started(name: str, text: str, device: str) -> types.ModuleType:
    """The program's module: everything is made, and no step is taken."""
    program = types.ModuleType(f"program_{name}")
    sys.modules[program.__name__] = program  # where dataclasses look for the names of annotations
    try:
        with mock.patch.object(sys, "argv", [f"{name}.py", device]):
            exec(compile(text, f"{name}.py", "exec"), program.__dict__)
    finally:
        del sys.modules[program.__name__]
    return program


def modules_of(program: types.ModuleType) -> dict[str, Any]:
    """The modules at the program's top level, by their names."""
    kind = program.torch.nn.Module
    return {name: value for name, value in vars(program).items() if isinstance(value, kind)}


def arrays(program: types.ModuleType) -> Arrays:
    """The state of all modules, as NumPy arrays."""
    return {
        f"{name}/{key}": value.detach().cpu().numpy().copy()
        for name, module in modules_of(program).items()
        for key, value in module.state_dict().items()
    }


def trained(program: types.ModuleType) -> dict[str, Any]:
    """The parameters that take gradients, by name."""
    return {
        f"{name}/{key}": parameter
        for name, module in modules_of(program).items()
        for key, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def load(program: types.ModuleType, state: Arrays) -> None:
    """Put initial values into the modules."""
    for name, module in modules_of(program).items():
        prefix = f"{name}/"
        own = {
            key.removeprefix(prefix): program.torch.tensor(value)
            for key, value in state.items()
            if key.startswith(prefix)
        }
        module.load_state_dict(own)


def run(
    name: str,
    text: str,
    device: str = "cpu",
    state: Arrays | None = None,
    wrap: Callable[..., Any] | None = None,
    steps: int = 10,
) -> Run:
    """Run the program: one step, whose gradients are kept, then ``steps`` from the start of its data; evaluate.

    ``wrap`` (``weft.jit``) is done to the step. Gradients are a result of it: a compiled function keeps none.
    """
    program = started(name, text, device)
    if state is not None:
        load(program, state)
    initial, parameters, first = arrays(program), trained(program), {}
    step = program.train_step

    def with_gradients(*batch: Any) -> tuple[Any, list[Any]]:
        return step(*batch), [parameter.grad for parameter in parameters.values()]

    wrapped = with_gradients if wrap is None else wrap(with_gradients)

    def recorded(*batch: Any) -> Any:
        result, gradients = wrapped(*batch)
        if not first:
            pairs = zip(parameters, gradients, strict=True)
            first.update((key, value.detach().cpu().numpy().copy()) for key, value in pairs)
        return result

    program.train_step = recorded  # type: ignore[attr-defined]
    losses = program.train(1) + program.train(steps)
    return Run(initial, first, losses, program.evaluate())

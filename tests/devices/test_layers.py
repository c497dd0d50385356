"""Imports between the modules of ``weft.devices`` run one way, also those for type checkers alone."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import weft.devices

ROOT = Path(weft.devices.__file__).parent
PACKAGES = {"weft.devices", "weft.devices.cpu", "weft.devices.webgpu"}
"""Packages, which re-export names of their modules; a module imports siblings by the package's name."""


def module_name(path: Path) -> str:
    parts = ("weft", "devices", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def top_level_imports(body: list[ast.stmt]) -> set[str]:
    """Return the modules that statements import, with those in ``if TYPE_CHECKING`` and without lazy imports."""
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.If):
            found |= top_level_imports(statement.body)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            found |= {statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)}
    return found


def test_modules_have_an_order() -> None:
    modules = {module_name(path): path for path in ROOT.rglob("*.py")}
    graph = {
        name: top_level_imports(ast.parse(path.read_text()).body) & modules.keys() - {name}
        for name, path in modules.items()
        if name not in PACKAGES
    }
    order = list(
        TopologicalSorter({name: used - {"weft.devices"} for name, used in graph.items()}).static_order()
    )
    assert order.index("weft.devices.base") < order.index("weft.devices.replay")
    assert order.index("weft.devices.cpu.kernels") < order.index("weft.devices.cpu.device")

"""Imports between modules are acyclic, including imports inside of functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import networkx
import pytest

SOURCE = Path(__file__).parent.parent / "src"


def modules() -> dict[str, Path]:
    found = {}
    for path in (SOURCE / "weft").rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Iterate over the import statements of a module, except those under ``TYPE_CHECKING``."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for other in node.orelse:
                yield from statements(other)
        else:
            yield from statements(node)


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    for statement in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names if alias.name in known)
        else:
            assert not statement.level, "imports are absolute"
            for alias in statement.names:
                name = f"{statement.module}.{alias.name}"
                yield name if name in known else statement.module or ""


def test_no_module_imports_itself_through_others() -> None:
    known = modules()
    graph = networkx.DiGraph(
        (name, other)
        for name, path in known.items()
        for other in imports(path, known)
        if other in known and other != name
    )
    assert len(graph) > 500
    circles = [sorted(part) for part in networkx.strongly_connected_components(graph) if len(part) > 1]
    assert circles == []


@pytest.mark.parametrize(
    "first",
    ["weft.random.gamma", "weft.autograd.base", "weft.tensors.creation", "weft.tensors.legacy", "weft.nn"],
)
def test_any_module_may_be_imported_first(first: str) -> None:
    program = f"import {first}, weft; weft.ones(2, device='cpu').uniform_().new_zeros(1)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

"""A reader written from docs/metatensor.md alone reads trees and trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import weft as wf
from weft import metatensor as mt


def read(path: Path) -> Any:
    """Return a tree, read as the page describes."""
    with mt.open(path) as file:
        notes = file.metadata["weft.tree"]
        values = {
            name: value.copy() if isinstance(value := file[name], np.ndarray) else value for name in file
        }
    for name, note in notes.items():
        if note == "None":
            values[name] = None
        elif note.startswith("same as "):
            values[name] = values[note.removeprefix("same as ")]
    if notes.get("") == "leaf":
        return values["value"]
    below: dict[str, dict[str, str]] = {}
    for name in [*values, *(name for name in notes if name and notes[name] in ("list", "tuple", "dict"))]:
        while name:
            parent, _, key = name.rpartition(".")
            below.setdefault(parent, {})[key] = name
            name = parent

    def plain(key: str) -> str:
        return "" if key == "%" else key.replace("%2E", ".").replace("%25", "%")

    def build(name: str) -> Any:
        if name in values:
            return values[name]
        note, items = notes.get(name, ""), below.get(name, {})
        if note == "dotted":
            return {path.removeprefix(f"{name}." if name else ""): values[path] for path in leaves(name)}
        made = {key: build(path) for key, path in items.items()}
        if note in ("list", "tuple"):
            found = [made[str(at)] for at in range(len(made))]
            return found if note == "list" else tuple(found)
        return {int(key) if note == "int keys" else plain(key): value for key, value in made.items()}

    def leaves(name: str) -> list[str]:
        return [path for path in values if not name or path.startswith(f"{name}.")]

    return build("")


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, wf.Tensor | np.ndarray):
        np.testing.assert_array_equal(
            found, expected.detach().numpy() if isinstance(expected, wf.Tensor) else expected
        )
    elif isinstance(expected, dict):
        assert set(found) == set(expected)
        for key, value in expected.items():
            same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected)
        for item, other in zip(found, expected, strict=True):
            same(item, other)
    else:
        assert found == expected


def test_a_tree(tmp_path: Path) -> None:
    weight = wf.arange(3.0, device="cpu")
    tree = {
        "model": {"conv.weight": weight, "conv.bias": wf.ones(2, device="cpu")}, "tied": weight, "list": [1, [2.5], ()],
        "none": None, "numbers": {3: "x", -1: b"y"}, "a.b": {"%": 1, "": 2}, "array": np.ones(2), "empty": {},
    }  # fmt: skip
    wf.save(tree, tmp_path / "x.mt")
    found = read(tmp_path / "x.mt")
    assert set(found) == set(tree)
    for key, value in tree.items():
        same(found[key], value)
    wf.save(3.5, tmp_path / "y.mt")
    assert read(tmp_path / "y.mt") == 3.5


def test_a_training(tmp_path: Path) -> None:
    model = wf.nn.Sequential(wf.nn.Linear(3, 2), wf.nn.Linear(2, 1)).to("cpu")
    optimizer = wf.optim.Adam(model.parameters())
    model(wf.ones(4, 3, device="cpu")).sum().backward()
    optimizer.step()
    path = tmp_path / "run.mt"
    wf.io.save_training(path, step=7, metadata={"note": ["é"]}, model=model, optimizer=optimizer)
    found = read(path)
    assert set(found) == {"version", "parts", "random", "step", "metadata"}
    assert (found["version"], found["step"], found["metadata"]) == (1, 7, {"note": ["é"]})
    same(found["parts"]["model"], model.state_dict())
    same(found["parts"]["optimizer"]["state"], optimizer.state_dict()["state"])
    assert all(
        len(words) == 4 and all(0 <= word < 2**32 for word in words) for words in found["random"].values()
    )

"""Trees as metatensor files: every container and value is loaded as it was saved, on both devices."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy
import pytest

import weft as wf
from weft import metatensor as mt
from weft.devices import Device
from weft.errors import ArgumentError, ArgumentTypeError, FormatError, WeftError
from weft.io.trees import NOTES, Encoder, decoded, escaped, unescaped


def same(tree: Any, other: Any) -> bool:
    """Return whether trees are equal in types, containers and values; NaN equals NaN."""
    if isinstance(tree, wf.Tensor):
        return (
            isinstance(other, wf.Tensor)
            and tree.dtype is other.dtype
            and tree.shape == other.shape
            and numpy.array_equal(tree.numpy(), other.numpy(), equal_nan=tree.dtype.is_floating_point)
        )
    if isinstance(tree, numpy.ndarray):
        return type(other) is numpy.ndarray and tree.dtype == other.dtype and numpy.array_equal(tree, other)
    if type(tree) is not type(other):
        return False
    if isinstance(tree, dict):
        return set(tree) == set(other) and all(same(tree[key], other[key]) for key in tree)
    if isinstance(tree, list | tuple):
        return len(tree) == len(other) and all(map(same, tree, other))
    return tree == other or tree != tree and other != other


def there_and_back(tree: Any, folder: Path, device: str = "cpu", **options: Any) -> Any:
    wf.save(tree, folder / "tree.mt", **options)
    return wf.load(folder / "tree.mt", device=device)


def test_a_training_as_people_write_it(tmp_path: Path, device: Device) -> None:
    model = wf.nn.Sequential(wf.nn.Linear(3, 4), wf.nn.BatchNorm1d(4), wf.nn.Linear(4, 1)).to(device.name)
    optimizer = wf.optim.AdamW(model.parameters(), lr=1e-3)
    model(wf.randn(5, 3, device=device.name)).sum().backward()
    optimizer.step()
    tree = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "best": float("inf"),
        "history": [(0, 1.5), (1, float("nan"))], "name": "a.b", "flags": (True, None, b"\0x"), "empty": {},
        "nothing": [], "unit": (), "array": numpy.arange(3),
    }  # fmt: skip
    loaded = there_and_back(tree, tmp_path, device.name)
    assert same(tree, loaded)
    again = wf.nn.Sequential(wf.nn.Linear(3, 4), wf.nn.BatchNorm1d(4), wf.nn.Linear(4, 1)).to(device.name)
    again.load_state_dict(loaded["model"])
    wf.optim.AdamW(again.parameters()).load_state_dict(loaded["optimizer"])
    file = mt.open(tmp_path / "tree.mt")
    assert file["epoch"] == 3
    numpy.testing.assert_array_equal(file["model.0.weight"], model[0].weight.detach().numpy())
    assert file.schema["properties"]["epoch"] == {"TypeDef:Int64": True}


KEYS = st.text(max_size=6) | st.sampled_from(
    ["a.b", "a", ".", "", "%", "a..b", "0", "%2E", "$data", "TypeDef:Int8"]
)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
VALUES = (
    st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=4) | st.binary(max_size=4)
    | st.integers(0, 3).map(lambda n: wf.arange(n, device="cpu"))
    | st.sampled_from(["float32", "int32", "bool", "bfloat16", "uint8"]).map(
        lambda name: wf.ones(2, 1, dtype=wf.dtypes.named(name), device="cpu"))
    | st.integers(0, 3).map(lambda n: numpy.arange(n, dtype="int16"))
)  # fmt: skip
TREES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.dictionaries(st.integers(-3, 3), inner, max_size=3)
    ),
    max_leaves=8,
)


@hypothesis.given(TREES)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None)
def test_any_tree_comes_back(tmp_path: Path, tree: Any) -> None:
    assert same(tree, there_and_back(tree, tmp_path))


@hypothesis.given(TREES, st.integers(1, 40))
@hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
def test_any_tree_comes_back_from_shards(tmp_path: Path, tree: Any, limit: int) -> None:
    assert same(tree, there_and_back(tree, tmp_path, max_shard_size=limit))


@hypothesis.given(KEYS)
def test_keys_are_escaped(key: str) -> None:
    assert unescaped(escaped(key)) == key
    assert "." not in escaped(key) and escaped(key)


def test_tied_tensors_are_stored_once_and_stay_tied(tmp_path: Path) -> None:
    weight = wf.randn(100, 100, device="cpu")
    loaded = there_and_back({"embed.weight": weight, "head.weight": weight, "part": weight[:50]}, tmp_path)
    assert loaded["embed.weight"] is loaded["head.weight"]
    assert loaded["part"] is not loaded["embed.weight"]
    assert (tmp_path / "tree.mt").stat().st_size < 1.6 * 40_000 + 2_000
    assert same(loaded, {"embed.weight": weight, "head.weight": weight, "part": weight[:50]})


class Unknown:
    def state_dict(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": [1, {2}]}, r"the tree\['a'\]\[1\] is a set, expected a tensor, a NumPy array, a number"),
        ({"a": Unknown()}, r"the tree\['a'\] is a Unknown, .*; call its state_dict\(\)"),
        ({1: 2, "a": 3}, "a key of the tree is 1, expected strings, or integers throughout"),
        ({"a": {None: 3}}, r"a key of the tree\['a'\] is None"),
        ({"a": numpy.array(["x"])}, "dtype of a is <U1"),
        (hypothesis.HealthCheck.too_slow, "the tree is a HealthCheck"),
    ],
)
def test_what_no_tree_holds_is_named_with_its_place(tree: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match=message):
        wf.save(tree, tmp_path / "tree.mt")
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_more_than_64_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeftError, match="n"):
        wf.save({"n": 2**70}, tmp_path / "tree.mt")
    assert there_and_back({"n": 2**64 - 1}, tmp_path) == {"n": 2**64 - 1}


def test_suffixes_and_metadata(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"expected a name that ends in .safetensors, .mt or .pt"):
        wf.save({}, tmp_path / "model")
    with pytest.raises(ArgumentError, match=r"names that do not begin with 'weft.'"):
        wf.save({}, tmp_path / "a.mt", metadata={"weft.tree": {}})
    with pytest.raises(ArgumentTypeError, match=r"metadata\['step'\] is a int, expected a text"):
        wf.save({}, tmp_path / "a.safetensors", metadata={"step": 3})
    wf.save({"x": wf.ones(1)}, tmp_path / "a.metatensor", metadata={"step": 3, "by": ["a", "b"]})
    metadata = mt.open(tmp_path / "a.metatensor").metadata
    assert metadata["step"] == 3 and metadata["by"] == ["a", "b"]
    wf.save({"x": wf.ones(1)}, tmp_path / "a.safetensors", metadata={"step": "3"})
    assert mt.open(tmp_path / "a.safetensors").metadata == {"format": "pt", "step": "3"}


def test_files_of_others_are_read(tmp_path: Path) -> None:
    """A metatensor file without notes loads as a dict of structs; the error for a dataset names its reader."""
    mt.save(tmp_path / "a.mt", {"layer": {"bias": numpy.ones(2, "float32")}, "epoch": 3, "name": "x"})
    assert same(
        wf.load(tmp_path / "a.mt", device="cpu"),
        {"layer": {"bias": wf.ones(2, device="cpu")}, "epoch": 3, "name": "x"},
    )
    mt.save(tmp_path / "b.mt", {"rows": numpy.zeros(3, [("a", "i4")])})
    with pytest.raises(FormatError, match=r"'rows'.*read datasets with weft.metatensor.open"):
        wf.load(tmp_path / "b.mt")
    mt.save(tmp_path / "c.mt", {"half": numpy.ones(2, "uint64")})
    with pytest.raises(FormatError, match="dtype of 'half' is U64, expected one of F64"):
        wf.load(tmp_path / "c.mt")


@pytest.mark.parametrize(
    ("notes", "message"),
    [
        ("list", "an object"),
        ({"a": 3}, "texts by path"),
        ({"a": "set"}, "note of 'a' is 'set'"),
        ({"a": "list"}, "'a' is inside of a value"),
        ({"a": "None"}, "'a' is given twice"),
        ({"b": "same as c"}, "note of 'b' is 'c', expected the path of a part"),
        ({"a.b": "None"}, "'a' is inside of a value"),
        ({"s": "list"}, "items of 's'"),
        ({"s": "int keys"}, "keys of 's'"),
        ({"": "leaf"}, "note of '' is 'leaf', expected one part"),
        ({"": "None"}, "given twice"),
    ],
)
def test_notes_that_cannot_be_are_named(notes: Any, message: str, tmp_path: Path) -> None:
    mt.save(tmp_path / "a.mt", {"a": 1, "s": {"x": 2}}, metadata={NOTES: notes})
    with pytest.raises(FormatError, match=message):
        wf.load(tmp_path / "a.mt")


TEXTS = st.sampled_from(["", "a", "b", "s", "s.x", "a.b", "s.0", "c.d.e"])
NOTE = st.sampled_from(
    ["list", "tuple", "int keys", "dotted", "dict", "None", "array", "leaf", "same as a", "same as s", "x"]
)


@hypothesis.given(st.dictionaries(TEXTS, NOTE, max_size=4))
def test_any_notes_give_a_tree_or_a_format_error(notes: dict[str, str]) -> None:
    parts = {("a",): 1, ("s", "x"): 2, ("s", "0"): 3}
    with suppress(FormatError):
        decoded(parts, notes, "load")


def test_notes_say_only_what_the_schema_cannot() -> None:
    assert Encoder({"a": {"b": 1.5, "c": wf.ones(1)}, "d": "x"}).notes == {}
    assert json.loads(json.dumps(Encoder([1, (2, None), {3: {}}]).notes)) == {
        "": "list", "1": "tuple", "1.1": "None", "2": "int keys", "2.3": "dict",
    }  # fmt: skip

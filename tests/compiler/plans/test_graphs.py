"""Validation of ``plan.json``: every change of the file raises an error that names the field, or is another valid plan."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weft as wf
from tests.compiler import programs
from weft import nn
from weft.compiler import load_plan, read_plan
from weft.compiler.plans.contracts import contract
from weft.errors import FormatError, WeftError
from weft.ops import lookup


class Small(nn.Module):
    """Ops of many kinds: products, views, a loop, pooling, random numbers, an update through a view."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.norm = nn.GRU(3, 4, batch_first=True), nn.LayerNorm(4)

    def forward(self, x, scale):
        out, _ = self.cell(x)
        y = nn.functional.dropout(self.norm(out), 0.5)
        z = wf.zeros(2, 5, 4, device=str(x.device))
        z[:, 1:4] = y[:, ::2][:, :3] * scale
        return {"z": z.permute(0, 2, 1), "pooled": nn.functional.max_pool1d(y.transpose(1, 2), 2)}, "fixed"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A saved plan that is only read."""
    with wf.devices.using("cpu"):
        wf.manual_seed(0)
        folder = tmp_path_factory.mktemp("plans") / "plan"
        wf.jit(Small()).plan(wf.ones(2, 6, 3), 2.0).save(folder)
    return folder


@pytest.fixture(scope="module")
def contents(saved) -> dict:
    return json.loads((saved / "plan.json").read_text())


@pytest.fixture
def changed(saved, contents, tmp_path):
    """Return a function that loads the plan with changed contents."""

    def load(change, text=None):
        made = copy.deepcopy(contents)
        change(made)
        folder = tmp_path / "changed"
        folder.mkdir(exist_ok=True)
        (folder / "plan.json").write_text(json.dumps(made) if text is None else text)
        if not (folder / "state.safetensors").exists():
            os.link(saved / "state.safetensors", folder / "state.safetensors")
        return load_plan(folder)

    return load


def test_the_file_is_data_and_nothing_else(saved) -> None:
    assert sorted(path.name for path in saved.iterdir()) == ["plan.json", "state.safetensors"]
    text = (saved / "plan.json").read_text()
    assert not re.search(r"define |@compute|fn main|alloca|\\u0000", text)


def _node(made, op):
    return next(value for value in made["graph"]["nodes"] if value["op"] == op)


def _set(path, value):
    """A change of the member at a path of names and numbers."""

    def change(made):
        *most, last = path
        for key in most:
            made = made[key]
        made[last] = value

    return change


def _drop(*path):
    def change(made):
        *most, last = path
        for key in most:
            made = made[key]
        del made[last]

    return change


def _in_node(op, key, value):
    return lambda made: _node(made, op).__setitem__(key, value)


def _attribute(op, key, value):
    return lambda made: _node(made, op)["attributes"].__setitem__(key, value)


def _body(key, value):
    return lambda made: _node(made, "scan")["attributes"]["body"]["graph"].__setitem__(key, value)


def _swap(made):
    nodes = made["graph"]["nodes"]
    nodes[0], nodes[-1] = nodes[-1], nodes[0]


def _same_id(made):
    nodes = made["graph"]["nodes"]
    nodes[1]["outputs"][0]["id"] = nodes[0]["outputs"][0]["id"]


MISTAKES = [
    (_set(["format"], "onnx"), r"format is \"onnx\", expected one of weft-plan"),
    (_set(["version"], 2), r"version is 2, a newer format, expected at most 1; load it with a newer weft"),
    (_set(["version"], 1.0), r"version is 1\.0, expected a whole number"),
    (_drop("version"), r"version is missing"),
    (_drop("graph"), r"graph is missing"),
    (_set(["further"], 1), r"further is an unknown name, expected one of format, version"),
    (_set(["name"], 3), r"name is 3, expected a string"),
    (_set(["name"], "\x1b[2J"), r"name is .*, expected a string of printable characters"),
    (_set(["target", "dialect"], "cuda"), r"target\.dialect is \"cuda\", expected one of wgsl-native"),
    (_set(["target", "limits"], {"a": -1}), r"target\.limits\.a is -1"),
    (_set(["target", "device"], "gpu"), r"device 'gpu' is not known"),
    (_set(["ops", "scan"], "0" * 16), r"ops\.scan is 0+, from another version of weft"),
    (_set(["ops", "quantum"], "0" * 16), r"ops\.quantum is the op 'quantum', expected an op of this weft"),
    (_set(["ops", "mul.grad99"], "0" * 16), r"ops\.mul\.grad99 is the op"),
    (_set(["ops", "custom.absent"], "0"), r"custom\.absent', which is not registered"),
    (_in_node("scan", "op", "quantum"), r"graph\.nodes\[\d+\]\.op is the op 'quantum'"),
    (_in_node("scan", "op", "transfer"), r"op is the op 'transfer', expected ops of one device"),
    (_in_node("scan", "op", "acos"), r"op is 'acos', which is not listed"),
    (_in_node("scan", "inputs", [{"value": 9999}]), r"inputs\[0\]\.value is 9999, which is defined later or never"),
    (_in_node("scan", "inputs", [{"value": -1}]), r"inputs\[0\]\.value is -1"),
    (_in_node("scan", "inputs", []), r"nodes\[\d+\] is refused by its rule"),
    (_in_node("scan", "inputs", ["x"]), r"inputs\[0\] is \"x\", expected a number, or"),
    (_in_node("scan", "outputs", []), r"outputs is 0 outputs, expected the \d outputs of scan"),
    (_in_node("scan", "site", 3), r"site is 3, expected a string"),
    (_in_node("scan", "attributes", {}), r"attributes is none, expected the attributes of scan: body"),
    (_in_node("scan", "further", 1), r"further is an unknown name"),
    (_swap, r"graph\.nodes\[0\]\.inputs\[0\]\.value is \d+, which is defined later or never"),
    (_same_id, r"nodes\[1\]\.outputs\[0\]\.id is \d+, expected a number that is not used"),
    (_set(["graph", "outputs", 0], {"value": 10**6}), r"outputs\[0\]\.value is 1000000"),
    (_set(["graph", "outputs", 0], 1.5), r"graph\.outputs is \d+ outputs, expected"),
    (_set(["graph", "inputs", 0, "shape"], [2, 6, 4]), r"is float32\[6, 2, 3\], expected float32\[6, 2, 4\], which permute gives"),
    (_set(["graph", "inputs", 0, "shape"], [2**40, 2**40, 3]), r"shape is .* fewer than 2\*\*48"),
    (_set(["graph", "inputs", 0, "dtype"], "complex64"), r"inputs\[0\]\.dtype is \"complex64\", expected one of"),
    (_set(["graph", "states", 0, "final"], 10**6), r"states\[0\]\.final is 1000000"),
    (_attribute("permute", "order", [0, 1, 1]), r"refused by its rule|expected .* which permute gives"),
    (_attribute("permute", "order", [0, 1.0, 2]), r"attributes\.order is .*, expected the attribute order of permute"),
    (_attribute("permute", "order", [0, True, 2]), r"expected the attribute order of permute"),
    (_attribute("slice", "start", -3), r"refused by its rule|beyond|gives of its operands"),
    (_attribute("slice", "start", "0"), r"attributes\.start is \"0\""),
    (_attribute("dropout", "p", None), r"attributes\.p is null"),
    (_attribute("full", "device", "webgpu"), r"attributes\.device is \"webgpu\", expected 'cpu'"),
    (_attribute("scan", "length", 7), r"refused by its rule|expected"),
    (_attribute("scan", "carries", 0), r"refused by its rule"),
    (_attribute("scan", "body", 3), r"attributes\.body is 3"),
    (_body("inputs", []), r"attributes\.body\.graph\.nodes\[0\]\.inputs\[0\]\.value"),
    (_body("nodes", []), r"attributes\.body\.graph\.outputs\[0\]\.value"),
    (_attribute("update_view", "path", [["slice", [["dim", 0]]]]), r"nodes\[\d+\] is refused by its rule"),
    (_attribute("update_view", "path", [["sum", []]]), r"nodes\[\d+\] is refused by its rule"),
    (_attribute("update_view", "path", 5), r"attributes\.path is 5"),
    (_set(["arguments"], []), r"arguments is of the types \[\], expected the graph's inputs"),
    (_set(["arguments", 1, "tree"], {"number": "int"}), r"arguments is of the types"),
    (_set(["arguments", 1, "tree"], {"number": "complex"}), r"tree\.number is \"complex\""),
    (_set(["arguments", 1, "name"], "x"), r"arguments\[1\]\.name is \"x\", expected a name that is not used"),
    (_set(["arguments", 0, "keyword"], True), r"arguments\[1\]\.keyword is false"),
    (_set(["arguments", 0, "tree"], {"result": True}), r"tree is .*expected an object with one of fixed"),
    (_set(["donated"], [5]), r"donated\[0\] is 5"),
    (_set(["donated"], [1]), r"donated is \[1\], expected the numbers of tensors"),
    (_set(["captures"], ["a"]), r"graph\.outputs is 2 outputs, expected 3 values"),
    (_set(["gradients"], [0]), r"gradients\[0\] is 0, expected a state of the gradient's type"),
    (_set(["result"], {"fixed": 1}), r"graph\.outputs is 2 outputs, expected 0 values"),
    (_set(["result"], {"record": [], "class": "os.Path"}), r"result\.class is os\.Path, expected one of the classes given"),
    (_set(["states"], []), r"states is \[\], expected a list of"),
    (_set(["states", 0, "names"], []), r"states\[0\]\.names is \[\]"),
    (_set(["states", 0, "shape"], [1]), r"states\[0\] is .*expected the type of the graph's state"),
    (lambda made: made["states"][1].update(names=made["states"][0]["names"]), r"states\[1\]\.names is"),
    (_set(["states", 0, "names"], ["other"]), r"state\.safetensors.* the tensor .* is"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"), MISTAKES, ids=[re.sub(r"\W+", "_", mistake[1])[:40] for mistake in MISTAKES]
)
def test_mistakes_are_named(changed, change, message) -> None:
    with pytest.raises(WeftError, match=message):
        changed(change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        ("{", "damaged"),
        ("[1]", r"the file is \[1\], expected an object"),
        ('{"format": "weft-plan", "format": "x"}', "the key 'format' occurs twice"),
        ('{"version": NaN}', "NaN is no JSON"),
        ("[" * 100_000, "damaged"),
        ('{"version": ' + "9" * 5000 + "}", "damaged"),
        ("\x00\ud800".encode("utf-8", "surrogatepass").decode("latin-1"), "damaged"),
    ],
)
def test_invalid_json_is_refused(changed, text, message) -> None:
    with pytest.raises(FormatError, match=rf"load_plan: .*plan\.json.*{message}"):
        changed(lambda made: None, text)


def test_a_state_of_other_values_is_taken(saved, changed, contents) -> None:
    plan = changed(lambda made: None)
    name = contents["states"][0]["names"][0]
    own = plan.state_dict()[name]
    plan.load_state_dict(plan.state_dict() | {name: own * 2})
    assert plan.state_dict()[name].tolist() == (load_plan(saved).state_dict()[name] * 2).tolist()


def test_contracts_tell_ops_apart() -> None:
    names = [name for name in wf.ops.OPS if not name.startswith("custom.")]
    assert len({contract(lookup(name)) for name in names}) == len(names)


PLACES: list[tuple[str | int, ...]] = []


def _places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, tensor in inner:
        yield from _places(tensor, (*path, key))


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 20), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "cpu", "float64", "int64", "sum", "mul", "reshape", "mul.grad0"]), st.lists(st.integers(-1, 5), max_size=3),
    st.sampled_from([{}, {"value": 0}, {"value": 3}, {"float": "nan"}, {"dtype": "int8"}, {"graph": {}}, {"slice": [0, 1, None]}]),
)  # fmt: skip


@settings(max_examples=150)
@given(data=st.data())
def test_any_change_is_named_or_gives_a_whole_plan(data, contents, saved, tmp_path_factory) -> None:
    made = copy.deepcopy(contents)
    if not PLACES:
        PLACES.extend(path for path in _places(contents) if path)
    for _ in range(data.draw(st.integers(1, 2))):
        *most, last = data.draw(st.sampled_from(PLACES))
        inner = made
        try:
            for key in most:
                inner = inner[key]
            how = data.draw(st.sampled_from(["set", "near", "drop", "move"]))
            old = inner[last]
            if how == "drop":
                del inner[last]
            elif how == "near" and type(old) in (int, float):
                inner[last] = old + data.draw(st.sampled_from([-2, -1, 1, 2]))
            elif how == "move" and isinstance(inner, list):
                inner.insert(data.draw(st.integers(0, len(inner))), copy.deepcopy(old))
            else:
                inner[last] = data.draw(ODD)
        except (KeyError, IndexError, TypeError):
            continue  # the first change took the place of the second away
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "plan.json").write_text(json.dumps(made))
    os.link(saved / "state.safetensors", folder / "state.safetensors")
    try:
        plan = load_plan(folder)
    except WeftError:
        return  # any other exception fails the test
    assert plan.report().dispatches > 0
    read_plan(folder)


def test_every_example_graph_is_read_as_it_was_written(tmp_path) -> None:
    for model in ("vae", "nerf", "bidirectional"):
        made = programs.training(model, "SGD", "cpu", batches=1)
        plan = wf.jit(made.step).plan(*made.batches[0])
        plan.save(tmp_path / model)
        assert load_plan(tmp_path / model).graph == plan.graph == read_plan(tmp_path / model).graph

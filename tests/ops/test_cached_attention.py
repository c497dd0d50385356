"""``cached_attention``: page tables in any order, mixed lengths, padding, windows, sizes of heads, and mistakes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import weft as wf
from weft.codegen.templates import find
from weft.devices.base import Device
from weft.errors import ArgumentError, DTypeError, ShapeError
from weft.kernels import Library
from weft.ops import OPS, TensorType, bind
from weft.target import TargetProfile

Array = np.ndarray[Any, Any]
OP = OPS["cached_attention"]


@dataclass(frozen=True)
class Call:
    """Sizes of a call: tokens with rows and positions, heads, and the page table's form."""

    rows: tuple[int, ...]
    positions: tuple[int, ...]
    heads: int = 4
    shared: int = 2
    size: int = 16
    value_size: int = 16
    page: int = 8
    columns: int = 10
    window: int | None = None
    softcap: float | None = None
    sinks: bool = False
    cache: str = "float32"
    query: str = "float32"

    def operands(self) -> list[Array]:
        """Return operands whose page tables are random permutations, rounded to the types' precision."""
        draw = np.random.default_rng(0)
        tables = max(self.rows) + 1
        pages = tables * self.columns + 3
        shapes = (
            (len(self.rows), self.heads, self.size), (pages, self.page, self.shared, self.size),
            (pages, self.page, self.shared, self.value_size),
        )  # fmt: skip
        numbers = [
            wf.tensor(draw.standard_normal(shape).astype(np.float32)).to(getattr(wf, kind)).float().numpy()
            for shape, kind in zip(shapes, (self.query, self.cache, self.cache), strict=True)
        ]
        table = draw.permutation(pages)[: tables * self.columns].reshape(tables, self.columns)
        more = [draw.standard_normal(self.heads).astype(np.float32)] if self.sinks else []
        return [*numbers, table.astype(np.int32), np.array(self.rows), np.array(self.positions), *more]

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the op."""
        return {"scale": self.size**-0.5, "window": self.window, "softcap": self.softcap}

    def found(self, device: str, operands: list[Array]) -> Array:
        """Return the result on a device, as float32."""
        kinds = (self.query, self.cache, self.cache)
        tensors = [wf.tensor(operand, device=device) for operand in operands]
        tensors[:3] = [tensor.to(getattr(wf, kind)) for tensor, kind in zip(tensors[:3], kinds, strict=True)]
        result: Array = bind(OP, *tensors, **self.attributes).float().numpy()
        return result


def expected(call: Call, operands: list[Array]) -> Array:
    """Return the result by plain sums over the keys that each token sees, float64."""
    q, keys, values, pages, rows, positions, *sinks = operands
    found = np.zeros((len(rows), call.heads, call.value_size))
    for token in range(len(rows)):
        for head in range(call.heads):
            shared = head // (call.heads // call.shared)
            scores, seen = [], []
            for j in range(positions[token] + 1):
                if call.window is not None and j <= positions[token] - call.window:
                    continue
                place = pages[rows[token], j // call.page], j % call.page, shared
                score = (
                    float(np.dot(q[token, head].astype(float), keys[place].astype(float))) * call.size**-0.5
                )
                scores.append(score if call.softcap is None else call.softcap * np.tanh(score / call.softcap))
                seen.append(values[place].astype(float))
            if scores:
                powers = np.exp(np.array(scores))
                total = powers.sum() + (np.exp(float(sinks[0][head])) if sinks else 0)
                found[token, head] = powers @ np.array(seen) / total
    return found


STEP = Call((2, 0, 1), (75, 0, 37))
CHUNK = Call((0,) * 7 + (1,) * 5, (*range(30, 37), *range(3, 6), -1, -1))
CALLS = {
    "step": STEP,
    "one token": Call((0,), (79,), heads=9, shared=3),
    "keys in pieces": Call((1, 0, 1), (315, 280, -1), columns=40, heads=3, shared=1),
    "padding": replace(STEP, positions=(-1, 60, -3), sinks=True),
    "window": replace(STEP, window=20),
    "window of 1": replace(STEP, window=1),
    "softcap": replace(STEP, softcap=1.5),
    "sinks": replace(STEP, sinks=True),
    "all": replace(STEP, window=33, softcap=2.0, sinks=True, cache="float16"),
    "chunk": CHUNK,
    "chunk, all": replace(CHUNK, window=9, softcap=2.0, sinks=True, cache="bfloat16"),
    "chunk of one row": Call((0,) * 70, tuple(range(9, 79)), heads=9, shared=3),
    "rows of one token in turn": Call((0, 1, 0, 1, 1, 1), (5, 6, 7, 8, 70, -1)),
    "no grouping": replace(STEP, shared=4),
    "many heads a group": replace(STEP, heads=20, shared=1),
    "heads of 80": replace(STEP, size=80, value_size=80),
    "heads of 80 in a chunk": replace(CHUNK, size=80, value_size=80, cache="float16"),
    "heads of 256": replace(STEP, size=256, value_size=256),
    "heads of 256 in a chunk": replace(CHUNK, size=256, value_size=256),
    "odd heads": replace(STEP, size=33, value_size=7),
    "odd heads in a chunk": replace(CHUNK, size=33, value_size=7, cache="float16"),
    "heads of 2": replace(STEP, size=2, value_size=1, cache="bfloat16"),
    "pages of 5": replace(STEP, page=5, columns=20),
    "pages of 1": replace(STEP, page=1, columns=80),
}


@pytest.mark.parametrize("name", CALLS)
def test_against_plain_sums(device: Device, name: str) -> None:
    call = CALLS[name]
    operands = call.operands()
    np.testing.assert_allclose(
        call.found(device.name, operands), expected(call, operands), rtol=2e-5, atol=2e-6
    )


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("call", [STEP, CHUNK], ids=["step", "chunk"])
def test_queries_of_16_bits(device: Device, call: Call, kind: str) -> None:
    call = replace(call, query=kind, cache=kind)
    operands = call.operands()
    wanted = wf.tensor(expected(call, operands).astype(np.float32)).to(getattr(wf, kind)).float().numpy()
    error = {"float16": 2**-10, "bfloat16": 2**-7}[kind]
    np.testing.assert_allclose(call.found(device.name, operands), wanted, rtol=error, atol=1e-4)


@pytest.mark.parametrize("columns", [10, 40])
def test_a_row_does_not_depend_on_other_rows(device: Device, columns: int) -> None:
    """A step of a row alone gives the bits that it gives among 15 others, at another place."""
    count = 16
    draw = np.random.default_rng(1)
    call = Call(
        tuple(range(count)), tuple(int(n) for n in draw.integers(0, 8 * columns, count)), columns=columns
    )
    operands = call.operands()
    whole = call.found(device.name, operands)
    for row in (0, 7, 15):
        own = [operands[0][[row]], *operands[1:3], operands[3][[row]], np.array([0]), operands[5][[row]]]
        np.testing.assert_array_equal(call.found(device.name, own)[0], whole[row])


def test_a_program_serves_all_lengths(device: Device) -> None:
    """One compiled program reads pages, rows and positions at run time."""
    call = replace(STEP, columns=20)
    q, keys, values, pages, rows, _ = call.operands()
    given = [wf.tensor(each, device=device.name) for each in (q, keys, values)]
    traces = []

    def attend(pages: Any, rows: Any, positions: Any) -> Any:
        traces.append(1)
        return bind(OP, *given, pages, rows, positions, **call.attributes)

    program = wf.jit(attend)
    for shift in (0, 1, 40, 150):
        positions = np.array([shift + 2, shift // 2, shift])
        tables = np.roll(pages, shift, axis=1)
        found = program(*(wf.tensor(each, device=device.name) for each in (tables, rows, positions))).numpy()
        wanted = expected(call, [q, keys, values, tables, rows, positions])
        np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-6)
    assert len(traces) == 1


def test_views_of_a_larger_tensor(device: Device) -> None:
    """Queries from a product of queries, keys and values, and a layer of a cache of all layers, are read in place."""
    operands = STEP.operands()
    wide = wf.tensor(np.concatenate([operands[0], operands[0]], axis=1), device=device.name)[:, 4:]
    caches = [wf.tensor(np.stack([each, each * 0 + 9]), device=device.name)[0] for each in operands[1:3]]
    rest = [wf.tensor(each, device=device.name) for each in operands[3:]]
    found = bind(OP, wide, *caches, *rest, **STEP.attributes).numpy()
    np.testing.assert_allclose(found, expected(STEP, operands), rtol=2e-5, atol=2e-6)


def test_large_scores(device: Device) -> None:
    operands = STEP.operands()
    operands[0] *= 1e4
    found = STEP.found(device.name, operands)
    wanted = OP.reference(
        *[o.astype(float) if o.dtype.kind == "f" else o for o in operands], **STEP.attributes
    )
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=1e-2)


def test_no_tokens(device: Device) -> None:
    call = Call((0,), (5,))
    operands = call.operands()
    operands[0], operands[4], operands[5] = operands[0][:0], operands[4][:0], operands[5][:0]
    assert call.found(device.name, operands).shape == (0, 4, 16)


MISTAKES: dict[str, tuple[int, TensorType, type[Exception], str]] = {
    "heads": (0, TensorType((3, 5, 16), wf.float32), ShapeError, "keys' shape"),
    "rank": (0, TensorType((3, 16), wf.float32), ShapeError, "query's shape"),
    "head size": (0, TensorType((3, 4, 300), wf.float32), ShapeError, "at most 256"),
    "query type": (0, TensorType((3, 4, 16), wf.float64), DTypeError, "query's dtype"),
    "values": (2, TensorType((33, 8, 1, 16), wf.float32), ShapeError, "values' shape"),
    "values' type": (2, TensorType((33, 8, 2, 16), wf.float16), DTypeError, "values' dtype"),
    "pages": (3, TensorType((30,), wf.int32), ShapeError, "pages' shape"),
    "pages' type": (3, TensorType((3, 10), wf.float32), DTypeError, "pages' dtype"),
    "rows": (4, TensorType((4,), wf.int64), ShapeError, "rows' shape"),
    "positions": (5, TensorType((3, 1), wf.int64), ShapeError, "positions' shape"),
    "sinks": (6, TensorType((3,), wf.float32), ShapeError, "sinks' shape"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    at, wrong, error, message = MISTAKES[name]
    types = [
        TensorType((3, 4, 16), wf.float32), TensorType((33, 8, 2, 16), wf.float32),
        TensorType((33, 8, 2, 16), wf.float32), TensorType((3, 10), wf.int32), TensorType((3,), wf.int64),
        TensorType((3,), wf.int64), TensorType((4,), wf.float32),
    ]  # fmt: skip
    assert OP.infer(*types, **STEP.attributes)[0].shape == (3, 4, 16)
    types[at] = wrong
    with pytest.raises(error, match=message):
        OP.infer(*types, **STEP.attributes)


@pytest.mark.parametrize(("name", "value"), [("window", 0), ("softcap", 0.0)])
def test_numbers_out_of_range(name: str, value: Any) -> None:
    types = [TensorType(each.shape, wf.tensor(each).dtype) for each in STEP.operands()]
    with pytest.raises(ArgumentError, match=name):
        OP.infer(*types, **{**STEP.attributes, name: value})


@pytest.mark.parametrize("name", ["step", "chunk, all", "keys in pieces"])
def test_with_subgroups(device: Device, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's subgroups may be larger than the smallest size that it names."""
    if not device.profile.subgroup:
        pytest.skip("the device has no subgroups")
    monkeypatch.setattr(device, "profile", replace(device.profile, software=False))
    call = CALLS[name]
    operands = call.operands()
    np.testing.assert_allclose(
        call.found(device.name, operands), expected(call, operands), rtol=2e-5, atol=2e-6
    )


def test_subgroups_join_scores_where_there_are_any() -> None:
    profile = TargetProfile("wgsl-native", frozenset({"subgroup"}), {}, subgroup=32)
    options = {"each": 1, "fours": "q k v", "group": 2, "heads": 2, "page": 8, "pieces": 2, "sinks": False, "size": 16,
               "softcap": False, "value_size": 16}  # fmt: skip
    kinds = (*(wf.float16,) * 3, wf.int32, wf.int32, wf.int32, wf.float32, wf.float32)
    source = find("wgsl", "cached_attention")(
        Library("cached_attention", kinds, tuple(options.items())), profile
    ).source
    assert "max(most0, subgroupShuffleXor(most0, 16u))" in source

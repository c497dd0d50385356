"""Random graphs, built node by node: special numbers, constants, and views that no traced program would make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy
from hypothesis import strategies as st

import weft as wf
from weft import dtypes
from weft.errors import WeftError
from weft.graph import Graph, Node, State, Var
from weft.graph.ir import Atom
from weft.ops import TensorType, lookup

Draw = Callable[[Any], Any]

NUMBERS: tuple[bool | int | float, ...] = (
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    1e30,
    float("inf"),
    0,
    1,
    3,
    True,
    False,
)
SPECIAL = (
    0.0,
    -0.0,
    1.0,
    -1.5,
    0.1,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    7.0,
    1e30,
    -1e-30,
    float("inf"),
    float("-inf"),
    float("nan"),
)
TYPES = (
    dtypes.float32,
    dtypes.float16,
    dtypes.float64,
    dtypes.int64,
    dtypes.int32,
    dtypes.int16,
    dtypes.uint8,
    dtypes.bool_,
)
SHAPES = ((), (1,), (4,), (1, 4), (3, 1), (3, 4), (2, 1, 4), (2, 3, 4))
POINTWISE = (
    "add", "sub", "mul", "div", "neg", "maximum", "where", "eq", "lt", "relu", "mul.grad0", "mul.grad1", "div.grad0",
    "where.grad1", "positive", "abs", "square", "logical_and", "logical_or", "logical_not", "clamp", "pow", "lerp",
)  # fmt: skip


@dataclass(frozen=True)
class Example:
    """A graph with values for its inputs and states."""

    graph: Graph
    inputs: tuple[Any, ...]
    states: tuple[Any, ...]


@st.composite
def graphs(draw: Draw, most: int = 10) -> Example:
    """Return a random graph on ``cpu`` of ops that are bit-exact for any layout of their operands."""
    made = numpy.random.default_rng(draw(st.integers(0, 9)))
    leaves = draw(
        st.lists(st.tuples(st.sampled_from(SHAPES), st.sampled_from(TYPES)), min_size=1, max_size=4)
    )
    values = [Var(at, TensorType(shape, dtype), "cpu") for at, (shape, dtype) in enumerate(leaves)]
    given = [_values(made, var.type) for var in values]
    count = draw(st.integers(0, len(values)))
    nodes: list[Node] = []
    for _ in range(draw(st.sampled_from((most, most // 2, 2)))):
        name, inputs, attributes = draw(st.sampled_from(MAKERS))(draw, values)
        try:
            (type_,) = lookup(name).infer(*map(_type, inputs), **attributes)
        except (WeftError, ValueError, IndexError):
            continue
        if len(type_.shape) > 4 or numpy.prod(type_.shape) > 200:
            continue
        var = Var(len(values), type_, "cpu")
        nodes.append(Node(name, tuple(inputs), (var,), tuple(attributes.items())))
        values.append(var)
    states = []
    for own in values[count : len(leaves)]:
        choices = [var for var in values if var.type == own.type]
        states.append(State(own, draw(st.sampled_from(choices))))
    outputs = draw(st.lists(st.sampled_from(values), max_size=3))
    graph = Graph(tuple(values[:count]), tuple(states), tuple(nodes), (values[-1], *outputs))
    return Example(graph, tuple(given[:count]), tuple(given[count:]))


def _recent(values: list[Var]) -> Any:
    """One of the values, of the last ones most often: so that ops follow on ops."""
    return st.one_of(st.sampled_from(values[-2:]), st.sampled_from(values[-4:]), st.sampled_from(values))


def _type(value: Atom) -> TensorType:
    return value.type if isinstance(value, Var) else TensorType((), dtypes.of_scalar(value), True)


def _values(made: numpy.random.Generator, type_: TensorType) -> Any:
    kind = type_.dtype.kind
    drawn = (
        made.choice(SPECIAL, type_.shape)
        if kind == "float"
        else made.integers(0, 2 if kind == "bool" else 9, type_.shape)
    )
    with numpy.errstate(all="ignore"):
        return wf.tensor(numpy.asarray(drawn).astype(type_.dtype.numpy), dtype=type_.dtype, device="cpu")


def _pointwise(draw: Draw, values: list[Var]) -> Any:
    name = draw(st.sampled_from(POINTWISE))
    parameters = lookup(name).info["pointwise"].parameters
    one = st.one_of(_recent(values), _recent(values), st.sampled_from(NUMBERS))
    inputs = [draw(one) for _ in parameters]
    if not any(isinstance(source, Var) for source in inputs):
        inputs[0] = values[-1]
    return name, inputs, {}


def _full(draw: Draw, values: list[Var]) -> Any:
    like = draw(_recent(values))
    value = draw(st.sampled_from(NUMBERS[:5] + NUMBERS[7:]))
    dtype = draw(st.sampled_from((like.type.dtype, *TYPES)))
    return (
        "full",
        [value],
        {"shape": draw(st.sampled_from((like.type.shape, ()))), "dtype": dtype, "device": "cpu"},
    )


def _copy(draw: Draw, values: list[Var]) -> Any:
    return "copy", [draw(_recent(values))], {}


def _cast(draw: Draw, values: list[Var]) -> Any:
    source = draw(_recent(values))
    allowed = (
        TYPES if source.type.dtype.kind != "float" else TYPES[:3]
    )  # out of range is as the device has it
    return "cast", [source], {"dtype": draw(st.sampled_from(allowed))}


def _permute(draw: Draw, values: list[Var]) -> Any:
    source = draw(_recent(values))
    return "permute", [source], {"order": tuple(draw(st.permutations(range(len(source.type.shape)))))}


def _reshape(draw: Draw, values: list[Var]) -> Any:
    source = draw(_recent(values))
    shape = source.type.shape
    flat = int(numpy.prod(shape, dtype=int))
    squeezed = tuple(size for size in shape if size != 1)
    return (
        "reshape",
        [source],
        {
            "shape": draw(
                st.sampled_from((shape, (flat,), (1, *shape), (1, 1, *shape), shape[::-1], squeezed))
            )
        },
    )


def _expand(draw: Draw, values: list[Var]) -> Any:
    source = draw(_recent(values))
    shape = tuple(3 if size == 1 else size for size in source.type.shape)
    return "expand", [source], {"shape": draw(st.sampled_from((source.type.shape, shape, (2, *shape))))}


def _slice(draw: Draw, values: list[Var]) -> Any:
    source = draw(_recent([value for value in values if value.type.shape] or values))
    if not source.type.shape:
        return _copy(draw, values)
    dim = draw(st.integers(0, len(source.type.shape) - 1))
    size = source.type.shape[dim]
    start = draw(st.integers(0, size))
    return (
        "slice",
        [source],
        {"dim": dim, "start": start, "stop": draw(st.integers(start, size)), "step": draw(st.integers(1, 2))},
    )


def _fold(draw: Draw, values: list[Var]) -> Any:
    """Return a reduction that is bit-exact in any order: of one element, or an extremum."""
    source = draw(_recent(values))
    single = [d for d, size in enumerate(source.type.shape) if size == 1]
    name = draw(st.sampled_from(("sum", "mean", "prod", "amax", "amin")))
    dims = tuple(draw(st.lists(st.sampled_from(single), unique=True))) if single else ()
    if source.type.dtype.kind == "bool":
        name = "sum"
    return name, [source], {"dims": dims, "keepdim": draw(st.booleans())}


MAKERS = (
    _pointwise, _pointwise, _pointwise, _full, _copy, _cast, _permute, _permute, _reshape, _expand, _slice, _slice, _fold
)  # fmt: skip

"""Random programs: small functions of tensors that use every kind of op, views, writes in place, state and draws.

``programs()`` is a Hypothesis strategy of ``Program``; ``program(*program.arguments)`` runs it, in eager mode or in a
trace. It was run once when it was made, so it is valid. Floats stay within some tens and no rounding decides about
anything discrete, so two ways of computing a program agree within ``close``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
from hypothesis import strategies as st

import weft as wf
from weft.errors import WeftError

Draw = Callable[[Any], Any]
Step = Callable[[list[Any]], Any]
"""Takes the values so far, and gives a new one (or ``None``: it wrote in place)."""

SHAPES: tuple[tuple[int, ...], ...] = (
    (),
    (1,),
    (3,),
    (4,),
    (1, 4),
    (3, 1),
    (3, 4),
    (4, 3),
    (2, 3, 4),
    (2, 1, 4),
    (0, 4),
)
STATES: dict[str, Callable[[Any], Any]] = {
    "whole": lambda x: x, "row": lambda x: x[1], "transposed": lambda x: x.t(), "stepped": lambda x: x[:, ::2],
}  # fmt: skip
"""The view that a program has of a state's storage."""


@dataclass
class Program:
    """A function of tensors as a list of steps, with example arguments and the state that it closes over."""

    arguments: tuple[Any, ...]
    states: tuple[Any, ...]
    steps: list[Step] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    outputs: tuple[int, ...] = ()
    gradients: bool = False

    def __post_init__(self) -> None:
        self._initial = [state.clone() for state in self.states]

    def __call__(self, *arguments: Any) -> tuple[Any, ...]:
        """Return the chosen values, and with ``gradients`` the gradients of the floating point arguments."""
        given = [
            argument.detach().requires_grad_() if self._wanted(argument) else argument
            for argument in arguments
        ]
        values = [*given, *self.states]
        for step in self.steps:
            found = step(values)
            if found is not None:
                values.append(found)
        results = tuple(values[at] for at in self.outputs)
        if not self.gradients:
            return results
        totals = [result.float().sum() for result in results if result.requires_grad]
        wanted = [value for value in given if value.requires_grad]
        if not totals or not wanted:
            return results
        loss = sum(totals[1:], totals[0])
        found = wf.autograd.grad(loss, wanted, allow_unused=True)
        return (*results, *(value for value in found if value is not None))

    def _wanted(self, value: Any) -> bool:
        return self.gradients and value.dtype.is_floating_point

    @property
    def narrow(self) -> bool:
        """Whether the program rounds to 16 bits."""
        return any("narrow" in name for name in self.names)

    def restore(self) -> None:
        """Restore the initial contents of the states and the random generators."""
        wf.manual_seed(1)
        for state, initial in zip(self.states, self._initial, strict=True):
            state.copy_(initial)

    def __repr__(self) -> str:
        shapes = [f"{value.dtype.name}{list(value.shape)}" for value in (*self.arguments, *self.states)]
        options = " with gradients" if self.gradients else ""
        return f"<program of {', '.join(shapes)}: {'; '.join(self.names)} -> {self.outputs}{options}>"


def close(found: Any, expected: Any, what: str = "", narrow: bool = False) -> None:
    """Compare two results: integers exactly, floats up to the rounding of another order of summation.

    ``narrow``: intermediate values were rounded to 16 bits, possibly differently in the two.
    """
    assert (tuple(found.shape), found.dtype) == (tuple(expected.shape), expected.dtype), what
    floats = found.dtype.is_floating_point
    a, b = (
        numpy.asarray((value.detach().float() if floats else value).numpy()) for value in (found, expected)
    )
    if floats:
        scale = float(numpy.abs(b[numpy.isfinite(b)]).max(initial=0.1))
        rtol, atol = (2e-2, 2e-2) if narrow else (1e-4, 2e-5)
        numpy.testing.assert_allclose(a, b, rtol=rtol, atol=atol * scale, err_msg=what)
    else:
        numpy.testing.assert_array_equal(a, b, err_msg=what)


@st.composite
def programs(draw: Draw, device: str = "cpu", most: int = 12, gradients: bool = True) -> Program:
    """A random program on a device, of at most ``most`` steps."""
    made = numpy.random.default_rng(draw(st.integers(0, 9)))
    arguments = [_tensor(made, draw(st.sampled_from(SHAPES)), kind, device) for kind in draw(_KINDS)]
    states = [
        STATES[name](_tensor(made, (3, 4), "float", device))
        for name in draw(st.lists(st.sampled_from(sorted(STATES)), max_size=2))
    ]
    program = Program(tuple(arguments), tuple(states))
    values: list[Any] = [*arguments, *states]
    writable = set(range(len(arguments), len(values)))
    wf.manual_seed(1)
    for _ in range(draw(st.sampled_from((most, most // 2, 3, 1)))):
        kind = draw(st.sampled_from(sorted(STEPS)))
        step = STEPS[kind](draw, values, writable)
        if step is None:
            continue
        found = step(values)
        program.steps.append(step)
        program.names.append(f"{len(values)} = {kind}" if found is not None else kind)
        if found is not None:
            values.append(found)
            if kind in OWNERS:
                writable.add(len(values) - 1)
    last = st.integers(0, len(values) - 1)
    program.outputs = tuple(dict.fromkeys([len(values) - 1, *draw(st.lists(last, min_size=1, max_size=4))]))
    program.restore()
    if gradients and draw(st.booleans()):
        program.gradients = True
        try:
            program(*arguments)
        except WeftError:  # what it needs was written in place, or an op has no gradient
            program.gradients = False
        program.restore()
    return program


_KINDS = st.lists(st.sampled_from(("float", "float", "int", "bool")), min_size=1, max_size=3)


def _tensor(made: numpy.random.Generator, shape: tuple[int, ...], kind: str, device: str) -> Any:
    values = {
        "float": lambda: (made.integers(-8, 9, shape) / 4).astype("float32"),
        "int": lambda: numpy.asarray(made.integers(0, 4, shape), "int64"),
        "bool": lambda: numpy.asarray(made.integers(0, 2, shape), "bool"),
    }
    return wf.tensor(values[kind](), device=device)


# What a step may be. Each takes (draw, values so far, places of those that may be written) and gives the step, or
# ``None`` where no value fits.

FLOAT, INT, BOOL = wf.float32, wf.int64, wf.bool


def _pick(draw: Draw, values: Sequence[Any], fits: Callable[[Any], bool]) -> int | None:
    places = [at for at, value in enumerate(values) if fits(value)]
    return draw(st.sampled_from(places)) if places else None


def _is_float(value: Any) -> bool:
    return value.dtype is FLOAT


def _bounded(value: Any) -> Any:
    """A float within [-8, 8], without a step anywhere."""
    return 8 * (value / 8).tanh()


UNARY: dict[str, Callable[[Any], Any]] = {
    "tanh": lambda x: x.tanh(), "sigmoid": lambda x: x.sigmoid(), "relu": lambda x: x.relu(), "exp": lambda x: (-x.abs()).exp(),
    "neg": lambda x: -x, "times 1": lambda x: x * 1.0, "over 1": lambda x: x / 1, "minus 0": lambda x: x - 0.0,
    "plus 0": lambda x: x + 0.0, "square": lambda x: _bounded(x).square(),
    "double cast": lambda x: x.float().float(), "sin": lambda x: x.sin(), "clamp": lambda x: x.clamp(-1.0, 1.5),
    "ones": lambda x: x * wf.ones(x.shape, device=str(x.device)), "filled": lambda x: x + wf.full((), 0.5, device=str(x.device)),
    "gelu": wf.nn.functional.gelu, "leaky": lambda x: wf.nn.functional.leaky_relu(x, 0.1),
}  # fmt: skip
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: _bounded(x) * _bounded(y),
    "div": lambda x, y: x / (y.abs() + 1.0), "maximum": wf.maximum, "minimum": wf.minimum,
    "where": lambda x, y: wf.where((x - x).eq(y - y), x, y), "lerp": lambda x, y: wf.lerp(x, y, 0.25),
}  # fmt: skip
INTEGER: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: (x + y) % 7, "mul": lambda x, y: (x * y) % 7, "eq": lambda x, y: x == y, "le": lambda x, y: x <= y,
    "maximum": wf.maximum, "xor": lambda x, y: x ^ y,
}  # fmt: skip
REDUCTIONS: dict[str, Callable[..., Any]] = {
    "sum": lambda x, d, k: (x / 4).sum(d, k), "mean": lambda x, d, k: x.mean(d, k), "amax": lambda x, d, k: x.amax(d, k),
    "amin": lambda x, d, k: x.amin(d, k), "var": lambda x, d, k: x.var(d, correction=0, keepdim=k), "logsumexp": lambda x, d, k: x.logsumexp(d, k),
}  # fmt: skip


def _unary(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at, name = _pick(draw, values, _is_float), draw(st.sampled_from(sorted(UNARY)))
    return None if at is None else lambda values: UNARY[name](values[at])


def _fitting(shape: tuple[int, ...], value: Any) -> bool:
    try:
        return max(numpy.broadcast_shapes(shape, tuple(value.shape)), default=0) < 64
    except ValueError:
        return False


def _binary(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at, name = _pick(draw, values, _is_float), draw(st.sampled_from(sorted(BINARY)))
    if at is None:
        return None
    shape = tuple(values[at].shape)
    other = _pick(draw, values, lambda value: _is_float(value) and _fitting(shape, value))
    return lambda values: BINARY[name](values[at], values[other])


def _with_integer(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    """An integer or bool operand, promoted."""
    at = _pick(draw, values, _is_float)
    if at is None:
        return None
    shape = tuple(values[at].shape)
    other = _pick(draw, values, lambda value: not _is_float(value) and _fitting(shape, value))
    return None if other is None else lambda values: values[at] * 0.5 + values[other]


def _integer(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at, name = _pick(draw, values, lambda value: value.dtype is INT), draw(st.sampled_from(sorted(INTEGER)))
    if at is None:
        return None
    shape = tuple(values[at].shape)
    other = _pick(draw, values, lambda value: value.dtype is INT and _fitting(shape, value))
    return lambda values: INTEGER[name](values[at], values[other])


def _mask(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = _pick(draw, values, _is_float)
    if at is None:
        return None
    shape = tuple(values[at].shape)
    mask = _pick(draw, values, lambda value: value.dtype is BOOL and _fitting(shape, value))
    if mask is None:
        return None
    return lambda values: wf.where(values[mask], values[at], 0.25)


def _cast(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = _pick(draw, values, lambda value: value.dtype in (INT, BOOL))
    dtype = draw(st.sampled_from((wf.float32, wf.int32, wf.int64)))
    if at is None:
        return None
    return lambda values: values[at].to(dtype).to(FLOAT if dtype is FLOAT else INT)


def _reduction(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = _pick(draw, values, lambda value: _is_float(value) and 0 not in value.shape)
    name, keepdim = draw(st.sampled_from(sorted(REDUCTIONS))), draw(st.booleans())
    if at is None:
        return None
    rank = len(values[at].shape)
    dims = tuple(draw(st.lists(st.integers(0, rank - 1), unique=True, min_size=1))) if rank else None
    return lambda values: REDUCTIONS[name](
        values[at], tuple(range(len(values[at].shape))) if dims is None else dims, keepdim
    )


def _view(draw: Draw, values: Sequence[Any], at: int) -> Callable[[Any], Any]:
    """A view of a value, drawn for its shape."""
    shape = tuple(values[at].shape)
    rank = len(shape)
    kind = draw(
        st.sampled_from(
            (
                "permute",
                "reshape",
                "slice",
                "expand",
                "unsqueeze",
                "select",
                "flatten",
                "squeeze",
                "diagonal",
                "unfold",
                "as_strided",
            )
        )
    )
    if (
        kind == "permute"
        or (kind in ("slice", "select", "unfold") and not rank)
        or (kind == "diagonal" and rank < 2)
    ):
        order = tuple(draw(st.permutations(range(rank))))
        return lambda x: x.permute(*order)
    if kind == "reshape":
        flat = int(numpy.prod(shape, dtype=int))
        choices = [(flat,), (1, flat), shape, tuple(reversed(shape))] + (
            [(2, flat // 2)] if flat % 2 == 0 else []
        )
        wanted = draw(st.sampled_from(choices))
        return lambda x: x.reshape(wanted)
    if kind in ("slice", "select", "unfold"):
        dim = draw(st.integers(0, rank - 1))
        if kind == "unfold" and shape[dim] > 1:
            size, step = draw(st.integers(1, shape[dim])), draw(st.integers(1, 2))
            return lambda x: x.unfold(dim, size, step)
        if kind == "select" and shape[dim]:
            index = draw(st.integers(0, shape[dim] - 1))
            return lambda x: x.select(dim, index)
        start, step = draw(st.integers(0, max(shape[dim] - 1, 0))), draw(st.integers(1, 2))
        return lambda x: x[(slice(None),) * dim + (slice(start, None, step),)]
    if kind == "expand":
        wanted = tuple(3 if size == 1 else size for size in shape)
        wanted = (2, *wanted) if rank < 3 and draw(st.booleans()) else wanted
        return lambda x: x.expand(*wanted)
    if kind == "diagonal":
        return lambda x: x.diagonal(0, 0, 1)
    if kind == "as_strided" and values[at].is_contiguous() and 0 not in shape:
        flat = int(numpy.prod(shape, dtype=int))
        return lambda x: x.as_strided(((flat + 1) // 2, 2), (1, flat // 2))
    simple: dict[str, Callable[[Any], Any]] = {
        "unsqueeze": lambda x: x.unsqueeze(0) if rank < 4 else x, "flatten": lambda x: x.flatten(),
        "squeeze": lambda x: x.squeeze(), "as_strided": lambda x: x,
    }  # fmt: skip
    return simple[kind]


def _movement(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = draw(st.integers(0, len(values) - 1))
    view = _view(draw, values, at)
    return lambda values: view(values[at])


def _views(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    """Views of views, with or without copies between them."""
    at = draw(st.integers(0, len(values) - 1))
    chain, now = [], values[at].detach()
    for _ in range(draw(st.integers(2, 4))):
        view = _view(draw, [now], 0)
        chain.append(view)
        now = view(now)
        if draw(st.booleans()):
            chain.append(lambda x: x.clone())
            now = now.clone()

    def step(values: list[Any]) -> Any:
        value = values[at]
        for view in chain:
            value = view(value)
        return value

    return step


def _split(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    """Pieces used each in a way of its own: their gradients come together again."""
    at = _pick(draw, values, lambda value: _is_float(value) and value.shape and min(value.shape) > 0)
    if at is None:
        return None
    dim = draw(st.integers(0, len(values[at].shape) - 1))
    order = draw(st.permutations(range(values[at].shape[dim])))

    def step(values: list[Any]) -> Any:
        parts = _bounded(values[at]).split(1, dim)
        result = parts[order[0]].tanh()
        for place in order[1:]:
            result = result * 0.5 + parts[place].sin()
        return result

    return step


def _clone(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = draw(st.integers(0, len(values) - 1))
    return lambda values: values[at].clone()


def _zeros(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = draw(st.integers(0, len(values) - 1))
    value = draw(st.sampled_from((0.0, 1.0, 0.3)))
    return lambda values: wf.full(values[at].shape, value, device=str(values[at].device))


def _write(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    """A write through a view of a value that owns its memory."""
    places = [at for at in sorted(writable) if _is_float(values[at])]
    if not places:
        return None
    at = draw(st.sampled_from(places))
    choices = [_view(draw, values, at) for _ in range(draw(st.integers(0, 2)))]
    view = choices[0] if choices else (lambda x: x)
    target = view(values[at].detach())
    shared = target._data.alias is not values[at]._data.alias  # a reshape that copied
    if shared or 0 in target.shape or target._data.geometry.overlaps_itself:
        return None
    shape, how = tuple(target.shape), draw(st.sampled_from(("add_", "copy_", "mul_", "fill_")))
    other = _pick(
        draw, values, lambda value: _is_float(value) and _fitting(shape, value) and tuple(numpy.broadcast_shapes(shape, tuple(value.shape))) == shape
    )  # fmt: skip

    def step(values: list[Any]) -> None:
        with wf.no_grad():
            own = view(values[at])
            if how == "fill_":
                own.fill_(0.75)
            elif how == "mul_":
                own.mul_(0.5)
            elif other is not None:
                getattr(own, how)(values[other])

    return step


def _matmul(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = _pick(draw, values, lambda value: _is_float(value) and value.shape and 0 not in value.shape)
    if at is None:
        return None
    depth = values[at].shape[-1]
    other = _pick(
        draw, values, lambda value: _is_float(value) and len(value.shape) == 2 and value.shape[-1] == depth
    )
    if other is not None and draw(st.booleans()):
        return lambda values: _bounded(values[at]) @ _bounded(values[other]).t()
    return lambda values: wf.nn.functional.linear(
        _bounded(values[at]), _bounded(values[at]).reshape(-1, depth)
    )


def _row(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    """Softmax and norms along a dimension."""
    at = _pick(draw, values, lambda value: _is_float(value) and value.shape and 0 not in value.shape)
    if at is None:
        return None
    dim = draw(st.integers(0, len(values[at].shape) - 1))
    size = values[at].shape[-1]
    kinds: dict[str, Callable[[Any], Any]] = {
        "softmax": lambda x: x.softmax(dim), "log_softmax": lambda x: x.log_softmax(dim),
        "by hand": lambda x: _softmax_by_hand(x, dim), "layer_norm": lambda x: wf.nn.functional.layer_norm(x, (size,), eps=0.1),
        "rms by hand": lambda x: x * (x.pow(2).mean(-1, keepdim=True) + 0.1).rsqrt(), "cumsum": lambda x: (x / 4).cumsum(dim),
        "rms": lambda x: wf.nn.functional.rms_norm(x, (size,), eps=0.1),
    }  # fmt: skip
    kind = draw(st.sampled_from(sorted(kinds)))
    return lambda values: kinds[kind](values[at])


def _softmax_by_hand(x: Any, dim: int) -> Any:
    shifted = (x - x.amax(dim, keepdim=True)).exp()
    return shifted / shifted.sum(dim, keepdim=True)


def _loss(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = _pick(
        draw, values, lambda value: _is_float(value) and len(value.shape) >= 2 and 0 not in value.shape
    )
    if at is None:
        return None
    reduction = draw(st.sampled_from(("mean", "sum", "none")))
    ignored = draw(st.sampled_from((-100, 0)))

    def step(values: list[Any]) -> Any:
        scores = values[at]
        rest = (scores.shape[0], *scores.shape[2:])
        count = int(numpy.prod(rest, dtype=int))
        target = ((wf.arange(count, device=str(scores.device)) + 1) % scores.shape[1]).reshape(rest)
        loss = wf.nn.functional.cross_entropy(scores, target, ignore_index=ignored, reduction=reduction)
        return wf.where(loss.isnan(), 0.0, loss)  # where every target is ignored

    return step


def _indexing(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = _pick(draw, values, lambda value: bool(value.shape) and value.shape[0] > 0)
    if at is None:
        return None
    kind, size = draw(st.sampled_from(("take", "gather", "flip", "cat", "put", "pad"))), values[at].shape[0]
    rows = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=3))

    def step(values: list[Any]) -> Any:
        x = values[at]
        index = wf.tensor(rows, device=str(x.device)) if kind in ("take", "put") else None
        if kind == "take":
            return x[index]
        if kind == "flip":
            return x.flip(0)
        if kind == "cat":
            return wf.cat([x, x[:1]], 0) if x.shape[0] < 8 else x.roll(1, 0)
        if kind == "put":
            return x.index_add(0, index, x[index]) if x.dtype is not BOOL else x[index]
        if kind == "pad":
            return wf.nn.functional.pad(x, (1, 0)) if x.shape[-1] < 8 and x.dtype is not BOOL else x.clone()
        return x.gather(0, wf.zeros(x.shape, dtype=INT, device=str(x.device)))

    return step


def _random(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = _pick(draw, values, _is_float)
    kind = draw(st.sampled_from(("rand", "randn", "dropout")))
    if at is None:
        return None
    kinds: dict[str, Callable[[Any], Any]] = {
        "rand": lambda x: x + wf.rand(*x.shape, device=str(x.device)), "randn": lambda x: wf.randn(*x.shape, device=str(x.device)),
        "dropout": lambda x: wf.nn.functional.dropout(x, 0.5),
    }  # fmt: skip
    return lambda values: kinds[kind](values[at])


def _narrow(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    """Cast values to 16 bits, as intermediate values or as results."""
    at, dtype = _pick(draw, values, _is_float), draw(st.sampled_from((wf.float16, wf.bfloat16)))
    kinds: dict[str, Callable[[Any], Any]] = {
        "there and back": lambda x: x.to(dtype).float(), "computed": lambda x: ((x.to(dtype) * 0.5).tanh() + 1).float(),
        "twice": lambda x: (x.to(dtype) + x.sin().to(dtype)).float() * x, "kept": lambda x: x.to(dtype),
        "summed": lambda x: x.to(dtype).sum().float() / 8, "again": lambda x: x.to(wf.float16).to(dtype).float(),
    }  # fmt: skip
    kind = draw(st.sampled_from(sorted(kinds)))
    return None if at is None else lambda values: kinds[kind](values[at])


def _rows_of(loop: Any, x: Any) -> Any:
    """A loop over the rows of a step's element, where it has any."""
    if not x.shape or not x.shape[0]:
        return x * 0.5
    last, rows = loop(lambda c, row: (c * 0.5 + row, (c + row).sin()), x[0] * 0, x)
    return rows + last


BODIES: dict[str, Callable[..., Any]] = {
    "cell": lambda c, x, w: (((c[0] * 0.5 + x).tanh(), c[1]), c[0] * 0.5),
    "swap": lambda c, x, w: ((c[1], c[0] * 0.5 + x), c[0] - c[1]),
    "around": lambda c, x, w: (((c[0] + w).tanh(), c[1] * 0.5 + x), c[1] + w),
    "both": lambda c, x, w: ((c[1], c[1]), x * 0.5 + c[0]),
    "nothing": lambda c, x, w: (c, x + c[0]),
    "element": lambda c, x, w: ((x, c[0]), c[1]),
    "nested": lambda c, x, w: ((_rows_of(wf.compiler.scan, x), c[0]), c[1] + x),
}
"""A carry of two values, an element and a value from around; each body gives the carry and a result."""


def _scan(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at = _pick(draw, values, lambda value: _is_float(value) and value.shape and value.shape[0] > 0)
    if at is None:
        return None
    shape = tuple(values[at].shape[1:])
    around = _pick(draw, values, lambda value: _is_float(value) and _fitting(shape, value)
                   and tuple(numpy.broadcast_shapes(shape, tuple(value.shape))) == shape)  # fmt: skip
    name, reverse, last = draw(st.sampled_from(sorted(BODIES))), draw(st.booleans()), draw(st.booleans())

    def step(values: list[Any]) -> Any:
        xs = values[at]
        w = _bounded(values[around]) if around is not None else xs[0]
        init = (_bounded(xs[0]), xs[0] * 0)

        def body(carry: Any, x: Any) -> Any:
            return BODIES[name](carry, _bounded(x), w)

        (a, b), ys = wf.compiler.scan(body, init, xs, reverse=reverse)
        return a + b if last else ys

    return step


def _exact(draw: Draw, values: Sequence[Any], modulus: int) -> Callable[[list[Any]], Any]:
    """A number below ``modulus`` that no rounding decides about: of the integers of the program, where it has any."""
    at = _pick(draw, values, lambda value: value.dtype in (INT, BOOL))
    fixed = draw(st.integers(0, modulus - 1))
    if at is None:
        return lambda values: wf.tensor(fixed, device=str(values[0].device))
    return lambda values: (values[at].to(INT).sum() + fixed).abs() % modulus


BRANCHES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "values": (lambda x, w: (x * 0.5).tanh(), lambda x, w: x + w.sum() / 8),
    "as it is": (lambda x, w: x, lambda x, w: x.flip(0) if x.shape else -x),
    "around": (lambda x, w: x * 0 + w.sum() / 8, lambda x, w: x * 0.5),
    "random": (lambda x, w: wf.nn.functional.dropout(x, 0.5), lambda x, w: x + wf.rand(*x.shape, device=str(x.device))),
    "detached": (lambda x, w: x.detach() * x * 0.25, lambda x, w: x.tanh().detach()),
    "nested": (
        lambda x, w: wf.compiler.cond((x > 100).any(), lambda x: x * 2, lambda x: x - w.sum() / 8, (x,)),
        lambda x, w: wf.compiler.scan(lambda c, _: (c * 0.5 + w.sum() / 8, ()), x, None, 2)[0],
    ),
}  # fmt: skip
"""What is taken and what else, of a value and of another; each gives one of the value's type."""


def _cond(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at, around = _pick(draw, values, _is_float), _pick(draw, values, _is_float)
    written = _pick(
        draw, values, lambda value: _is_float(value) and any(value is values[w] for w in writable)
    )
    if at is None or around is None:
        return None
    name, writes, chosen = (
        draw(st.sampled_from(sorted(BRANCHES))),
        draw(st.booleans()),
        _exact(draw, values, 2),
    )

    def step(values: list[Any]) -> Any:
        x, w = values[at], values[around]
        first, second = BRANCHES[name]

        def taken(x: Any) -> Any:
            result = first(x, w)
            if writes and written is not None:
                values[written].mul_(0.5)
            return result + 0

        return wf.compiler.cond(chosen(values) == 1, taken, lambda x: second(x, w) + 0, (x,))

    return step


def _while(draw: Draw, values: Sequence[Any], writable: set[int]) -> Step | None:
    at, around = _pick(draw, values, _is_float), _pick(draw, values, _is_float)
    if at is None or around is None:
        return None
    name, limit = draw(st.sampled_from(sorted(BRANCHES))), _exact(draw, values, 4)

    def step(values: list[Any]) -> Any:
        x, w, most = values[at].detach(), values[around].detach(), limit(values)
        count = wf.zeros((), dtype=INT, device=str(x.device))

        def body(count: Any, x: Any, y: Any) -> Any:
            return count + 1, _bounded(BRANCHES[name][0](x, w)) + 0, x

        with wf.no_grad():
            _, a, b = wf.compiler.while_loop(lambda count, x, y: count < most, body, (count, x, x * 0))
        return a + b

    return step


STEPS: dict[str, Callable[[Draw, Sequence[Any], set[int]], Step | None]] = {
    "unary": _unary, "unary again": _unary, "binary": _binary, "with integer": _with_integer, "integer": _integer,
    "mask": _mask, "cast": _cast, "reduction": _reduction, "movement": _movement, "movement again": _movement, "clone": _clone,
    "zeros": _zeros, "write": _write, "write again": _write, "matmul": _matmul, "row": _row, "loss": _loss,
    "indexing": _indexing, "random": _random, "views": _views, "split": _split,
    "narrow": _narrow, "scan": _scan, "cond": _cond, "while": _while,
}  # fmt: skip
OWNERS = ("clone", "zeros", "unary", "binary")
"""Steps whose results own their memory, and so may be written."""

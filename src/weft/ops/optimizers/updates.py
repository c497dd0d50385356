"""Optimizer steps: one op updates all parameters of a group, in one kernel with a part for each parameter.

Operands are the scalars first, as 0-d tensors, then the tensors of each parameter. Outputs are the updated tensors of
each parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from weft.dtypes import DType, from_numpy
from weft.expr import Expr, cast, const, evaluate, parse, substitute, variable, variables
from weft.kernels import PARTS, Builder, Kernel, KernelProgram, KernelStep, Operand, coalesce, renumbered
from weft.ops.registry.geometry import contiguous_strides
from weft.ops.registry.rules import UPDATE
from weft.ops.registry.spec import KernelRequest, OpSpec, TensorType
from weft.ops.registry.table import declare
from weft.target import TargetProfile

Formulas = Callable[[dict[str, Any], DType], "list[str]"]


@dataclass(frozen=True)
class _Update:
    """The rules of an update op; ``declare_update`` describes the fields."""

    name: str
    shared: Sequence[str]
    tensors: Sequence[str]
    written: Sequence[str]
    formulas: Any

    def _of_parameters(self, operands: Sequence[Any]) -> Iterator[Sequence[Any]]:
        """Return the operands of each parameter."""
        width, tensors = len(self.tensors), operands[len(self.shared) :]
        return (tensors[start : start + width] for start in range(0, len(tensors), width))

    def infer(self, *types: TensorType, **attributes: Any) -> tuple[TensorType, ...]:
        return tuple(
            part[self.tensors.index(name)] for part in self._of_parameters(types) for name in self.written
        )

    def expressions(self, attributes: dict[str, Any], dtype: DType) -> list[Expr]:
        options = {key: value for key, value in attributes.items() if type(value) is float}
        names = dict.fromkeys((*self.shared, *self.tensors, *options), dtype)
        fixed = {variable(key, dtype): const(value, dtype) for key, value in options.items()}
        return [substitute(parse(source, names), fixed) for source in self.formulas(attributes)]

    def reference(self, *arrays: Any, **attributes: Any) -> Any:
        result = []
        for part in self._of_parameters(arrays):
            values = {
                **dict(zip(self.shared, arrays, strict=False)),
                **dict(zip(self.tensors, part, strict=True)),
            }
            dtype = from_numpy(part[0].dtype).compute
            values = {n: dtype.numpy.type(v) if isinstance(v, float) else v for n, v in values.items()}
            result += [
                evaluate(expression, values).astype(part[0].dtype)
                for expression in self.expressions(attributes, dtype)
            ]
        return tuple(result)

    def lower(self, request: KernelRequest) -> KernelProgram:
        operands, outputs, attributes, profile = request
        shared, width, count = len(self.shared), len(self.tensors), len(self.written)
        numbers = tuple(attributes.items())
        steps = []
        for first, last in self._pieces(operands, outputs, profile):
            # renumbered from 0, so that pieces that differ only in their tensors share a kernel
            given = [
                *operands[:shared],
                *operands[shared + first * width : shared + last * width],
                *outputs[first * count : last * count],
            ]
            numbered = _numbered(given)
            parameters = shared + (last - first) * width
            parts = tuple(
                (
                    *numbered[shared + at * width : shared + (at + 1) * width],
                    *numbered[parameters + at * count : parameters + (at + 1) * count],
                )
                for at in range(last - first)
            )
            step = self._step(numbered[:shared], parts, numbers)
            steps.append(renumbered(step, [operand.index for operand in given]))
        return KernelProgram(tuple(steps))

    def _step(
        self, scalars: Sequence[Operand], parts: Sequence[Sequence[Operand]], numbers: tuple[Any, ...]
    ) -> KernelStep:
        """Return the kernel's call over some parameters; a kernel of contiguous parameters is cached for any sizes."""
        sizes = [_contiguous_size(part) for part in parts]
        if None in sizes:
            return self._built(scalars, parts, numbers)
        flat = tuple(tuple(replace(operand, shape=(2,), strides=(1,)) for operand in part) for part in parts)
        step, places = _built_for_contiguous(self, tuple(scalars), flat, numbers)
        arguments = list(step.arguments)
        for place, size in zip(places, sizes, strict=True):
            assert size is not None
            arguments[place] = size
        return replace(step, arguments=tuple(arguments))

    def _built(
        self, scalars: Sequence[Operand], parts: Sequence[Sequence[Operand]], numbers: tuple[Any, ...]
    ) -> KernelStep:
        builder, width = Builder(self.name), len(self.tensors)
        expressions: dict[DType, list[Expr]] = {}
        for part in parts:
            dtype = part[0].dtype.compute
            if dtype not in expressions:
                expressions[dtype] = self.expressions(dict(numbers), dtype)
            self._part(builder, scalars, part[:width], part[width:], expressions[dtype])
        return builder.finish()

    def _pieces(
        self, operands: Sequence[Operand], outputs: Sequence[Operand], profile: TargetProfile
    ) -> list[tuple[int, int]]:
        """Return the range of parameters of each kernel, within the target's binding limit and ``PARTS``."""
        count = len(self.written)
        bound = {scalar.slot for scalar in operands[: len(self.shared)] if not scalar.scalar}
        limit = profile.limits.get("max-storage-buffers-per-shader-stage", 1 << 30)
        pieces, start, slots = [], 0, set(bound)
        at = -1
        for at, part in enumerate(self._of_parameters(operands)):
            needed = {operand.slot for operand in (*part, *outputs[at * count : (at + 1) * count])}
            if at > start and (len(slots | needed) > limit or at - start == PARTS):
                pieces.append((start, at))
                start, slots = at, set(bound)
            slots |= needed
        return [*pieces, (start, at + 1)]

    def _part(
        self, builder: Builder, scalars: Sequence[Operand], part: Sequence[Operand], targets: Sequence[Operand],
        results: Sequence[Expr],
    ) -> None:  # fmt: skip
        dtype, width = part[0].dtype.compute, len(self.tensors)
        sizes, strides = coalesce(part[0].shape, [operand.strides for operand in (*part, *targets)])
        indices = builder.axes(sizes)
        used = {node for result in results for node in variables(result)}
        places: list[tuple[str, Operand, Sequence[Expr], Sequence[int]]]
        places = [(name, scalar, (), ()) for name, scalar in zip(self.shared, scalars, strict=True)]
        places += [
            (name, operand, indices, steps)
            for name, operand, steps in zip(self.tensors, part, strides[:width], strict=True)
        ]
        values = {
            node: builder.scalar(operand, dtype)
            if operand.scalar
            else cast(builder.load(operand, at, steps), dtype)
            for name, operand, at, steps in places
            if (node := variable(name, dtype)) in used
        }
        for target, steps, value in zip(targets, strides[width:], results, strict=True):
            builder.store(target, indices, substitute(value, values), steps)
        builder.end_part()


@lru_cache(maxsize=64)
def _built_for_contiguous(
    update: _Update,
    scalars: tuple[Operand, ...],
    parts: tuple[tuple[Operand, ...], ...],
    numbers: tuple[Any, ...],
) -> tuple[KernelStep, list[int]]:
    """Return the kernel's call over contiguous parameters, and the positions of their sizes in its arguments."""
    step = update._built(scalars, parts, numbers)
    assert isinstance(step.kernel, Kernel)
    places = {parameter.name: at for at, parameter in enumerate(step.kernel.parameters)}
    return step, [places[f"i{number}_0_size"] for number in range(len(parts))]


def _contiguous_size(part: Sequence[Operand]) -> int | None:
    """Return the number of elements of a part; ``None`` unless each of its tensors is contiguous."""
    shape = part[0].shape
    dense = contiguous_strides(shape)
    if any(operand.strides != dense for operand in part):
        return None
    return math.prod(shape)


def _numbered(operands: Sequence[Operand]) -> list[Operand]:
    """Renumber the indices and slots of operands by their positions in this list."""
    slots: dict[int, int] = {}
    return [
        replace(
            operand, index=at, slot=operand.slot if operand.scalar else slots.setdefault(operand.slot, at)
        )
        for at, operand in enumerate(operands)
    ]


FLAGS = ("maximize", "nesterov", "decoupled")
"""Attributes that choose a formula; all other attributes are numbers in the formula."""


def declare_update(
    name: str,
    shared: Sequence[str],
    tensors: Sequence[str],
    written: Sequence[str],
    formulas: Any,
    options: str,
    doc: str,
) -> OpSpec:
    """Declare an update op.

    Args:
        name: the op's name.
        shared: names of the leading operands, 0-d tensors or Python numbers, whose values are no part of a kernel.
        tensors: names of each parameter's operands, in order.
        written: the names of the tensors that the op updates.
        formulas: takes the attributes and returns the new values as expressions over all these names and the float
            attributes.
        options: the names of all attributes.
        doc: what the op does.
    """
    rules = _Update(name, shared, tensors, written, formulas)
    return declare(
        name, rules=UPDATE, infer=rules.infer, reference=rules.reference, lower=rules.lower, elementwise=True, doc=doc,
        info={"update": (len(shared), len(tensors), len(written))},
        attributes=({name: bool | float if name in FLAGS else float for name in options.split()},),
    )  # fmt: skip


def _descent(attributes: dict[str, Any], coupled: bool = True) -> str:
    """Return the line of the direction ``d``: the gradient, negated to maximize, plus the L2 penalty's if coupled.

    A weight decay of 0 adds no term, so that an infinite parameter does not become NaN.
    """
    penalty = " + weight_decay * p" if coupled and attributes["weight_decay"] else ""
    return f"d = {'-g' if attributes['maximize'] else 'g'}{penalty}\n"


def _sgd(attributes: dict[str, Any]) -> list[str]:
    """PyTorch's SGD with momentum; the first step (``step`` is 1) applies no dampening."""
    lines = _descent(attributes)
    if attributes["dampening"]:
        lines += "b = d if step < 1.5 else momentum * m + (1.0 - dampening) * d\n"
    else:
        lines += "b = momentum * m + d\n"
    return [f"{lines}p - lr * ({'d + momentum * b' if attributes['nesterov'] else 'b'})", f"{lines}b"]


SGD_MOMENTUM = declare_update(
    "sgd_momentum_step",
    ("lr", "step", "momentum"),
    ("p", "g", "m"),
    ("p", "m"),
    _sgd,
    "weight_decay maximize dampening nesterov",
    "A step of SGD with momentum.",
)
SGD = declare_update(
    "sgd_step",
    ("lr",),
    ("p", "g"),
    ("p",),
    lambda attributes: [f"{_descent(attributes)}p - lr * d"],
    "weight_decay maximize",
    "A step of plain SGD.",
)


def _adam(attributes: dict[str, Any], largest: bool = False) -> list[str]:
    """Kingma and Ba 2015, with the bias corrections 1 - beta^step by expm1, which is accurate for small steps.

    With ``largest`` the maximum of all second moments, ``x``, takes the place of the second moment (Reddi, Kale and
    Kumar 2018).
    """
    decoupled = attributes["decoupled"]
    lines = _descent(attributes, coupled=not decoupled)
    lines += "q = p - lr * weight_decay * p\n" if decoupled and attributes["weight_decay"] else "q = p\n"
    lines += "a = m + (d - m) * one_minus_beta1\nb = v * beta2 + one_minus_beta2 * d * d\n"
    lines += "h = maximum(x, b)\n" if largest else "h = b\n"
    correct = "c1 = -expm1(step * log_beta1)\nc2 = -expm1(step * log_beta2)\n"
    step = f"{lines}{correct}q - lr / c1 * a / (sqrt(h) / sqrt(c2) + eps)"
    return [step, f"{lines}a", f"{lines}b", *([f"{lines}h"] if largest else [])]


def _rmsprop(attributes: dict[str, Any]) -> list[str]:
    """Hinton's RMSprop; ``centered`` subtracts the mean gradient's square (Graves 2013), ``heavy`` has momentum."""
    lines = _descent(attributes) + "b = s * alpha + one_minus_alpha * d * d\n"
    written, scale = ["b"], "sqrt(b)"
    if attributes["centered"]:
        lines += "c = a + (d - a) * one_minus_alpha\n"
        scale = "sqrt(b - c * c)"
    change = f"d / ({scale} + eps)"
    if attributes["heavy"]:
        lines += f"k = momentum * m + {change}\n"
        change, written = "k", [*written, "k"]
    written += ["c"] if attributes["centered"] else []
    return [f"{lines}p - lr * {change}", *(f"{lines}{name}" for name in written)]


def _adagrad(attributes: dict[str, Any]) -> list[str]:
    """Duchi, Hazan and Singer 2011."""
    lines = _descent(attributes) + "b = s + d * d\n"
    rate = "lr / (1.0 + (step - 1.0) * lr_decay)" if attributes["lr_decay"] else "lr"
    return [f"{lines}p - {rate} * d / (sqrt(b) + eps)", f"{lines}b"]


def _lion(attributes: dict[str, Any]) -> list[str]:
    """Chen et al. 2023: the sign of an interpolation of momentum and gradient; decay is decoupled."""
    lines = _descent(attributes, coupled=False)
    lines += "q = p - lr * weight_decay * p\n" if attributes["weight_decay"] else "q = p\n"
    return [
        f"{lines}q - lr * sign(m * beta1 + d * one_minus_beta1)",
        f"{lines}m * beta2 + d * one_minus_beta2",
    ]


MOMENTS = ("lr", "step", "one_minus_beta1", "log_beta1")
"""The operands of Adam's kernels that change between steps: a schedule may change the rate and the first beta."""
_ADAM = "beta2 one_minus_beta2 log_beta2 eps weight_decay maximize decoupled"
ADAM = declare_update(
    "adam_step", MOMENTS, ("p", "g", "m", "v"), ("p", "m", "v"), _adam, _ADAM, "A step of Adam or AdamW."
)
AMSGRAD = declare_update(
    "adam_amsgrad_step",
    MOMENTS,
    ("p", "g", "m", "v", "x"),
    ("p", "m", "v", "x"),
    lambda attributes: _adam(attributes, largest=True),
    _ADAM,
    "A step of Adam or AdamW with the maximum of past second moments.",
)
RMSPROP = {
    (heavy, centered): declare_update(
        "rmsprop_step" + "_momentum" * heavy + "_centered" * centered,
        ("lr",),
        ("p", "g", "s", *("m",) * heavy, *("a",) * centered),
        ("p", "s", *("m",) * heavy, *("a",) * centered),
        lambda attributes, heavy=heavy, centered=centered: _rmsprop(
            {**attributes, "heavy": heavy, "centered": centered}
        ),
        "alpha one_minus_alpha eps weight_decay momentum maximize",
        "A step of RMSprop.",
    )
    for heavy in (False, True)
    for centered in (False, True)
}
"""RMSprop's ops, keyed by whether there is momentum and whether it is centered: these decide the state tensors."""
ADAGRAD = declare_update(
    "adagrad_step",
    ("lr", "step"),
    ("p", "g", "s"),
    ("p", "s"),
    _adagrad,
    "lr_decay eps weight_decay maximize",
    "A step of Adagrad.",
)
LION = declare_update(
    "lion_step", ("lr",), ("p", "g", "m"), ("p", "m"), _lion,
    "beta1 one_minus_beta1 beta2 one_minus_beta2 weight_decay maximize", "A step of Lion.",
)  # fmt: skip
SCALE = declare_update(
    "scale_all",
    ("scale",),
    ("g",),
    ("g",),
    lambda attributes: ["g * scale"],
    "",
    "Many tensors multiplied by one number.",
)
CLAMP = declare_update(
    "clamp_all",
    (),
    ("g",),
    ("g",),
    lambda attributes: ["minimum(maximum(g, -limit), limit)"],
    "limit",
    "Many tensors clamped to [-limit, limit].",
)

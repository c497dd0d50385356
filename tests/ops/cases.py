"""The table of cases: for each public function its calls here and in PyTorch, for each op its operands.

A new function or op without a row fails ``test_tables``. Arguments are ``Arg`` (tensors) or plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as tf

from tests.ops.arrays import Arg
from weft import dtypes as d
from weft.dtypes import DType
from weft.ops import OPS

FLOATS = (d.float32, d.float16, d.bfloat16, d.float64)
INTEGERS = (d.int64, d.int32, d.int16, d.int8, d.uint8)
SIGNED = INTEGERS[:-1]
NUMBERS = FLOATS + INTEGERS
UNSIGNED32 = (d.uint32,)
EVERY = (*NUMBERS, d.bool_)


def with_int16(dtypes: Sequence[DType]) -> tuple[DType, ...]:
    """Return the types, with int16 added where other integer types are among them."""
    taken = any(dtype.is_integer for dtype in dtypes) and d.int16 not in dtypes
    return (*dtypes, d.int16) if taken else tuple(dtypes)


@dataclass(frozen=True)
class Case:
    """A call of a function.

    ``torch`` is the same function in PyTorch. ``scale`` widens the tolerance. ``gradient``: whether gradients are
    compared, with respect to every floating point ``Arg`` that is ``differentiable``; ``second``: also their gradients.
    ``torch_gradient`` is False where PyTorch has no gradient.
    """

    arguments: tuple[Any, ...]
    torch: Callable[..., Any]
    keywords: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Sequence[DType] = (d.float32,)
    scale: float = 1.0
    gradient: bool = True
    second: bool = True
    torch_gradient: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtypes", with_int16(self.dtypes))


def tried(case: Case, device: Any) -> list[DType]:
    """Return the types in which a test of every function calls it: the first that the device has, and int16 if taken."""
    supported = [dtype for dtype in case.dtypes if device.supports(dtype)]
    return supported[:1] + [d.int16] * (d.int16 in supported[1:])


A, P, S = "any", "positive", "apart"
M = (2, 3, 4)
PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    (M, M), ((), ()), ((3,), ()), ((3, 1), (1, 4)), (M, (4,)), ((0, 3), (1, 3)), ((2, 1, 3, 1, 2), (3, 1, 2, 1)),
)  # fmt: skip
SHAPES: tuple[tuple[int, ...], ...] = (M, (), (1,), (0,), (2, 0, 3), (2, 1, 3, 2, 2), (37,))


def unary(name: str, dtypes: Sequence[DType] = FLOATS, values: str = S, **options: Any) -> list[Case]:
    """Return cases of a function of a tensor, over ranks and sizes."""
    theirs = getattr(torch, name, None) or getattr(tf, name)
    first = Case((Arg(M, values),), theirs, dtypes=dtypes, **options)
    return [first, *(Case((Arg(shape, values),), theirs, **options) for shape in SHAPES[1:])]


def binary(
    name: str, dtypes: Sequence[DType] = NUMBERS, values: tuple[str, str] = (S, S), **options: Any
) -> list[Case]:
    """Return cases of a function of two tensors, over broadcasting pairs, and of a tensor and a number."""
    theirs, (first, second) = getattr(torch, name), values
    pairs = [Case((Arg(a, first), Arg(b, second)), theirs, **options) for a, b in PAIRS[1:]]
    return [Case((Arg(M, first), Arg(M, second)), theirs, dtypes=dtypes, **options), *pairs]


def with_number(name: str, dtypes: Sequence[DType] = (d.float32, d.float16, d.int64, d.uint8)) -> list[Case]:
    """Return cases of a function of a tensor and a Python number, in both orders."""
    theirs = getattr(torch, name)
    return [
        Case((Arg(M, P), 2.5), theirs),
        Case((Arg((3,), P), 2), theirs, dtypes=dtypes),
        Case((2.5, Arg(M, P)), lambda x, y: theirs(torch.tensor(x), y)),
    ]


def compared(name: str) -> list[Case]:
    """Return cases of a comparison, with many equal values."""
    cases = binary(name, (*NUMBERS, d.bool_) if name in ("eq", "ne") else NUMBERS, (A, A), gradient=False)
    return [*cases, Case((Arg(M), 1), getattr(torch, name), dtypes=(d.float32, d.int64), gradient=False)]


def reduction(
    name: str, dtypes: Sequence[DType], values: str = S, empty: bool = True, gradient: bool = True
) -> list[Case]:
    """Return cases of a reduction over all dimensions, a dimension, several, and with ``keepdim``."""
    theirs = getattr(torch, name)
    options: dict[str, Any] = {"gradient": gradient, "scale": 2}
    long: dict[str, Any] = {"gradient": gradient, "scale": 4, "second": False}
    cases = [
        Case((Arg(M, values),), theirs, dtypes=dtypes, **options),
        Case((Arg(M, values), 1), theirs, dtypes=dtypes, **options),
        Case((Arg(M, values), -1, True), theirs, **options),
        Case((Arg(M, values), (0, 2)), theirs, **options),
        Case((Arg((), values),), theirs, **options),
        Case((Arg((5, 130), values), 1), theirs, **long),
        Case((Arg((130, 5), values), 0), theirs, **long),
        Case((Arg((2, 1, 3, 2, 2), values), (1, 3), True), theirs, **options),
    ]
    if empty:
        cases += [
            Case((Arg((0, 3), values), 0), theirs, **options),
            Case((Arg((0,), values),), theirs, **options),
        ]
    return cases


def position(name: str) -> list[Case]:
    """Return cases of ``argmax`` and ``argmin``."""
    theirs = getattr(torch, name)
    return [
        Case((Arg(M, S),), theirs, dtypes=NUMBERS, gradient=False),
        Case((Arg(M, S), 1), theirs, gradient=False),
        Case((Arg(M, S), -1, True), theirs, gradient=False),
        Case((Arg((), S),), theirs, gradient=False),
        Case((Arg((3, 300), S), 1), theirs, gradient=False),
    ]


def movement(*rows: tuple[Any, ...], torch: Callable[..., Any]) -> list[Case]:
    """Return cases of a view function; the first in every dtype."""
    return [
        Case((Arg(shape), *rest), torch, dtypes=EVERY if at == 0 else (d.float32,))
        for at, (shape, *rest) in enumerate(rows)
    ]


def index(shape: tuple[int, ...], bound: int, dtype: DType = d.int64) -> Arg:
    """Return an argument of indices below ``bound``."""
    return Arg(shape, "index", dtype, bound)


X, W = Arg((2, 4, 7, 6), A), Arg((6, 2, 3, 3), A)


def conv(x: Arg, w: Arg, *, bias: int = 0, dtypes: Sequence[DType] = (d.float32,), **options: Any) -> Case:
    """Return a case of a convolution; ``bias`` is the number of output channels where it has a bias."""
    extra = (Arg((bias,), A),) if bias else ()
    return Case((x, w, *extra), tf.conv2d, options, dtypes, scale=8, second=x.shape[0] < 3)


SMALL_X, SMALL_W = Arg((1, 2, 4, 3), A), Arg((2, 1, 2, 2), A)
MATRICES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((3, 4), (4, 2)), ((4,), (4,)), ((4,), (4, 2)), ((3, 4), (4,)), ((2, 3, 4), (4, 2)), ((3, 4), (2, 4, 5)),
    ((2, 1, 3, 4), (5, 4, 2)), ((2, 1, 2, 2, 3), (1, 2, 1, 3, 2)), ((0, 4), (4, 3)), ((3, 0), (0, 2)), ((4,), (2, 4, 3)),
)  # fmt: skip

FUNCTION_CASES: dict[str, list[Case]] = {
    **{name: [*binary(name), *with_number(name)] for name in ("add", "sub", "mul")},
    "div": [*binary("div", FLOATS + INTEGERS, (S, P)), *with_number("div")],
    "pow": [*binary("pow", FLOATS, (P, A), scale=8), Case((Arg(M, S), 2), torch.pow), Case((Arg(M, S), 3.0), torch.pow),
            Case((Arg(M, P), -0.5), torch.pow), Case((2.0, Arg(M, A)), lambda x, y: torch.pow(x, y), scale=4)],
    "maximum": binary("maximum"), "minimum": binary("minimum"),
    **{name: unary(name, FLOATS + SIGNED) for name in ("neg", "abs", "sign")},
    "square": unary("square", NUMBERS), "relu": unary("relu", FLOATS + INTEGERS),
    **{name: unary(name, (*FLOATS, d.int64), P) for name in ("sqrt", "log")},
    **{name: unary(name, (*FLOATS, d.int32)) for name in ("exp", "sin", "cos", "tanh", "sigmoid")},
    "silu": unary("silu", scale=2), "floor": unary("floor"), "isnan": unary("isnan", gradient=False),
    **{name: compared(name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{name: binary(name, (*INTEGERS, d.bool_), gradient=False)[:1] for name in ("bitwise_and", "bitwise_or")},
    "logical_not": [Case((Arg(M, "bool"),), torch.logical_not, dtypes=(d.bool_,), gradient=False)],
    "contiguous": movement((M,), ((),), ((0, 2),), torch=lambda x: x.contiguous()),
    "clone": movement((M,), ((),), ((0, 2),), torch=torch.clone),
    "reshape": movement((M, 6, -1), (M, (4, 3, 2)), ((), 1, 1), ((0, 3), 3, 0), ((6,),  2, 1, 3),
                        torch=lambda x, *s: x.reshape(*s)),
    "view": [Case((Arg((6, 1, 2), S), 6, 2), lambda x, *s: x.reshape(*s)), Case((Arg(()), 1), lambda x, *s: x.reshape(*s))],
    "permute": movement((M, 2, 0, 1), (M, (0, -1, 1)), ((),), torch=lambda x, *o: x.permute(*o) if o else x.permute(o)),
    "transpose": movement((M, 0, 2), (M, -1, 1), ((), 0, -1), torch=torch.transpose),
    "t": movement(((3, 2),), ((3,),), ((),), torch=torch.t),
    "expand": movement(((2, 1, 4), 5, -1, 3, 4), ((), 2, 3), ((1,), (0,)), torch=lambda x, *s: x.expand(*s)),
    "broadcast_to": movement(((3, 1), (2, 3, 4)), torch=torch.broadcast_to),
    "squeeze": movement(((1, 3, 1),), ((1, 3, 1), 0), ((1, 3, 1), (0, 1)), ((),),
                        torch=lambda x, *a: torch.squeeze(x, *a)),
    "unsqueeze": movement((M, 1), (M, -1), ((), 0), torch=torch.unsqueeze),
    "flatten": movement((M,), (M, 1), (M, 0, 1), ((),), ((2, 0, 3),), torch=torch.flatten),
    "narrow": movement((M, 1, 1, 2), (M, -1, -3, 2), (M, 0, 1, 0), torch=torch.narrow),
    "select": movement((M, 1, -1), ((3,), 0, 1), torch=torch.select),
    "matmul": [Case((Arg(a), Arg(b)), torch.matmul, dtypes=(*FLOATS, d.int64, d.int32) if at == 0 else FLOATS[:1], scale=4)
               for at, (a, b) in enumerate(MATRICES)]
    + [Case((Arg((65, 130)), Arg((130, 33))), torch.matmul, scale=8, second=False)],
    "mm": [Case((Arg((3, 4)), Arg((4, 2))), torch.mm, scale=4)],
    "linear": [Case((Arg((2, 3, 4)), Arg((5, 4)), Arg((5,))), tf.linear, scale=4, dtypes=FLOATS),
               Case((Arg((4,)), Arg((5, 4))), tf.linear, scale=4)],
    "sum": reduction("sum", EVERY), "mean": reduction("mean", FLOATS),
    "amax": reduction("amax", NUMBERS, empty=False), "amin": reduction("amin", NUMBERS, empty=False),
    "any": reduction("any", EVERY, "bool", gradient=False), "all": reduction("all", EVERY, "bool", gradient=False),
    "argmax": position("argmax"), "argmin": position("argmin"),
    "conv2d": [
        conv(X, Arg((6, 4, 3, 3)), bias=6, dtypes=FLOATS), conv(X, W, groups=2, stride=2, padding=1),
        conv(X, W, groups=2, dilation=(2, 1), padding=(2, 0)), conv(X, Arg((4, 1, 2, 3)), groups=4, stride=(1, 3)),
        conv(X, Arg((5, 4, 3, 1)), padding="same"), conv(X, Arg((5, 4, 7, 6)), padding="valid"),
        conv(SMALL_X, SMALL_W, groups=2, stride=(2, 1), padding=1, bias=2), conv(Arg((4, 7, 6)), Arg((3, 4, 3, 3))),
    ],
    "gather": [
        Case((Arg(M), 1, index((2, 5, 4), 3)), torch.gather, dtypes=EVERY), Case((Arg(M), 0, index((1, 2, 3), 2)), torch.gather),
        Case((Arg(M), -1, index((2, 0, 4), 4)), torch.gather), Case((Arg(()), 0, index((), 1)), torch.gather),
        Case((Arg(M), 2, index((2, 3, 4), 4)), torch.gather),
    ],
    "scatter_add": [
        Case((Arg(M), 1, index((2, 5, 4), 3), Arg((2, 5, 4))), torch.scatter_add, dtypes=(*FLOATS, d.int64, d.int32)),
        Case((Arg(M), 0, index((1, 2, 3), 2), Arg((2, 2, 4))), torch.scatter_add, torch_gradient=False),
        Case((Arg((3,)), 0, index((0,), 3), Arg((2,))), torch.scatter_add, torch_gradient=False), Case((Arg(()), 0, index((), 1), Arg(())), torch.scatter_add),
    ],
    "index_select": [
        Case((Arg(M), 1, index((5,), 3)), torch.index_select, dtypes=EVERY), Case((Arg(M), -1, index((0,), 4)), torch.index_select),
        Case((Arg((3,)), 0, index((2,), 3, d.int32)), torch.index_select),
    ],
    "embedding": [
        Case((index((2, 3), 5), Arg((5, 4))), tf.embedding, dtypes=FLOATS), Case((index((), 5), Arg((5, 4))), tf.embedding),
        Case((index((0,), 5), Arg((5, 4))), tf.embedding), Case((index((4,), 5, d.int32), Arg((5, 1))), tf.embedding),
    ],
    "cat": [
        Case(([Arg((2, 3)), Arg((1, 3)), Arg((0, 3))],), torch.cat, dtypes=EVERY), Case(([Arg(M), Arg((2, 1, 4))], -2), torch.cat),
        Case(([Arg((2,), dtype=d.int32), Arg((3,))],), torch.cat), Case(([Arg((2, 1)) for _ in range(11)], 1), torch.cat),
    ],
    "stack": [Case(([Arg((2, 3)), Arg((2, 3), S)], at), torch.stack) for at in (0, 1, -1)] + [Case(([Arg(()), Arg((), S)],), torch.stack)],
    **{name: [Case((Arg(M, S), 1), getattr(torch, name), dtypes=FLOATS, scale=2), Case((Arg(M, S), -1), getattr(torch, name), scale=2),
              Case((Arg((), S), 0), getattr(torch, name)), Case((Arg((2, 0, 3), S), 1), getattr(torch, name)),
              Case((Arg((3, 300), S), 1), getattr(torch, name), scale=8, second=False), Case((Arg((2, 1, 3, 2, 2), S), 2), getattr(torch, name), scale=2)]
       for name in ("softmax", "log_softmax")},
    "where": [
        Case((Arg(M, "bool", d.bool_), Arg(M), Arg(M, S)), torch.where, dtypes=(*EVERY, d.uint32)),
        Case((Arg((3, 1), "bool", d.bool_), Arg((1, 4)), Arg((), S)), torch.where),
        Case((Arg(M, "bool", d.bool_), Arg(M, S), -2.5), torch.where),
        Case((Arg(M, "bool", d.bool_), 1, Arg(M, S)), torch.where),
        Case((Arg((0, 3), "bool", d.bool_), Arg((1, 3)), 0.0), torch.where),
    ],
    "nll_loss": [
        Case((Arg((4, 3), "logs"), index((4,), 3)), tf.nll_loss, dtypes=(d.float32, d.float64), scale=2),
        Case((Arg((4, 3), "logs"), index((4,), 3)), tf.nll_loss, {"reduction": "sum", "ignore_index": 1}, scale=2),
        Case((Arg((3,), "logs"), index((), 3)), tf.nll_loss), Case((Arg((2, 3, 4), "logs"), index((2, 4), 3)), tf.nll_loss, {"reduction": "none"}, scale=2),
    ],
    "cross_entropy": [
        Case((Arg((4, 3), S), index((4,), 3)), tf.cross_entropy, dtypes=FLOATS, scale=4),
        Case((Arg((4, 3), S), index((4,), 3)), tf.cross_entropy, {"reduction": "sum", "ignore_index": 1}, scale=4),
        Case((Arg((2, 3, 4), S), index((2, 4), 3)), tf.cross_entropy, {"reduction": "none"}, scale=4),
        Case((Arg((4, 3), S), index((4,), 3)), tf.cross_entropy, {"label_smoothing": 0.1}, scale=4),
        Case((Arg((4, 3), S), Arg((4, 3), "chances")), tf.cross_entropy, {"label_smoothing": 0.2}, scale=4),
        Case((Arg((2, 3, 4), S), Arg((2, 3, 4), "chances")), tf.cross_entropy, scale=4),
        Case((Arg((2, 3, 4), S), index((2, 4), 3)), tf.cross_entropy, {"label_smoothing": 0.1}, scale=4),
        Case((Arg((3,), S), index((), 3)), tf.cross_entropy, scale=4),
    ],
    "mse_loss": [Case((Arg(M, S), Arg(M)), tf.mse_loss, dtypes=FLOATS, scale=4),
                 Case((Arg(M, S), Arg(M)), tf.mse_loss, {"reduction": "sum"}, scale=4),
                 Case((Arg(M, S), Arg(M)), tf.mse_loss, {"reduction": "none"}, scale=4)],
    "max_pool2d": [
        Case((Arg((2, 3, 6, 5), S), 2), tf.max_pool2d, dtypes=FLOATS), Case((Arg((1, 2, 7, 6), S), 3, 2, 1), tf.max_pool2d),
        Case((Arg((1, 2, 7, 6), S), (3, 2), (2, 1), (1, 0), (1, 2)), tf.max_pool2d),
        Case((Arg((1, 1, 5, 5), S), 2, 2, 0, 1, True), tf.max_pool2d), Case((Arg((2, 4, 4), S), 2), tf.max_pool2d),
        Case((Arg((1, 1, 4, 4), S), 3, 1), tf.max_pool2d),
    ],
}  # fmt: skip


@dataclass(frozen=True)
class OpCase:
    """A call of an op through ``bind``: operands (``Arg`` or numbers) and attributes."""

    operands: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dtypes: Sequence[DType] = (d.float32,)
    scale: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtypes", with_int16(self.dtypes))


_KIND = {"f": FLOATS, "i": SIGNED, "u": (d.uint8, d.uint32), "b": (d.bool_,)}


_PACKED4, _PACKED8 = (Arg((2, 2, size), "bytes", d.uint8) for size in (256, 512))
_SCALES = Arg((2, 2, 16), P, d.float16)
_SCALES16 = Arg((2, 4, 16), P)

WIDE = ("pow", "silu", "gelu", "gelu_tanh", "mish", "norm_power", "norm_power_root", "tanhshrink", "logit", "sinc",
        "logit_clamped", "addcmul", "addcdiv", "lerp", "softplus", "logsigmoid", "atanh", "celu", "frac", "sub_scaled",
        "add_scaled", "remainder", "fmod", "exp_difference", "erfinv", "digamma", "lgamma", "trigamma", "polygamma")  # fmt: skip
"""Pointwise ops with cancellation or powers, which have a wider tolerance."""
DOMAINS = {
    **dict.fromkeys(("pow", "log", "sqrt", "rsqrt", "div", "log2", "log10", "log1p", "xlogy", "norm_root", "norm_power",
                     "norm_power_root", "softplus", "digamma", "lgamma", "trigamma", "celu", "clamp", "addcdiv", "div_trunc", "fmod", "remainder",
                     "floor_divide", "hardtanh"), P),
    **dict.fromkeys(("asin", "acos", "atanh", "erfinv"), "unit"), "logit": "half", "logit_clamped": "half", "acosh": "above",
    "polygamma": "above",
}  # fmt: skip
"""The values of the operands of pointwise ops that are not defined everywhere."""


def _pointwise_case(name: str) -> OpCase:
    info = OPS[name].info["pointwise"]
    values = DOMAINS.get(name, S)
    operands = tuple(
        Arg(M, "bool", d.bool_) if parameter in info.conditions else Arg(M, values)
        for parameter in info.parameters
    )
    kinds = [dtype for kind in info.kinds for dtype in _KIND[kind]]
    return OpCase(operands, dtypes=kinds, scale=8 if name in WIDE else 1)


_WINDOW = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
_POOL = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
_STATE = Arg((4,), "state", d.uint32)
_ADAM = {
    "decoupled": True, "maximize": 0.0, "weight_decay": 0.01, "beta2": 0.999,
    "one_minus_beta2": 0.001, "log_beta2": -0.0010005003335835344, "eps": 1e-8,
}  # fmt: skip
_SGD = {"maximize": 0.0, "weight_decay": 0.01}
_RATE, _STEP = Arg((), P, d.float32), Arg((), "one", d.float32)
_BETA1 = (0.1, -0.10536051565782628)
_RMSPROP = {**_SGD, "alpha": 0.9, "one_minus_alpha": 0.1, "eps": 1e-2, "momentum": 0.5}
_LION = {**_SGD, "beta1": 0.9, "one_minus_beta1": 0.1, "beta2": 0.99, "one_minus_beta2": 0.01}

OP_CASES: dict[str, list[OpCase]] = {
    **{name: [_pointwise_case(name)] for name, op in OPS.items() if "pointwise" in op.info and ".grad" not in name},
    "full": [OpCase((2.5,), {"shape": M, "dtype": dtype, "device": "{device}"}) for dtype in (d.float32, d.int16, d.int8, d.bool_)],
    "arange": [OpCase((3, 2), {"count": 7, "dtype": dtype, "device": "{device}"}) for dtype in (d.float32, d.int64, d.uint8)]
    + [OpCase((0.5, -0.25), {"count": 5, "dtype": d.float16, "device": "{device}"})],
    "cast": [OpCase((Arg(M, P, source),), {"dtype": target}) for source in (*EVERY, d.uint32) for target in (*EVERY, d.uint32)],
    "copy": [OpCase((Arg(M),), dtypes=(*EVERY, d.uint32))],
    "transfer": [OpCase((Arg(M),), {"device": "cpu", "source": "{device}"}, dtypes=(*EVERY, d.uint32))],
    "reshape": [OpCase((Arg(M),), {"shape": (4, 6)})], "permute": [OpCase((Arg(M),), {"order": (1, 2, 0)})],
    "expand": [OpCase((Arg((1, 3, 1)),), {"shape": (2, 4, 3, 5)})],
    "slice": [OpCase((Arg((2, 7, 4)),), {"dim": 1, "start": 1, "stop": 6, "step": 2})],
    "strided": [OpCase((Arg((24,)),), {"shape": (3, 2), "strides": (4, 1), "offset": 5})],
    "update_view": [OpCase((Arg(M), Arg((2, 2, 4))), {"path": (("slice", (("dim", 1), ("start", 0), ("stop", 3), ("step", 2))),)},
                           dtypes=(*EVERY, d.uint32)),
                    OpCase((Arg((4, 3)), Arg((2,))), {"path": (
                        ("permute", (("order", (1, 0)),)), ("slice", (("dim", 0), ("start", 1), ("stop", 2), ("step", 1))),
                        ("reshape", (("shape", (4,)),)), ("slice", (("dim", 0), ("start", 1), ("stop", 4), ("step", 2))))})],
    "linear": [OpCase((Arg((3, 4)), Arg((5, 4)), Arg((5,))), {}, (d.float32, d.float64), 4), OpCase((Arg((2, 3, 4)), Arg((5, 4)), Arg((5,))), {}, scale=4)],
    "matmul": [OpCase((Arg((2, 3, 4)), Arg((2, 4, 5))), {}, (*FLOATS, d.int64, d.int32, d.uint8), 4)],
    **{name: [OpCase((Arg(M, S),), {"dims": dims, "keepdim": keep}, kinds if dims == (1,) else (d.float32,), 2)
              for dims, keep in (((1,), False), ((0, 2), True), ((0, 1, 2), False))]
       for name, kinds in (("sum", (*EVERY, d.uint32)), ("mean", FLOATS), ("amax", (*NUMBERS, d.uint32)), ("amin", (*NUMBERS, d.uint32)))},
    **{name: [OpCase((Arg(M, "bool"),), {"dims": (1,), "keepdim": False}, (*EVERY, d.uint32))] for name in ("any", "all")},
    **{name: [OpCase((Arg(M, S),), {"dims": dims, "keepdim": False}, (*NUMBERS, d.uint32)) for dims in ((1,), (0, 1, 2))]
       for name in ("argmax", "argmin")},
    "gather": [OpCase((Arg(M), index((2, 5, 4), 3)), {"dim": 1}, (*EVERY, d.uint32))],
    "embedding": [OpCase((Arg((5, 4)), index((2, 3), 5, kind)), {}, (*EVERY, d.uint32)) for kind in (d.int64, d.uint8)],
    "indexed_linear": [
        OpCase((Arg((5, 1, 70)), Arg((3, 9, 70)), index((5,), 3)), {}, FLOATS, scale=8),
        OpCase((Arg((2, 4, 33)), Arg((3, 17, 33)), index((2,), 3, d.int32)), {}, FLOATS, scale=8),
    ],
    "quantized_linear": [
        OpCase((Arg((3, 64), "quantised"), _PACKED4, _SCALES), {"rows": 20, "zero": 8}, FLOATS, scale=8),
        OpCase((Arg((2, 3, 64), "quantised"), _PACKED4, _SCALES, _SCALES), {"rows": 32, "zero": 0}, scale=8),
        OpCase((Arg((64,), "quantised"), _PACKED8, Arg((2, 1, 16), P)), {"rows": 17, "zero": 128}, scale=8),
        OpCase((Arg((5, 64), "quantised"), _PACKED8, _SCALES16), {"rows": 20, "zero": 32}, scale=8),
        OpCase((Arg((2, 64), "quantised"), _PACKED4, _SCALES16, _SCALES16), {"rows": 18, "zero": 3}, scale=8),
        OpCase((Arg((2, 96), "quantised"), Arg((1, 3, 256), "bytes", d.uint8), Arg((1, 2, 16), P)), {"rows": 16, "zero": 8}, scale=8),
    ],
    "quantized_embedding": [
        OpCase((index((2, 3), 20), _PACKED4, _SCALES, _SCALES), {"rows": 20, "zero": 0}),
        OpCase((index((5,), 32, d.int32), _PACKED8, Arg((2, 1, 16), P)), {"rows": 32, "zero": 128}),
        OpCase((index((2, 3), 20), _PACKED8, _SCALES16), {"rows": 20, "zero": 32}),
        OpCase((index((3,), 20), _PACKED4, _SCALES16, _SCALES16), {"rows": 20, "zero": 8}),
    ],
    "cat": [OpCase((Arg((2, 3)), Arg((2, 1)), Arg((2, 0))), {"dim": 1}, (*EVERY, d.uint32))],
    **{name: [OpCase((Arg(M, S),), {"dim": dim}, FLOATS, 2) for dim in (1, 2)] for name in ("softmax", "log_softmax")},
    "softmax_backward": [OpCase((Arg(M), Arg(M, "chances")), {"dim": 1}, FLOATS, 4)],
    "log_softmax_backward": [OpCase((Arg(M), Arg(M, "logs")), {"dim": 1}, FLOATS, 4)],
    "nll": [OpCase((Arg((4, 3, 2), "logs"), index((4, 2), 3)), {"ignore_index": 1}, FLOATS)],
    "nll_backward": [OpCase((Arg((4, 2)), index((4, 2), 3)), {"classes": 3, "ignore_index": 1}, FLOATS)],
    "random_uniform": [OpCase((_STATE, 7, 1, -1.0, 3.0), {"shape": (3, 5), "dtype": kind}) for kind in FLOATS],
    "random_normal": [OpCase((_STATE, 4294967294, 0, 1.0, 2.0), {"shape": (3, 5), "dtype": kind}, scale=8) for kind in FLOATS],
    "random_integer": [OpCase((_STATE, 5, 0, -3, 11), {"shape": (3, 5), "dtype": kind}) for kind in (d.int64, d.int32, d.int16, d.int8)],
    "random_advance": [OpCase((_STATE, 4294967295, 7)), OpCase((_STATE, 0, 0))],
    "dropout": [OpCase((Arg((3, 5)), _STATE, 9, 0), {"p": 0.4}, FLOATS)],
    "sgd_step": [OpCase((_RATE, Arg(M), Arg(M, S)), _SGD, FLOATS), OpCase((_RATE, *(Arg((3, n)) for n in (1, 1, 2, 2, 5, 5))), _SGD)],
    "sgd_momentum_step": [OpCase((_RATE, _STEP, 0.9, Arg(M), Arg(M, S), Arg(M)), {**_SGD, "nesterov": True, "dampening": 0.1}, FLOATS)],
    "adam_step": [OpCase((_RATE, _STEP, *_BETA1, *(a for n in (1, 4, 5) for a in (Arg((3, n)), Arg((3, n), S), Arg((3, n)), Arg((3, n), P)))), _ADAM, FLOATS, 8)],
    "adam_amsgrad_step": [OpCase((_RATE, _STEP, *_BETA1, *(a for n in (1, 4) for a in (Arg((3, n)), Arg((3, n), S), Arg((3, n)), Arg((3, n), P), Arg((3, n), P)))), _ADAM, FLOATS, 8)],
    "rmsprop_step": [OpCase((_RATE, Arg(M), Arg(M, S), Arg(M, P)), _RMSPROP, FLOATS, 4)],
    "rmsprop_step_momentum": [OpCase((_RATE, Arg(M), Arg(M, S), Arg(M, P), Arg(M)), _RMSPROP, FLOATS, 4)],
    "rmsprop_step_centered": [OpCase((_RATE, Arg(M), Arg(M, S), Arg(M, "large"), Arg(M)), _RMSPROP, FLOATS, 8)],
    "rmsprop_step_momentum_centered": [OpCase((_RATE, Arg(M), Arg(M, S), Arg(M, "large"), Arg(M), Arg(M)), _RMSPROP, FLOATS, 8)],
    "adagrad_step": [OpCase((_RATE, _STEP, Arg(M), Arg(M, S), Arg(M, P)), {**_SGD, "lr_decay": 0.1, "eps": 1e-8}, FLOATS, 4)],
    "adamax_step": [OpCase((_RATE, _STEP, *_BETA1, Arg(M), Arg(M, S), Arg(M), Arg(M, P)), {**_SGD, "beta2": 0.999, "eps": 1e-8}, FLOATS, 8)],
    "nadam_step": [OpCase((_RATE, _STEP, 0.1, 0.5, Arg(M), Arg(M, S), Arg(M), Arg(M, P)), {**_ADAM, "log_decay": -0.01}, FLOATS, 8)],
    "nadam_momentum": [OpCase((_STEP, 0.1, Arg((), P)), {"log_decay": -0.01}, FLOATS, 4)],
    "radam_step": [OpCase((_RATE, step, *_BETA1, Arg(M), Arg(M, S), Arg(M), Arg(M, P)), {**_ADAM, "rho_inf": 1999.0, "rho_rest": 1.0, "rho_scale": 5.0e-4}, FLOATS, 16)
                   for step in (_STEP, Arg((), "large", d.float32))],
    "adadelta_step": [OpCase((_RATE, Arg(M), Arg(M, S), Arg(M, P), Arg(M, P)), {**_SGD, "rho": 0.9, "one_minus_rho": 0.1, "eps": 1e-6}, FLOATS, 8)],
    "rprop_step": [OpCase((Arg(M), Arg(M, S), Arg(M, S), Arg(M, P)), {"maximize": 0.0, "grow": 1.2, "shrink": 0.5, "least": 1e-6, "most": 2.0}, FLOATS, 4)],
    "asgd_step": [OpCase((_RATE, mu, Arg(M), Arg(M, S), Arg(M)), {**_SGD, "lambd": 0.1}, FLOATS, 8) for mu in (1.0, 0.25)],
    "asgd_rates": [OpCase((_RATE, _STEP, Arg(()), Arg(())), {"lambd": 0.1, "alpha": 0.75, "t0": 0.0}, FLOATS, 8)],
    "lion_step": [OpCase((_RATE, Arg(M), Arg(M, S), Arg(M)), _LION, FLOATS)],
    "scale_all": [OpCase((_RATE, Arg(M), Arg((2, 5)), Arg(())), {}, FLOATS)],
    "clamp_all": [OpCase((Arg(M), Arg((2, 5)), Arg(())), {"limit": 0.5}, FLOATS)],
    "any_non_finite": [OpCase(tuple(Arg(s) for s in shapes), {}, FLOATS) for shapes in ((M, (2, 5), ()), ((2100,), (0, 3)), ((0,),))],
}  # fmt: skip

from tests.ops import cases_indexing  # noqa: E402  (its rows are made with what is above)

FUNCTION_CASES.update(cases_indexing.FUNCTIONS)
OP_CASES.update(cases_indexing.OPS)

from tests.ops import cases_math, cases_matrices  # noqa: E402  (written with the forms above)

for _family in (cases_math, cases_matrices):
    FUNCTION_CASES.update(_family.FUNCTION_CASES)
    OP_CASES.update(_family.OP_CASES)

from tests.ops import cases_layers  # noqa: E402

for _name, _cases in cases_layers.FUNCTION_CASES.items():
    FUNCTION_CASES[_name] = [*FUNCTION_CASES.get(_name, []), *_cases]
OP_CASES.update(cases_layers.OP_CASES)

from tests.ops import cases_names  # noqa: E402

FUNCTION_CASES.update(cases_names.FUNCTION_CASES)
FUNCTION_CASES.update(cases_names.aliases(FUNCTION_CASES))

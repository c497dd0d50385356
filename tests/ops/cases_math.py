"""Cases of the pointwise families, reductions, cumulative ops and sorting."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as tf

from tests.ops.arrays import Arg
from tests.ops.cases import (
    EVERY,
    FLOATS,
    INTEGERS,
    NUMBERS,
    A,
    Case,
    M,
    OpCase,
    P,
    S,
    binary,
    index,
    unary,
    with_number,
)
from tests.peer import OLDER_TORCH
from weft import dtypes as d

FLOAT_RULE = (*FLOATS, d.int64)
WHOLE = (*INTEGERS, d.bool_)
E = "equal"


def activation(
    name: str, *arguments: Any, dtypes: Any = FLOATS, scale: float = 4, **keywords: Any
) -> list[Case]:
    """Return cases of a function of ``nn.functional`` with its arguments."""
    theirs: Callable[..., Any] = getattr(tf, name)
    return [Case((Arg(shape, S), *arguments), theirs, keywords, dtypes if shape is M else (d.float32,), scale)
            for shape in (M, (), (0,), (37,))]  # fmt: skip


def along(name: str, *arguments: Any, dtypes: Any = NUMBERS, values: str = S, **options: Any) -> list[Case]:
    """Return cases of a function along a dimension: short and long rows, dimensions counted from both ends."""
    theirs = options.pop("torch", None) or getattr(torch, name)
    shapes: list[tuple[tuple[int, ...], int]] = [(M, 1), (M, -1), ((4, 3), 0), ((5,), 0), ((2, 3, 2, 2), 1)]
    cases = [Case((Arg(shape, values), *arguments, dim), theirs, dtypes=dtypes if at == 0 else (d.float32,), **options)
             for at, (shape, dim) in enumerate(shapes)]  # fmt: skip
    long: dict[str, Any] = {**options, "scale": 16, "second": False}
    return [*cases, Case((Arg((2, 300), values), *arguments, 1), theirs, **long),
            Case((Arg((300, 3), values), *arguments, 0), theirs, **long)]  # fmt: skip


def scalars_too(
    name: str, *more: Case, values: tuple[str, str] = (S, S), dtypes: Any = NUMBERS, **options: Any
) -> list[Case]:
    return [*binary(name, dtypes, values, **options), *more]


_THREE = (Arg(M, S), Arg((3, 1), S), Arg((4,), P))
_COUNT: dict[str, Any] = {"gradient": False}

FUNCTION_CASES: dict[str, list[Case]] = {
    # arithmetic
    **{name: [*binary(name, (*NUMBERS, d.bool_) if name == "add" else NUMBERS), *with_number(name),
              Case((Arg(M, S), Arg((4,), S)), getattr(torch, name), {"alpha": 2}, (d.float32, d.int64, d.uint8), 4),
              Case((Arg(M, S), Arg((4,), S)), getattr(torch, name), {"alpha": -0.5}, scale=4)] for name in ("add", "sub")},
    "mul": [*binary("mul", (*NUMBERS, d.bool_)), *with_number("mul")],
    "div": [*binary("div", FLOATS + INTEGERS, (S, P)), *with_number("div"),
            *(Case((Arg(M, S), Arg(M, P)), torch.div, {"rounding_mode": mode}, (d.float32, d.float64)) for mode in ("trunc", "floor")),
            *(Case((Arg(M, S), 2), torch.div, {"rounding_mode": mode}, (d.float32, d.int64, d.int16, d.int8)) for mode in ("trunc", "floor"))],
    # one of the broadcast pairs meets a multiple, where no finite difference is a derivative
    **{name: [*(replace(case, gradient=False) if case.arguments[0].shape == (3, 1) else case
                for case in binary(name, (d.float32, d.float64), (S, P), scale=8)),
              Case((Arg(M, S), 3), getattr(torch, name), dtypes=(d.float32, d.int64, d.int32, d.uint8), scale=4),
              Case((Arg(M, S), -3), getattr(torch, name), dtypes=(d.float32, d.int64, d.int16, d.int8), scale=4)]
       for name in ("fmod", "remainder")},
    "floor_divide": [*binary("floor_divide", (d.float32, d.float64), (S, P), gradient=False),
                     Case((Arg(M, S), -3), torch.floor_divide, dtypes=(d.float32, d.int64, d.int16, d.int8), gradient=False)],
    "pow": [*binary("pow", FLOATS, (P, A), scale=8), Case((2.0, Arg(M, A)), lambda x, y: torch.pow(x, y), scale=4),
            *(Case((Arg(M, S), power), torch.pow, dtypes=(d.float32, d.int64, d.int16, d.int8, d.uint8), scale=4) for power in (2, 3, 5)),
            Case((Arg(M, S), 3.0), torch.pow, dtypes=(d.float32, d.int32), scale=4), Case((Arg(M, P), -0.5), torch.pow, scale=4),
            Case((Arg(M, E), index(M, 10)), torch.pow, dtypes=(d.int64,), gradient=False)],
    "square": unary("square", NUMBERS), "positive": unary("positive", NUMBERS),
    **{name: binary(name, (*NUMBERS, d.bool_)) for name in ("maximum", "minimum", "fmax", "fmin")},
    **{name: unary(name, (*FLOATS, *INTEGERS)) for name in ("neg", "abs", "sign", "sgn")},
    "signbit": unary("signbit", (*NUMBERS, d.bool_), gradient=False),
    **{name: unary(name, FLOAT_RULE, P, scale=2) for name in ("sqrt", "rsqrt", "reciprocal", "log", "log2", "log10", "log1p")},
    **{name: unary(name, FLOAT_RULE, scale=2) for name in ("deg2rad", "rad2deg")},
    **{name: unary(name, (*FLOATS, *INTEGERS)) for name in ("floor", "ceil", "trunc")},
    "frac": unary("frac", scale=4),
    "round": [*unary("round", (*FLOATS, *INTEGERS)),
              *(Case((Arg(M, S),), torch.round, {"decimals": places}, (d.float32, d.float64)) for places in (2, -1))],
    # exponential, angles, special
    **{name: unary(name, FLOAT_RULE, scale=2)
       for name in ("exp", "exp2", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh", "asinh", "erf", "erfc", "sigmoid", "sinc")},
    **{name: unary(name, FLOATS, "unit", scale=4) for name in ("asin", "acos", "atanh")},
    "acosh": unary("acosh", FLOATS, "above", scale=4),
    "logit": [*unary("logit", FLOATS, "half", scale=8), Case((Arg(M, "half"), 0.3), torch.logit, dtypes=FLOATS, scale=8)],
    **{name: binary(name, FLOATS, scale=4) for name in ("atan2", "hypot", "copysign", "logaddexp")},
    "xlogy": [*binary("xlogy", FLOATS, (S, P), scale=4), *with_number("xlogy", (d.float32,))],
    "heaviside": binary("heaviside", FLOATS, gradient=False),
    # comparison and logic
    **{name: [*binary(name, EVERY, (E, E), gradient=False), Case((Arg(M, E), 1), getattr(torch, name), dtypes=(d.float32, d.int64), gradient=False)]
       for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{f"bitwise_{name}": binary(f"bitwise_{name}", WHOLE, gradient=False)[:1] for name in ("and", "or", "xor")},
    **{f"logical_{name}": binary(f"logical_{name}", EVERY, (E, E), gradient=False) for name in ("and", "or", "xor")},
    "bitwise_not": [Case((Arg(M, E),), torch.bitwise_not, dtypes=WHOLE, gradient=False)],
    "logical_not": unary("logical_not", EVERY, E, gradient=False),
    **{f"bitwise_{side}_shift": [Case((Arg(M, S), index((4,), 9)), getattr(torch, f"bitwise_{side}_shift"), dtypes=(d.int64,), gradient=False),
                                 Case((Arg(M, S), 3), getattr(torch, f"bitwise_{side}_shift"), dtypes=INTEGERS, gradient=False)]
       for side in ("left", "right")},
    **{name: unary(name, EVERY, gradient=False) for name in ("isnan", "isinf", "isfinite", "isposinf", "isneginf")},
    "isclose": [Case((Arg(M, A), Arg((4,), A)), torch.isclose, {"atol": 0.5, "rtol": 0.1}, FLOATS + (d.int64,), gradient=False)],
    "allclose": [Case((Arg(M, A), Arg(M, A)), torch.allclose, {"atol": atol}, gradient=False) for atol in (0.1, 9.0)],
    "equal": [Case((Arg(M, A), Arg(M, A)), torch.equal, gradient=False), Case((Arg((0,)), Arg((0,))), torch.equal, gradient=False),
              Case((Arg((2,)), Arg((3,))), torch.equal, gradient=False)],
    # choices
    "where": [Case((Arg(M, "bool", d.bool_), Arg(M, S), Arg((4,), S)), torch.where, dtypes=EVERY),
              Case((Arg((3, 1), "bool", d.bool_), Arg(M, S), 2.5), torch.where, dtypes=(d.float32, d.int64)),
              Case((Arg(M, "bool", d.bool_), 1, Arg((), S)), torch.where), Case((Arg(M, "bool", d.bool_), 1, 2.5), torch.where)],
    "masked_fill": [Case((Arg(M, S), Arg((3, 1), "bool", d.bool_), 2), torch.masked_fill, dtypes=NUMBERS),
                    Case((Arg((4,), S), Arg(M, "bool", d.bool_), Arg((), S)), torch.masked_fill)],
    **{name: [Case((Arg(M, S), -1, 2), torch.clamp, dtypes=(*FLOATS, d.int64, d.int16, d.int8)), Case((Arg(M, S), -0.5), torch.clamp, dtypes=(d.float32, d.int64)),
              Case((Arg(M, S),), torch.clamp, {"max": 1.5}), Case((Arg(M, S), Arg((4,), S), Arg((3, 1), S)), torch.clamp),
              Case((Arg(M, S), Arg((4,), S)), torch.clamp), Case((Arg(M, S), None, Arg((4,), S)), torch.clamp), Case((Arg(M, S), 2, -1), torch.clamp)]
       for name in ("clamp", "clip")},
    "lerp": [Case((Arg(M, S), Arg(M, S), 0.3), torch.lerp, dtypes=FLOATS, scale=8), Case((Arg(M, S), Arg((4,), S), Arg((3, 1), S)), torch.lerp, scale=8)],
    "addcmul": [Case(_THREE, torch.addcmul, {"value": 2}, (*FLOATS, d.int64), 8), Case(_THREE, torch.addcmul, scale=8)],
    "addcdiv": [Case(_THREE, torch.addcdiv, {"value": -1.5}, FLOATS, 8)],
    "nan_to_num": [Case((Arg(M, S),), torch.nan_to_num, dtypes=NUMBERS), Case((Arg(M, S), 1.0, 2.0, 3.0), torch.nan_to_num)],
    # activations
    "relu": unary("relu", FLOATS + INTEGERS), "silu": unary("silu", scale=4), "selu": activation("selu"), "mish": activation("mish"),
    "gelu": [*activation("gelu", scale=16), *activation("gelu", scale=16, approximate="tanh")],
    "elu": [*activation("elu"), *activation("elu", 0.7)], "celu": [*activation("celu"), *activation("celu", 1.7, dtypes=FLOATS[:3])],
    "leaky_relu": [*activation("leaky_relu"), *activation("leaky_relu", 0.3)],
    "hardtanh": [*activation("hardtanh"), *activation("hardtanh", -0.3, 1.7)], "relu6": activation("relu6"),
    **{name: activation(name) for name in ("hardswish", "softsign", "tanhshrink", "logsigmoid")},
    "hardsigmoid": activation("hardsigmoid", dtypes=FLOATS[:3]),  # PyTorch rounds its sixth to float32

    "softplus": [*activation("softplus"), *activation("softplus", 2.0, 1.0)], "threshold": activation("threshold", 0.4, -2.0),
    "hardshrink": [*activation("hardshrink"), *activation("hardshrink", 1.5)], "softshrink": [*activation("softshrink"), *activation("softshrink", 1.5)],
    "glu": [Case((Arg((2, 4, 3), S), 1), tf.glu, dtypes=FLOATS, scale=4), Case((Arg((6,), S),), tf.glu, scale=4)],
    "prelu": [Case((Arg(M, S), Arg((3,), P)), tf.prelu, dtypes=FLOATS), Case((Arg((5,), S), Arg((1,), P)), tf.prelu)],
    # reductions
    "prod": [Case((Arg((), P),), torch.prod), Case((Arg((), P), 0), torch.prod), Case((Arg(M, P),), torch.prod, dtypes=(*FLOATS, d.int64, d.uint8), scale=8), Case((Arg(M, P), 1), torch.prod, dtypes=EVERY, scale=8),
             Case((Arg(M, E), -1, True), torch.prod, scale=8), Case((Arg(()),), torch.prod), Case((Arg((0, 3)), 0), torch.prod),
             Case((Arg((2, 5), E), 1), torch.prod, scale=8)],
    **{name: [Case((Arg(M, S), 1), getattr(torch, name), dtypes=FLOATS, scale=8), Case((Arg(M, S),), getattr(torch, name), scale=8),
              Case((Arg(M, S), (0, 2)), getattr(torch, name), {"keepdim": True, "correction": 0}, scale=8),
              Case((Arg(M, S), 1, False), getattr(torch, name), scale=8), Case((Arg((4, 300), S), 1), getattr(torch, name), scale=16, second=False)]
       for name in ("var", "std", "var_mean", "std_mean")},
    "logsumexp": [Case((Arg(M, S), 1), torch.logsumexp, dtypes=FLOATS, scale=8), Case((Arg(M, S), (0, 2), True), torch.logsumexp, scale=8),
                  Case((Arg((), S), 0), torch.logsumexp), Case((Arg((3, 200), S), 1), torch.logsumexp, scale=8, second=False),
                  Case((Arg((0, 3)), 0), torch.logsumexp)],
    "count_nonzero": [Case((Arg(M, E),), torch.count_nonzero, dtypes=EVERY, gradient=False), Case((Arg(M, E), (0, 2)), torch.count_nonzero, gradient=False)],
    "nansum": [Case((Arg(M, S), 1), torch.nansum, dtypes=(*FLOATS, d.int64), scale=4), Case((Arg(M, S),), torch.nansum, scale=4)],
    "nanmean": [Case((Arg(M, S), 1), torch.nanmean, dtypes=FLOATS, scale=4), Case((Arg(M, S), (0, 2), True), torch.nanmean, scale=4)],
    "norm": [Case((Arg(M, S),), torch.norm, dtypes=FLOATS, scale=8), Case((Arg((3, 4), S), "nuc"), torch.norm, scale=16), Case((Arg(M, S), "nuc", (0, 2), True), torch.norm, scale=16),
             *(Case((Arg(M, S), p, 1), torch.norm, scale=8) for p in (1, 2, 3, 0.5, math.inf, -math.inf, "fro")),
             Case((Arg(M, E), 0, 1), torch.norm, torch_gradient=False),
             Case((Arg(M, S), 2, (0, 2), True), torch.norm, scale=8)],
    "vector_norm": [Case((Arg(M, S), p, 1), torch.linalg.vector_norm, scale=8) for p in (1, 2, 3, -1.5, math.inf, -math.inf)] + [Case((Arg(M, E), 0, 1), torch.linalg.vector_norm, torch_gradient=False)],
    **{name: [Case((Arg(M, S),), getattr(torch, name), dtypes=NUMBERS), Case((Arg(M, S), 1), getattr(torch, name), dtypes=NUMBERS),
              Case((Arg(M, S), -1, True), getattr(torch, name)), Case((Arg(M, S), Arg((4,), S)), getattr(torch, name)),
              Case((Arg((), S), 0), getattr(torch, name)), Case((Arg((3, 300), S), 1), getattr(torch, name)), Case((Arg((70, 5), S), 0), getattr(torch, name))]
       for name in ("max", "min")},
    "aminmax": [Case((Arg(M, S),), torch.aminmax, dtypes=NUMBERS, torch_gradient=not OLDER_TORCH), Case((Arg(M, S),), torch.aminmax, {"dim": 1, "keepdim": True}, torch_gradient=not OLDER_TORCH)],
    # cumulative
    "cumsum": along("cumsum", scale=8), "cumprod": along("cumprod", dtypes=(*FLOATS, d.int64), values=A, scale=16),
    "logcumsumexp": along("logcumsumexp", dtypes=(d.float32, d.float64), scale=8),
    **{name: [*along(name), *along(name, values=E, gradient=False)] for name in ("cummax", "cummin")},
    # sorting
    "sort": [*along("sort", dtypes=EVERY, torch=lambda x, dim: torch.sort(x, dim=dim, stable=True)),
             *(Case((Arg((4, 50), E), dim, True), lambda x, dim, down: torch.sort(x, dim=dim, descending=down, stable=True), dtypes=NUMBERS, second=False)
               for dim in (0, 1)), Case((Arg((), S),), torch.sort), Case((Arg((0, 3), S), 0), torch.sort)],
    "argsort": along("argsort", dtypes=NUMBERS, torch=lambda x, dim: torch.argsort(x, dim=dim, stable=True), gradient=False),
    "topk": [Case((Arg((), S), 1), torch.topk), Case((Arg(M, S), 2), torch.topk, dtypes=FLOATS), Case((Arg(M, S), 2, 0, False), torch.topk), Case((Arg((2, 90), S), 7, -1), torch.topk, second=False)],
    "kthvalue": [Case((Arg((), S), 1), torch.kthvalue), Case((Arg(M, S), 2), torch.kthvalue, dtypes=FLOATS), Case((Arg(M, S), 3, 1, True), torch.kthvalue)],
    **{name: [Case((Arg(M, S),), getattr(torch, name), dtypes=NUMBERS), Case((Arg(M, S), 1), getattr(torch, name), dtypes=FLOATS),
              Case((Arg((5, 3), S), 0, True), getattr(torch, name)), Case((Arg((), S),), getattr(torch, name))]
       for name in ("median", "nanmedian")},
    "searchsorted": [Case((Arg((7,), "grid"), Arg(M, A)), torch.searchsorted, dtypes=NUMBERS, gradient=False),
                     Case((Arg((2, 7), "grid"), Arg((2, 3), A)), torch.searchsorted, {"right": True}, gradient=False),
                     Case((Arg((0,)), Arg((3,))), torch.searchsorted, {"out_int32": True}, gradient=False)],
    "bucketize": [Case((Arg(M, E), Arg((5,), "grid")), torch.bucketize, {"right": right}, NUMBERS, gradient=False) for right in (False, True)],
}  # fmt: skip

_ROW = {"dim": 1}
OP_CASES: dict[str, list[OpCase]] = {
    "pow": [OpCase((Arg(M, P), Arg(M, P)), dtypes=FLOATS, scale=8), OpCase((Arg(M, E), Arg(M, P)), dtypes=(d.int64, d.int16, d.int8, d.uint8, d.uint32))],
    "round_scaled": [OpCase((Arg(M, S), 10.0), dtypes=(d.float32, d.float64))],
    "round_divided": [OpCase((Arg(M, S), 10.0), dtypes=(d.float32, d.float64))],
    **{f"bitwise_{side}_shift": [OpCase((Arg(M, P), Arg(M, P)), dtypes=(*INTEGERS, d.uint32))] for side in ("left", "right")},
    "prod": [OpCase((Arg(M, P),), {"dims": dims, "keepdim": False}, (*FLOATS, d.int64), 8) for dims in ((1,), (0, 2))],
    "var_mean": [OpCase((Arg(M, S),), {"dims": dims, "keepdim": keep, "correction": 1.0}, FLOATS, 8) for dims, keep in (((1,), False), ((0, 2), True))],
    "logsumexp": [OpCase((Arg(M, S),), {"dims": dims, "keepdim": keep}, FLOATS, 8) for dims, keep in (((1,), False), ((0, 2), True))],
    **{name: [OpCase((Arg(M, S),), {"dim": 1, "keepdim": keep}, (*NUMBERS, d.uint32)) for keep in (False, True)] for name in ("max", "min")},
    **{name: [OpCase((Arg(shape, values),), {"dim": 1, "reverse": reverse}, kinds, 16) for reverse in (False, True) for shape in (M, long)]
       for name, values, kinds, long in (("cumsum", S, (*FLOATS, d.int64), (2, 300)), ("cumprod", "above", (d.float32,), (2, 40)),
                                         ("logcumsumexp", S, FLOATS, (2, 300)))},
    "recurrence": [OpCase((Arg(shape, "unit"), Arg(shape, S)), {"dim": dim, "reverse": reverse}, FLOATS, 16)
                   for reverse in (False, True) for shape, dim in ((M, 1), ((2, 300), 1), ((300, 3), 0))],
    **{name: [OpCase((Arg(M, E),), _ROW, (*NUMBERS, d.uint32)), OpCase((Arg((2, 300), E),), _ROW)] for name in ("cummax", "cummin")},
    "sort": [OpCase((Arg(M, E),), {"dim": 1, "descending": down}, (*EVERY, d.uint32)) for down in (False, True)],
    "topk": [OpCase((Arg((4, 40), E),), {"dim": dim, "descending": down, "count": count}, (*EVERY, d.uint32))
             for down in (False, True) for dim, count in ((1, 7), (1, 30), (0, 1))],
    "unsort": [OpCase((Arg((2, 3), S), Arg((2, 3), "orders", d.int64)), _ROW, EVERY)],
    "place": [OpCase((Arg((2, 4), S), index((2, 4), 3)), {"dim": 1, "size": 3}, EVERY)],
    "searchsorted": [OpCase((Arg((9,), "grid"), Arg(M, A)), {"right": right, "out_int32": False}, NUMBERS) for right in (False, True)],
}  # fmt: skip

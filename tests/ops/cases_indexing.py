"""Cases of views, of rearrangements, and of the functions and ops that take index tensors."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as tf

from tests.ops.arrays import Arg
from tests.ops.cases import EVERY, FLOATS, INTEGERS, Case, M, OpCase, index, movement
from weft import dtypes as d

S = "apart"
PACKED = (d.float32, d.float16, d.bfloat16, d.float64, d.int64, d.int32, d.int16, d.int8, d.uint8, d.bool_)
FOLDED = FLOATS + INTEGERS


def mask(shape: tuple[int, ...]) -> Arg:
    """Return an argument of a mask."""
    return Arg(shape, "bool", d.bool_)


def own(name: str) -> Any:
    """Return PyTorch's method of a name."""
    return getattr(torch.Tensor, name)


def rows(name: str, extra: tuple[Any, ...] = (), dtypes: Any = FOLDED, **keywords: Any) -> list[Case]:
    """Return cases of ``index_add`` and the like: equal indices, no indices, each dimension, 0-d; in place too."""
    theirs = getattr(torch, name)
    return [
        Case(
            (Arg(M, S), 1, index((5,), 3), Arg((2, 5, 4), S), *extra),
            theirs,
            keywords,
            dtypes=dtypes,
            scale=4,
        ),
        Case((Arg(M, S), 0, index((3,), 2), Arg((3, 3, 4), S), *extra), theirs, keywords, scale=4),
        Case((Arg(M, S), -1, index((0,), 4), Arg((2, 3, 0), S), *extra), theirs, keywords),
        Case(
            (Arg((3,), S), 0, index((70,), 3), Arg((70,), S), *extra),
            theirs,
            keywords,
            scale=16,
            second=False,
        ),
    ]


UNIQUE = Arg((3,), "permutation", d.int64)


def written(name: str) -> list[Case]:
    """Return the cases of a function's in-place form: without gradients, as leaves cannot be written."""
    base = FUNCTIONS[name]
    return [
        Case(case.arguments, own(f"{name}_"), case.keywords, case.dtypes, case.scale, gradient=False)
        for case in base
    ]


def scattered(reduce: str, include_self: bool, dtypes: Any = (d.float32,)) -> list[Case]:
    """Return cases of ``scatter_reduce`` with equal indices and with fewer indices than values."""
    keywords = {"include_self": include_self}
    values = "positive" if reduce == "prod" else S
    return [
        Case((Arg(M, values), 1, index((2, 5, 4), 3), Arg((2, 5, 4), values), reduce), torch.scatter_reduce, keywords,
             dtypes=dtypes, scale=8),
        Case((Arg((2, 3), values), 0, index((4, 2), 2), Arg((4, 2), values), reduce), torch.scatter_reduce, keywords, scale=8),
    ]  # fmt: skip


FUNCTIONS: dict[str, list[Case]] = {
    # views
    "movedim": movement((M, 0, 2), (M, (0, 1), (-1, 0)), ((), (), ()), torch=torch.movedim),
    "moveaxis": movement((M, 2, 0), torch=torch.moveaxis),
    "swapaxes": movement((M, 0, -1), torch=torch.swapaxes),
    "swapdims": movement((M, 0, -1), torch=torch.swapdims),
    "unflatten": movement(((2, 6), 1, (2, -1)), ((4,), -1, (2, 2, 1)), torch=torch.unflatten),
    "unfold": movement(((2, 7), 1, 3, 2), ((2, 7), 0, 1, 1), ((5,), 0, 5, 3), ((), 0, 1, 1), torch=own("unfold")),
    "diagonal": movement((M, 1, 0, 2), ((3, 4),), ((3, 4), -2), ((3, 4), 4), ((2, 0), 0), torch=torch.diagonal),
    "diag_embed": movement((M,), ((3,), 1), ((2, 3), -1, 0, 1), torch=torch.diag_embed),
    "diag": movement(((3, 4),), ((3,), -1), ((3, 4), 2), torch=torch.diag),
    "as_strided": [
        Case((Arg((24,), S), (3, 2), (4, 1), 5), torch.as_strided, dtypes=(d.float64, d.uint8)),
        Case((Arg((24,), S), (3, 2), (4, 1), 5), torch.as_strided), Case((Arg((4, 6), S), (4, 3), (2, 2)), torch.as_strided),
    ],
    "split": movement(((5, 3), 2), ((5, 3), (1, 0, 4)), ((3, 5), 5, 1), ((0, 2), 3), torch=torch.split),
    "chunk": movement(((5, 3), 2), ((3, 7), 4, -1), ((0, 2), 3), torch=torch.chunk),
    "tensor_split": movement(((5, 3), 3), ((3, 7), (2, -2), 1), ((3, 7), (5, 2, 9), 1), torch=torch.tensor_split),
    "unbind": movement(((3, 2),), (M, -1), torch=torch.unbind),
    "broadcast_tensors": [Case((Arg((3, 1), S), Arg((4,), S)), torch.broadcast_tensors)],
    "meshgrid": [
        Case((Arg((3,), S), Arg((2,), S)), torch.meshgrid, {"indexing": way}) for way in ("ij", "xy")
    ] + [Case((Arg((3,), S), Arg((), S), Arg((2,), S)), torch.meshgrid, {"indexing": "xy"})],
    # other places
    "flip": movement((M, 0, 2), (M, (1,)), (M, -1), ((0, 3), 1), ((37,), 0), torch=lambda x, *n: torch.flip(x, *n) if isinstance(n[0], tuple) else torch.flip(x, n)),
    "fliplr": movement((M,), torch=torch.fliplr), "flipud": movement((M,), torch=torch.flipud),
    "roll": movement((M, (1, -5), (0, 2)), (M, 5), ((3,), 2, 0), ((), 1), ((0, 2), 1, 0), torch=torch.roll),
    "rot90": [Case((Arg((2, 3), S), k), torch.rot90) for k in (-1, 0, 1, 2, 3)] + movement((M, 1, (2, 0)), torch=torch.rot90),
    "tril": movement((M,), (M, 1), ((3, 3), -1), ((0, 2),), torch=torch.tril),
    "triu": movement((M,), (M, -1), ((3, 5), 2), torch=torch.triu),
    "pad": [
        *movement(((2, 3), (1, 2)), ((2, 3), (1, 0, -1, 2)), ((2, 3), (0, 0, 1, 1), "constant", 2.5), ((), ()), ((0, 2), (0, 1, 2, 1)), torch=tf.pad),
        Case((Arg((2, 3)), (1, 1), "constant", 7), tf.pad, dtypes=EVERY, gradient=False),
        Case((Arg((2, 5), S), (2, 3), "reflect"), tf.pad), Case((Arg((1, 3, 4), S), (3, 1, 0, 2), "reflect"), tf.pad),
        Case((Arg((2, 5), S), (5, 7), "replicate"), tf.pad), Case((Arg((1, 2, 2, 3), S), (1, 0, 2, 1), "replicate"), tf.pad),
        Case((Arg((2, 5), S), (5, 2), "circular"), tf.pad), Case((Arg((1, 1, 2, 2, 2), S), (1, 2, 0, 1, 1, 0), "circular"), tf.pad),
    ],
    "repeat": movement((M, 2, 1, 3), ((3,), 2, 2), ((), 3), ((2,), 0), ((1, 3), 2, 1), ((1, 3), 1, 1), torch=own("repeat")),
    "tile": movement((M, (2,)), ((3,), (2, 2)), ((2, 3), (1, 3)), ((1, 3), (2, 1)), ((3,), (1,)), torch=torch.tile),
    "repeat_interleave": [
        *movement((M, 2, 1), (M, 3), ((), 2), ((3,), 0, 0), torch=torch.repeat_interleave),
        Case((Arg((2, 3), S), Arg((3,), "index", d.int64, 4), 1), torch.repeat_interleave),
        Case((Arg((2,), S), 1), torch.repeat_interleave), Case((Arg((1, 3), S), 1, 0), torch.repeat_interleave),
    ],
    "hstack": [Case(([Arg((2, 3), S), Arg((2, 1), S)],), torch.hstack), Case(([Arg((2,), S), Arg((), S)],), torch.hstack)],
    "vstack": [Case(([Arg((3,), S), Arg((2, 3), S)],), torch.vstack), Case(([Arg((), S), Arg((), S)],), torch.vstack)],
    # index tensors
    "index_select": [
        Case((Arg(M, S), 1, index((5,), 3)), torch.index_select, dtypes=EVERY), Case((Arg(M, S), -1, index((0,), 4)), torch.index_select),
        Case((Arg(M, S), 0, index((), 2)), torch.index_select), Case((Arg((3, 2), S), 0, index((4,), 3, d.int32)), torch.index_select),
    ],
    "index_add": [*rows("index_add"), *rows("index_add", alpha=2, dtypes=(d.float32,))],
    "index_copy": [
        Case((Arg(M, S), 1, UNIQUE, Arg(M, S)), torch.index_copy, dtypes=EVERY),
        Case((Arg((), S), 0, index((1,), 1), Arg((1,), S)), torch.index_copy),
    ],
    "index_fill": [
        Case((Arg(M, S), 1, index((2,), 3), 2), torch.index_fill, dtypes=EVERY), Case((Arg((), S), 0, index((1,), 1), 2), torch.index_fill),
        Case((Arg(M, S), 2, index((2,), 4), Arg((), S, differentiable=False)), torch.index_fill),
    ],
    "index_reduce": [
        Case((Arg(M, "positive"), 1, index((4,), 3), Arg((2, 4, 4), "positive"), way), torch.index_reduce, {"include_self": both}, scale=8, second=False)
        for way in ("prod", "mean", "amax", "amin") for both in (True, False)
    ],
    "index_put": [
        Case((Arg(M, S), [index((2, 1), 2), index((3,), 3)], Arg((2, 3, 4), S), True), torch.index_put, dtypes=FOLDED, scale=4),
        Case((Arg(M, S), [index((70,), 2)], Arg((), S), True), torch.index_put, scale=64, second=False),
        Case((Arg((5, 2), S), [Arg((3,), "permutation", d.int64)], Arg((2,), S)), torch.index_put, dtypes=EVERY),
        Case((Arg((2, 3), S), [mask((2, 3))], Arg((), S)), torch.index_put),
        Case((Arg((2, 2, 2, 2), S), [index((5,), 2) for _ in range(4)], Arg((5,), S), True), torch.index_put, scale=8),
        Case((Arg((2, 2, 3), S), [index((5,), 2) for _ in range(3)], Arg((5,), S), True), torch.index_put, scale=8),
    ],
    "scatter": [
        Case((Arg((3, 4), S), 1, Arg((3, 4), "permutations", d.int64), Arg((3, 4), S)), torch.scatter, dtypes=EVERY),
        Case((Arg(M, S), 1, index((2, 2, 3), 3), 2), torch.scatter), Case((Arg((), S), 0, index((), 1), Arg((), S)), torch.scatter),
        Case((Arg(M, S), 1, index((2, 5, 4), 3), Arg((2, 5, 4), S)), torch.scatter, {"reduce": "add"}, gradient=False, scale=4),
        Case((Arg(M, S), 1, index((2, 5, 4), 3), Arg((2, 5, 4), S)), torch.scatter, {"reduce": "multiply"}, gradient=False, scale=4),
    ],
    "scatter_reduce": [
        case for way, kinds in (("sum", FOLDED), ("prod", FLOATS + (d.int64,)), ("mean", FLOATS), ("amax", FOLDED), ("amin", FOLDED))
        for both in (True, False) for case in scattered(way, both, kinds)
    ],
    "take": [Case((Arg(M, S), index((2, 5), 24)), torch.take, dtypes=EVERY), Case((Arg((), S), index((), 1)), torch.take)],
    "take_along_dim": [
        Case((Arg(M, S), index((2, 5, 1), 3), 1), torch.take_along_dim), Case((Arg(M, S), index((3,), 24)), torch.take_along_dim),
    ],
    # masks and counts
    "nonzero": [Case((Arg(shape, "bool"),), torch.nonzero, gradient=False, dtypes=EVERY if shape == M else (d.float32,))
                for shape in (M, (), (0, 2), (300,), (1, 5))]
    + [Case((Arg(M, "bool"),), torch.nonzero, {"as_tuple": True}, gradient=False)],
    "argwhere": [Case((Arg(M, "bool"),), torch.argwhere, gradient=False)],
    "masked_select": [Case((Arg(M, S), mask(M)), torch.masked_select, dtypes=EVERY), Case((Arg((3,), S), mask((2, 1))), torch.masked_select),
                      Case((Arg(()), mask(())), torch.masked_select)],
    "masked_scatter": [Case((Arg(M, S), mask(M), Arg((5, 6), S)), torch.masked_scatter, dtypes=EVERY),
                       Case((Arg((2, 3), S), mask((3,)), Arg((6,), S)), torch.masked_scatter)],
    "one_hot": [Case((index((2, 3), 5),), tf.one_hot), Case((index((4,), 5), 7), tf.one_hot), Case((index((), 3), 3), tf.one_hot)],
    "bincount": [Case((index((200,), 7),), torch.bincount), Case((index((9,), 7), None, 10), torch.bincount), Case((index((0,), 1), None, 3), torch.bincount),
                 Case((index((50,), 7), Arg((50,), "positive")), torch.bincount, torch_gradient=False, gradient=False, scale=16)],
}  # fmt: skip
for _name in (
    "index_add",
    "index_copy",
    "index_fill",
    "index_reduce",
    "index_put",
    "scatter",
    "scatter_reduce",
    "masked_scatter",
):
    FUNCTIONS[f"{_name}_"] = written(_name)
FUNCTIONS["masked_fill_"] = [
    Case((Arg(M, S), mask((3, 1)), 2), own("masked_fill_"), dtypes=EVERY, gradient=False),
    Case((Arg(M, S), mask(M), Arg((), S)), own("masked_fill_"), gradient=False),
]
FUNCTIONS["scatter_add_"] = [
    Case(
        (Arg(M, S), 1, index((2, 5, 4), 3), Arg((2, 6, 4), S)),
        own("scatter_add_"),
        dtypes=FOLDED,
        scale=4,
        gradient=False,
    )
]

OPS: dict[str, list[OpCase]] = {
    "diagonal": [OpCase((Arg(M),), {"offset": 1, "dim1": 0, "dim2": 2})],
    "unfold": [OpCase((Arg((2, 7)),), {"dim": 1, "size": 3, "step": 2})],
    "flip": [OpCase((Arg(M),), {"dims": (0, 2)}, (*EVERY, d.uint32))],
    "roll": [OpCase((Arg(M),), {"shifts": ((0, 1), (2, 3))}, (*EVERY, d.uint32))],
    "triangle": [OpCase((Arg(M),), {"upper": upper, "diagonal": k}, (*EVERY, d.uint32)) for upper, k in ((True, 1), (False, -1))],
    "pad": [OpCase((Arg((2, 5)),), {"padding": ((0, 0), (2, 3)), "mode": mode, "value": 3.0 if mode == "constant" else 0}, (*EVERY, d.uint32))
            for mode in ("constant", "reflect", "replicate", "circular")],
    "index": [OpCase((Arg(M), index((2, 1), 2, kind), index((3,), 3)), {"wrap": True}, (*EVERY, d.uint32)) for kind in (d.int64, d.int32)],
    "index_put": [OpCase((Arg(M), Arg((2, 3, 4)), index((2, 1), 2), index((3,), 3)), {"mode": mode, "wrap": False},
                         (*EVERY, d.uint32) if mode == "replace" else FOLDED, 8) for mode in ("replace", "sum", "prod", "amax", "amin")],
    "write_rows": [OpCase((Arg((2, 3, 4)), Arg((5, 4)), Arg((5,), "permutation", d.int64)), {}, (*EVERY, d.uint32)), OpCase((Arg((5, 2, 3)), Arg((2, 2, 3)), Arg((2,), "permutation", d.int32)), {}, (d.float32, d.float16))],
    "scatter": [OpCase((Arg(M), Arg((2, 5, 4)), index((2, 5, 4), 3)), {"dim": 1, "mode": mode},
                       (*EVERY, d.uint32) if mode == "replace" else FOLDED, 8) for mode in ("replace", "sum")],
    "scatter_fold": [OpCase((Arg(M), Arg((2, 5, 4)), index((2, 5, 4), 3)), {"dim": 1, "mode": mode}, FOLDED, 8) for mode in ("prod", "amax", "amin")],
    "nonzero": [OpCase((Arg((2, 3), "one", d.bool_), Arg((6,), "count", d.int64)), {"count": 6}, (d.bool_,))],
    "linspace": [OpCase((-1.5, 4), {"count": n, "dtype": kind, "device": "{device}"}, scale=4) for n, kind in ((7, d.float32), (1, d.float16), (50, d.int64))],
}  # fmt: skip

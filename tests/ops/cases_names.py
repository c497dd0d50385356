"""Cases of aliases, and of functions that are composed of simpler functions."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as tf

from tests.ops.arrays import Arg
from tests.ops.cases import EVERY, FLOATS, INTEGERS, NUMBERS, A, Case, M, P, S, binary, index, movement, unary
from weft import dtypes as d
from weft.ops.aliases import ALIASES

E = "equal"
VECTOR, OTHER = Arg((3,), S), Arg((4,), S)
_ONE = "use_mm_for_euclid_dist"
_NEVER = "donot_use_mm_for_euclid_dist"


def aliases(known: dict[str, list[Case]]) -> dict[str, list[Case]]:
    """Return, for each alias, the first case of its function, in a single type, without second gradients."""
    found = {}
    for name, target in ALIASES.items():
        first = known[target][0]
        found[name] = [replace(first, torch=getattr(torch, name), dtypes=first.dtypes[:1], second=False)]
    return found


FUNCTION_CASES: dict[str, list[Case]] = {
    "clamp_min": [Case((Arg(M, S), -1), torch.clamp_min, dtypes=(*FLOATS, d.int64)), Case((Arg(M, S), Arg((4,), S)), torch.clamp_min)],
    "clamp_max": [Case((Arg(M, S), 1), torch.clamp_max, dtypes=(*FLOATS, d.int64)), Case((Arg(M, S), Arg((4,), S)), torch.clamp_max)],
    "logaddexp2": binary("logaddexp2", FLOATS, scale=4),
    # more dimensions, and tensors put together
    "ravel": movement((M,), ((),), ((0, 2),), torch=torch.ravel),
    **{f"atleast_{rank}d": [*movement(((),), ((3,),), ((2, 3),), (M,), ((2, 1, 2, 2),), torch=getattr(torch, f"atleast_{rank}d")),
                            Case((Arg(()), Arg((2,))), getattr(torch, f"atleast_{rank}d")),
                            Case(([Arg((2,))],), getattr(torch, f"atleast_{rank}d"))] for rank in (1, 2, 3)},
    "column_stack": [Case(([Arg((3,)), Arg((3, 2)), Arg((3,))],), torch.column_stack, dtypes=EVERY), Case(([Arg(()), Arg((1, 2))],), torch.column_stack)],
    "dstack": [Case(([Arg((2, 3)), Arg((2, 3), S)],), torch.dstack, dtypes=EVERY), Case(([Arg((3,)), Arg((1, 3, 2))],), torch.dstack)],
    "block_diag": [Case((Arg((2, 3)), Arg(()), Arg((3,)), Arg((2, 1))), torch.block_diag, dtypes=EVERY),
                   Case((Arg((2,), dtype=d.int32), Arg((0, 2)), Arg((2, 2))), torch.block_diag), Case((Arg((2, 2)),), torch.block_diag)],
    "cartesian_prod": [Case((Arg((2,)), Arg((3,)), Arg((1,))), torch.cartesian_prod, dtypes=EVERY), Case((Arg((2,)),), torch.cartesian_prod)],
    "diagflat": movement(((2, 2),), ((3,), -1), ((), 1), torch=torch.diagflat),
    # PyTorch writes the powers into a tensor in place, and cannot go back through that
    "vander": [Case((VECTOR,), torch.vander, dtypes=NUMBERS, scale=8, torch_gradient=False), Case((VECTOR, 5, True), torch.vander, scale=8, torch_gradient=False),
               Case((VECTOR, 1), torch.vander, gradient=False), Case((VECTOR, 0), torch.vander, gradient=False)],
    # products and distances
    "trace": [Case((Arg((3, 4), S),), torch.trace, dtypes=NUMBERS, scale=4), Case((Arg((3, 2), S),), torch.trace), Case((Arg((0, 2)),), torch.trace)],
    "cross": [Case((Arg((2, 3), S), Arg((2, 3))), torch.cross, dtypes=(*FLOATS, d.int64), scale=8), Case((Arg((3, 2, 3), S), Arg((3, 2, 3))), torch.cross, {"dim": 0}, scale=8),
              Case((Arg((3, 2, 3), S), Arg((3, 2, 3))), torch.cross, scale=8), Case((Arg((3,), S), Arg((3,))), torch.cross, scale=8)],
    "linalg_cross": [Case((Arg((2, 3), S), Arg((1, 3))), torch.linalg.cross, dtypes=(*FLOATS, d.int64), scale=8),
                     Case((Arg((2, 3, 2), S), Arg((1, 3, 2))), torch.linalg.cross, {"dim": 1}, scale=8)],
    "kron": [Case((Arg((2, 3), S), Arg((3, 2))), torch.kron, dtypes=NUMBERS), Case((VECTOR, OTHER), torch.kron), Case((Arg((), S), Arg((2,))), torch.kron)],
    "inner": [Case((Arg((2, 4), S), Arg((3, 4))), torch.inner, dtypes=(*FLOATS, d.int64), scale=8), Case((OTHER, OTHER), torch.inner, scale=8),
              Case((Arg((), S), Arg((2, 3))), torch.inner), Case((Arg((2, 2, 4), S), OTHER), torch.inner, scale=8)],
    "addr": [Case((Arg((3, 4), S), VECTOR, OTHER), torch.addr, {"beta": 2, "alpha": 3}, (*FLOATS, d.int64), scale=8),
             Case((OTHER, VECTOR, OTHER), torch.addr, scale=8), Case((Arg((4,), S, differentiable=False), VECTOR, OTHER), torch.addr, {"beta": 0}, scale=8)],
    "dist": [Case((Arg((3, 4), S), Arg((4,))), torch.dist, dtypes=(d.float32, d.float64), scale=8),
             *(Case((Arg((3, 4), S), Arg((3, 4))), lambda x, y, p: torch.dist(x, y, p), {"p": p}, scale=8) for p in (1, 3, math.inf)),
             Case((Arg((3, 4), E), Arg((3, 4), E)), torch.dist, {"p": 0}, torch_gradient=False)],
    "cdist": [Case((Arg((4, 3), S), Arg((5, 3))), torch.cdist, dtypes=(d.float32, d.float64), scale=8),
              *(Case((Arg((2, 4, 3), S), Arg((5, 3))), torch.cdist, {"p": p}, scale=8, second=False) for p in (1.0, 3.0, math.inf)),
              Case((Arg((4, 3), S), Arg((2, 2, 3))), torch.cdist, {"compute_mode": _ONE}, scale=64, second=False),
              Case((Arg((30, 3), S), Arg((2, 3))), torch.cdist, {"compute_mode": _NEVER}, scale=8, second=False),
              Case((Arg((30, 3), S), Arg((2, 3))), torch.cdist, scale=64, second=False), Case((Arg((2, 0), S), Arg((3, 0))), torch.cdist, gradient=False)],
    "renorm": [Case((Arg((3, 4), S), 2.0, 0, 3.0), torch.renorm, dtypes=FLOATS, scale=16), Case((Arg((3, 4), S), 1.0, 1, 4.0), torch.renorm, scale=16),
               Case((Arg(M, S), math.inf, 1, 2.0), torch.renorm, scale=16, second=False)],
    "matrix_norm": [Case((Arg((3, 4), S),), torch.linalg.matrix_norm, dtypes=(d.float32, d.float64), scale=8),
                    *(Case((Arg(M, S), order, dim, keep), torch.linalg.matrix_norm, scale=8)
                      for order, dim, keep in ((1, (-2, -1), False), (math.inf, (0, 2), True), (-1, (2, 0), False), (-math.inf, (1, 2), False),
                                               ("nuc", (0, 2), True), (2, (-2, -1), False), (-2, (2, 0), True)))],
    "linalg_norm": [Case((Arg((3, 4), S),), torch.linalg.norm, dtypes=(d.float32, d.float64), scale=8), Case((Arg((3, 4), S), "fro"), torch.linalg.norm, scale=8),
                    Case((Arg((3, 4), S), 1), torch.linalg.norm, scale=8), Case((OTHER, 3), torch.linalg.norm, scale=8), Case((Arg(M, S), None, 1, True), torch.linalg.norm, scale=8),
                    *(Case((Arg((3, 4), S), order), torch.linalg.norm, scale=16) for order in ("nuc", 2, -2)), Case((Arg(M, S), 2.0, (2, 0), True), torch.linalg.norm, scale=16),
                    Case((Arg(M, S), math.inf, (1, 2)), torch.linalg.norm, scale=8), Case((Arg(M, S), 1, 2), torch.linalg.norm, scale=8)],
    # differences
    "diff": [Case((Arg((3, 4), S),), torch.diff, dtypes=EVERY), Case((Arg(M, S), 2, 1), torch.diff), Case((Arg(M, S), 0), torch.diff), Case((Arg(M, S), 9), torch.diff),
             Case((Arg((2, 3), S), 1, -1, Arg((2, 1)), Arg((2, 2))), torch.diff)],
    **{name: [Case((Arg((3, 4), S),), getattr(torch, name), dtypes=(*FLOATS, d.int64), scale=8), Case((Arg((3, 4), S), OTHER), getattr(torch, name), scale=8),
              Case((Arg((3, 4), S), Arg((3, 4))), getattr(torch, name), {"dim": 0}, scale=8), Case((Arg((3, 4), S),), getattr(torch, name), {"dx": 0.5}, scale=8),
              Case((Arg((3, 4), S), VECTOR), getattr(torch, name), {"dim": 0}, scale=8)]
       for name in ("trapezoid", "cumulative_trapezoid")},
    "trapz": [Case((Arg((3, 4), S), OTHER), torch.trapz, scale=8), Case((Arg((3, 4), S),), torch.trapz, {"dx": 0.5}, scale=8)],
    "gradient": [Case((Arg((3, 4), S),), torch.gradient, dtypes=(d.float32, d.float64, d.int64, d.float16), scale=8), Case((Arg((3, 4), S),), torch.gradient, {"spacing": 0.5, "edge_order": 2}, scale=16),
                 Case((Arg((3, 4), S),), torch.gradient, {"spacing": [2.0, 0.25], "dim": (1, 0)}, scale=8), Case((Arg((2, 3), S),), torch.gradient, {"dim": 0}, scale=8)],
    "float_power": [Case((Arg((3, 4), P), Arg((4,))), torch.float_power, dtypes=(d.float64,), scale=8), Case((Arg((3, 4), S), 2), torch.float_power, dtypes=(d.float64,), scale=8),
                    Case((2, Arg((3, 4))), torch.float_power, dtypes=(d.float64,), scale=8)],
    # distinct elements and membership
    "unique": [Case((Arg(M, E),), torch.unique, {"return_inverse": True, "return_counts": True}, EVERY, gradient=False), Case((Arg((9,), E),), torch.unique, gradient=False),
               Case((Arg((0,)),), torch.unique, {"return_inverse": True, "return_counts": True}, gradient=False), Case((Arg(()),), torch.unique, gradient=False),
               *(Case((Arg((6, 2, 1), E),), torch.unique, {"dim": dim, "return_inverse": True, "return_counts": True}, gradient=False) for dim in (0, 1, 2))],
    "unique_consecutive": [Case((Arg((20,), E),), torch.unique_consecutive, {"return_inverse": True, "return_counts": True}, EVERY, gradient=False),
                           Case((Arg((2, 9), "bool"),), torch.unique_consecutive, {"dim": 1, "return_inverse": True, "return_counts": True}, gradient=False),
                           Case((Arg((3, 2), E),), torch.unique_consecutive, gradient=False)],
    "isin": [Case((Arg(M, E), Arg((3,), E)), torch.isin, dtypes=(d.float32, d.float64, *INTEGERS), gradient=False), Case((Arg(M, E), 1), torch.isin, {"invert": True}, gradient=False),
             Case((Arg((4,), E), Arg((0,))), torch.isin, gradient=False), Case((Arg((2, 2), E, d.int32), Arg((4,), E)), torch.isin, gradient=False),
             Case((Arg((0,)), Arg((2,))), torch.isin, gradient=False), Case((Arg((300,), E), Arg((40,), E)), torch.isin, gradient=False)],
    # quantiles and covariances
    "msort": [Case((Arg((4, 3), S),), torch.msort, dtypes=NUMBERS), Case((Arg((5,), S),), torch.msort)],
    **{name: [Case((Arg(M, S), 0.3), getattr(torch, name), dtypes=(d.float32, d.float64), scale=8), Case((Arg(M, S), 0.5, 1, True), getattr(torch, name), scale=8),
              Case((Arg(M, S), Arg((3,), "chances", differentiable=False), -1), getattr(torch, name), scale=8), Case((Arg(M, S), Arg((), "chances", differentiable=False)), getattr(torch, name), {"keepdim": True}, scale=8),
              *(Case((Arg((5, 4), S), 0.4, 0), getattr(torch, name), {"interpolation": kind}, scale=8) for kind in ("lower", "higher", "midpoint", "nearest"))]
       for name in ("quantile", "nanquantile")},
    "cov": [Case((Arg((3, 5), S),), torch.cov, dtypes=(d.float32, d.float64), scale=16), Case((Arg((5,), S),), torch.cov, scale=16), Case((Arg((3, 5), S),), torch.cov, {"correction": 0}, scale=16)],
    "corrcoef": [Case((Arg((3, 5), S),), torch.corrcoef, dtypes=(d.float32, d.float64), scale=32, second=False), Case((Arg((5,), S),), torch.corrcoef, gradient=False)],
    # parts written, counts and choices
    "slice_scatter": [Case((Arg(M, S), Arg((2, 1, 4))), torch.slice_scatter, {"dim": 1, "start": 1, "end": 2}, EVERY), Case((Arg((7,), S), Arg((3,))), torch.slice_scatter, {"start": 1, "step": 2}),
                      Case((Arg((3, 4), S), Arg((3, 2))), torch.slice_scatter, {"dim": -1, "start": -2}), Case((Arg((3, 4), S), Arg((0, 4))), torch.slice_scatter, {"start": 3, "end": 1})],
    "select_scatter": [Case((Arg(M, S), Arg((2, 4)), 1, -1), torch.select_scatter, dtypes=EVERY), Case((Arg((3,), S), Arg(()), 0, 1), torch.select_scatter)],
    "diagonal_scatter": [Case((Arg((3, 4), S), Arg((3,))), torch.diagonal_scatter, dtypes=EVERY), Case((Arg(M, S), Arg((3, 1))), torch.diagonal_scatter, {"offset": -1, "dim1": 0, "dim2": 2})],
    "fill_diagonal": [Case((Arg(shape, S), 2, wrap), lambda x, v, w: x.clone().fill_diagonal_(v, w), dtypes=(d.float32, d.int64))
                      for shape, wrap in (((3, 4), False), ((9, 3), False), ((3, 3, 3), False))],
    "put": [Case((Arg(M, S), index((2, 3), 24), Arg((2, 3)), True), lambda x, i, v, a: x.put(i, v, a), dtypes=(d.float32, d.float64), scale=4),
            Case((Arg((3, 2), S), Arg((4,), "orders", d.int64), Arg((4,))), lambda x, i, v: x.put(i, v))],
    **{name: [Case((Arg((4, 6, 6)), 2), getattr(torch, name), dtypes=EVERY), Case((Arg((4, 3, 6)), (1, 3)), getattr(torch, name))] for name in ("hsplit", "vsplit", "dsplit") if name != "hsplit"},
    "hsplit": [Case((Arg((4, 6)), 3), torch.hsplit, dtypes=EVERY), Case((Arg((6,)), (1, 3)), torch.hsplit)],
    "histc": [Case((Arg(M, A), 5, -2, 2), torch.histc, dtypes=(d.float32, d.float64), gradient=False), Case((Arg((40,), A), 4), torch.histc, gradient=False),
              Case((Arg((0,)), 3), torch.histc, gradient=False), Case((Arg((30,), E),), torch.histc, {"bins": 3, "min": -1, "max": 2}, gradient=False)],
    "mode": [Case((Arg((3, 9), E),), torch.mode, dtypes=EVERY, gradient=False), Case((Arg((5, 3), E), 0, True), torch.mode, gradient=False), Case((Arg((7,), E),), torch.mode, gradient=False),
             Case((Arg(()),), torch.mode), Case((Arg((3, 5), S), 0), torch.mode)],
    "combinations": [Case((Arg((5,), S),), torch.combinations, dtypes=EVERY), Case((Arg((4,), S), 3), torch.combinations), Case((Arg((3,), S), 2, True), torch.combinations),
                     Case((Arg((3,), S), 1), torch.combinations), Case((Arg((0,)),), torch.combinations, gradient=False), Case((Arg((2,), S), 3), torch.combinations, gradient=False)],
    "pdist": [Case((Arg((5, 3), S), p), tf.pdist, dtypes=(d.float32, d.float64) if p == 2 else (d.float32,), scale=16, torch_gradient=True, second=False) for p in (2.0, 1.0, 3.0, math.inf)],
    "softmin": [Case((Arg(M, S), 1), tf.softmin, dtypes=FLOATS, scale=4)],
    "ldexp": [Case((Arg(M, S), Arg((4,), S)), torch.ldexp, dtypes=(d.float32, d.float64), scale=4),
              Case((Arg(M, S), Arg((4,), E, d.int32)), torch.ldexp, dtypes=(d.float32, d.float64, d.int64), scale=2, torch_gradient=False)],
    "multi_margin_loss": [Case((Arg((4, 3), S), index((4,), 3)), tf.multi_margin_loss, dtypes=(d.float32, d.float64), scale=4),
                          Case((Arg((4, 3), S), index((4,), 3)), tf.multi_margin_loss, {"p": 2, "margin": 0.5, "reduction": "none"}, scale=8, torch_gradient=True, second=False),
                          Case((Arg((4, 3), S), index((4,), 3), 1, 1.0, Arg((3,), P, differentiable=False)), tf.multi_margin_loss, {"reduction": "sum"}, scale=8), Case((Arg((3,), S), index((), 3)), tf.multi_margin_loss, scale=4)],
    # special functions
    "erfinv": unary("erfinv", FLOATS, "unit", scale=8),
    "lgamma": [*unary("lgamma", (*FLOATS, d.int64), P, scale=8), Case((Arg(M, S),), torch.lgamma, dtypes=(d.float32, d.float64), scale=256)],
    "polygamma": [*(Case((n, Arg(M, P)), torch.polygamma, dtypes=(d.float32, d.float64, d.int64), scale=32) for n in (0, 1, 2, 4)),
                  Case((3, Arg((5,), S)), torch.polygamma, dtypes=(d.float32, d.float64), gradient=False, scale=64)],
    "mvlgamma": [Case((Arg(M, "above"), 3), torch.mvlgamma, dtypes=(*FLOATS, d.int64), scale=32), Case((Arg((5,), P), 1), torch.mvlgamma, scale=8)],
    "digamma": [*unary("digamma", FLOATS, P, scale=32), Case((Arg(M, S),), torch.digamma, scale=256)],
}  # fmt: skip

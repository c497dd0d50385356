"""Cases of products, convolutions, pooling, resampling, norms and losses: functions and ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as tf

from tests.ops.arrays import Arg
from tests.ops.cases import EVERY, FLOATS, A, Case, M, OpCase, P, S, index
from weft import dtypes as d
from weft.dtypes import DType

INTEGER = (d.int64, d.int32)
PRODUCTS = FLOATS + INTEGER


def called(
    theirs: Callable[..., Any],
    *arguments: Any,
    dtypes: tuple[DType, ...] = (d.float32,),
    scale: float = 4,
    **keywords: Any,
) -> Case:
    """A case whose keywords are the function's."""
    return Case(arguments, theirs, keywords, dtypes, scale)


def einsum(equation: str, *shapes: tuple[int, ...], dtypes: tuple[DType, ...] = (d.float32,)) -> Case:
    return Case((equation, *(Arg(shape) for shape in shapes)), torch.einsum, dtypes=dtypes, scale=4)


def rank(count: int) -> tuple[int, ...]:
    """Spatial sizes of an image of that rank."""
    return (7, 6, 5)[:count] if count < 3 else (4, 5, 4)


def transposed(count: int) -> list[Case]:
    theirs = getattr(tf, f"conv_transpose{count}d")
    size, kernel = (4, 3, 3)[:count], (3, 2, 2)[:count]
    small = (3, 2, 2)[:count]
    return [
        called(theirs, Arg((2, 4, *size)), Arg((4, 3, *kernel)), Arg((6,)), scale=8, stride=2, padding=1, output_padding=1, groups=2,
               dtypes=FLOATS if count == 2 else (d.float32,)),
        called(theirs, Arg((2, 4, *size)), Arg((4, 3, *kernel)), scale=8, stride=2, padding=1, output_padding=2, dilation=3),
        called(theirs, Arg((1, 2, *small)), Arg((2, 1, *(2,) * count)), Arg((1,)), scale=8, stride=2),
        called(theirs, Arg((4, *size)), Arg((4, 3, *kernel)), scale=8),
    ]  # fmt: skip


def max_pools(count: int) -> list[Case]:
    theirs, size = getattr(tf, f"max_pool{count}d"), rank(count)
    return [
        Case((Arg((2, 3, *size), S), 2), theirs, dtypes=FLOATS if count == 2 else (d.float32,)),
        Case((Arg((1, 2, *size), S), 3, 2, 1, 1, True, True), theirs), Case((Arg((2, *size), S), 2, 1, 1, 2), theirs),
        Case((Arg((1, 1, *size), S), (3, 2, 2)[:count], (2, 1, 2)[:count], (1, 0, 1)[:count], (1, 2, 1)[:count]), theirs),
    ]  # fmt: skip


def avg_pools(count: int) -> list[Case]:
    theirs, size = getattr(tf, f"avg_pool{count}d"), rank(count)
    return [
        Case((Arg((2, 3, *size)), 2), theirs, dtypes=FLOATS if count == 2 else (d.float32,), scale=2),
        Case((Arg((1, 1, *size)), 3, 2, 1, True, True), theirs, scale=4), Case((Arg((1, 1, *size)), 3, 2, 1, True, False), theirs, scale=4),
        Case((Arg((2, *size)), (3, 2, 2)[:count], (2, 1, 3)[:count], (1, 0, 1)[:count]), theirs, scale=4),
        *([called(theirs, Arg((1, 1, *size)), 3, 2, 1, divisor_override=5)] if count > 1 else []),
    ]  # fmt: skip


def adaptive(count: int, kind: str) -> list[Case]:
    theirs, size = getattr(tf, f"adaptive_{kind}_pool{count}d"), rank(count)
    more = (True,) if kind == "max" else ()
    values = S if kind == "max" else A
    return [
        Case((Arg((2, 2, *size), values), 3, *more), theirs, scale=4, dtypes=FLOATS[:1] + FLOATS[3:]),
        Case((Arg((1, 1, *size), values), (9, 4, 3)[:count], *more), theirs, scale=4),
        Case((Arg((2, *size), values), 1, *more), theirs, scale=4),
        *([Case((Arg((1, 2, *size), values), (None, *(2,) * (count - 1)), *more), theirs, scale=4)] if count > 1 else []),
    ]  # fmt: skip


def resized(shape: tuple[int, ...], **options: Any) -> Case:
    kinds = (d.float32, d.float64) if options.get("mode", "nearest") == "bilinear" else (d.float32,)
    return called(tf.interpolate, Arg(shape), dtypes=kinds, scale=8, **options)


def normed(name: str, *arguments: Any, dtypes: tuple[DType, ...] = (d.float32,), **options: Any) -> Case:
    return Case(arguments, getattr(tf, name), options, dtypes, scale=16)


def two(name: str, first: str = S, second: str = A, shape: tuple[int, ...] = M, **options: Any) -> list[Case]:
    """A loss of two tensors of one shape, with each reduction."""
    theirs = getattr(tf, name)
    arguments = (Arg(shape, first), Arg(shape, second))
    return [
        Case(arguments, theirs, {**options, "reduction": how}, FLOATS[:1] + FLOATS[3:] if how == "mean" else FLOATS[:1], scale=8)
        for how in ("mean", "sum", "none")
    ]  # fmt: skip


X2, W2 = Arg((2, 4, 7)), Arg((6, 2, 3))
MEAN, VARIANCE = Arg((4,), A, differentiable=False), Arg((4,), P, differentiable=False)
WEIGHT, BIAS = Arg((4,), S), Arg((4,))
IMAGES = Arg((3, 4, 2, 2), S)
LOGITS, CLASSES = Arg((4, 3, 2), S), index((4, 2), 3)
ROWS = Arg((4, 3), S)

FUNCTION_CASES: dict[str, list[Case]] = {
    "bmm": [called(torch.bmm, Arg((2, 3, 4)), Arg((2, 4, 2)), dtypes=PRODUCTS), called(torch.bmm, Arg((0, 3, 4)), Arg((0, 4, 2)))],
    "mv": [called(torch.mv, Arg((3, 4)), Arg((4,)), dtypes=PRODUCTS)],
    "dot": [called(torch.dot, Arg((4,)), Arg((4,)), dtypes=PRODUCTS), called(torch.dot, Arg((0,)), Arg((0,)))],
    "outer": [called(torch.outer, Arg((4,)), Arg((3,)), dtypes=PRODUCTS)],
    "addmm": [called(torch.addmm, Arg((3,)), Arg((2, 4)), Arg((4, 3)), dtypes=PRODUCTS), called(torch.addmm, Arg((2, 1)), Arg((2, 4)), Arg((4, 3)), beta=0.5, alpha=2.0),
              called(torch.addmm, Arg((2, 3), differentiable=False), Arg((2, 4)), Arg((4, 3)), beta=0)],
    "addmv": [called(torch.addmv, Arg((2,)), Arg((2, 4)), Arg((4,)), beta=0.5, alpha=2)],
    "baddbmm": [called(torch.baddbmm, Arg((2, 1, 3)), Arg((2, 2, 4)), Arg((2, 4, 3)), alpha=3),
                called(torch.baddbmm, Arg((2, 2, 3)), Arg((2, 2, 4)), Arg((2, 4, 3)))],
    "bilinear": [called(tf.bilinear, Arg((2, 3)), Arg((2, 2)), Arg((4, 3, 2)), Arg((4,)), scale=8), called(tf.bilinear, Arg((2, 1, 3)), Arg((2, 1, 2)), Arg((2, 3, 2)), scale=8)],
    "einsum": [
        einsum("ij,jk", (2, 3), (3, 4), dtypes=PRODUCTS), einsum("ij,jk->ki", (2, 3), (3, 4)), einsum("ii->i", (3, 3)), einsum("ii", (3, 3)),
        einsum("iij->j", (3, 3, 2)), einsum("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), einsum("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)),
        einsum("i,j->ij", (3,), (4,)), einsum("ij->", (2, 3)), einsum("ijk,jl,kl->il", (2, 3, 4), (3, 5), (4, 5)), einsum("b...i,b...i->b...", (2, 3, 4), (2, 3, 4)),
        einsum("ij,ij->ij", (2, 1), (2, 4)), einsum("...,...->...", (2, 3), (3,)), einsum(" b a ", (2, 3)), einsum("i...->...", (2, 3)), einsum("ij,kl->", (2, 3), (2, 2)),
        einsum("ab,b", (2, 0), (0,)), Case((Arg((2, 3)), [0, 1], Arg((3, 4)), [1, 2], [2, 0]), lambda a, i, b, j, k: torch.einsum(a, i, b, j, k), scale=4),
    ],
    "tensordot": [called(torch.tensordot, Arg((2, 3, 4)), Arg((3, 4, 2)), dtypes=(d.float32, d.int64)), called(torch.tensordot, Arg((2, 3)), Arg((4,)), dims=0),
                  called(torch.tensordot, Arg((2, 3, 4)), Arg((3, 5, 2)), dims=([1, 0], [0, 2]))],
    "normalize": [called(tf.normalize, Arg(M, S), dtypes=FLOATS[:1] + FLOATS[3:]), called(tf.normalize, Arg(M, S), p=3.0, dim=-1), called(tf.normalize, Arg(M, S), p=1.0, dim=0)],
    "cosine_similarity": [called(tf.cosine_similarity, Arg(M, S), Arg(M, P)), called(tf.cosine_similarity, Arg(M, S), Arg((1, 3, 4), P), dim=-1)],
    "pairwise_distance": [called(tf.pairwise_distance, Arg((3, 4), S), Arg((3, 4), P)), called(tf.pairwise_distance, Arg((3, 4), S), Arg((4,), P), p=1.0, keepdim=True)],
    "conv1d": [
        Case((X2, W2, Arg((6,))), tf.conv1d, {"groups": 2, "stride": 2, "padding": 1}, FLOATS, scale=8),
        Case((X2, Arg((6, 4, 4))), tf.conv1d, {"padding": "same", "dilation": 2}, scale=8), Case((Arg((4, 7)), Arg((6, 4, 3))), tf.conv1d, scale=8),
        Case((Arg((1, 2, 5)), Arg((2, 1, 2)), Arg((2,))), tf.conv1d, {"groups": 2, "padding": 1}, scale=8),
    ],
    "conv3d": [
        Case((Arg((2, 4, 4, 5, 3)), Arg((6, 2, 3, 2, 2)), Arg((6,))), tf.conv3d, {"groups": 2, "stride": (1, 2, 1), "padding": (1, 0, 1)}, (d.float32, d.float64), scale=16),
        Case((Arg((4, 4, 3, 3)), Arg((3, 4, 2, 2, 2))), tf.conv3d, {"padding": "same"}, scale=16),
        Case((Arg((1, 2, 3, 3, 2)), Arg((2, 1, 2, 2, 2))), tf.conv3d, {"groups": 2, "dilation": (1, 2, 1)}, scale=16),
    ],
    "grid_sample": [
        called(tf.grid_sample, Arg((2, 3, 4, 5)), Arg((2, 3, 2, 2), "unit"), dtypes=(d.float32, d.float64), scale=32, align_corners=False),
        *(called(tf.grid_sample, Arg((1, 2, 3, 4)), Arg((1, 5, 4, 2), S), mode=mode, padding_mode=padding, align_corners=align, scale=64)
          for mode in ("bilinear", "nearest", "bicubic") for padding in ("zeros", "border", "reflection") for align in (False, True)),
        *(called(tf.grid_sample, Arg((1, 2, 3, 2, 4)), Arg((1, 2, 3, 2, 3), S), mode=mode, padding_mode=padding, align_corners=False, scale=64)
          for mode in ("bilinear", "nearest") for padding in ("zeros", "border", "reflection")),
        called(tf.grid_sample, Arg((1, 1, 1, 1)), Arg((1, 2, 2, 2), S), padding_mode="reflection", align_corners=True, scale=32),
    ],
    "affine_grid": [
        called(tf.affine_grid, Arg((2, 2, 3)), (2, 3, 4, 5), dtypes=(d.float32, d.float64), align_corners=False), called(tf.affine_grid, Arg((1, 2, 3)), (1, 1, 1, 3), align_corners=True),
        *(called(tf.affine_grid, Arg((2, 3, 4)), (2, 1, 2, 3, 4), align_corners=align) for align in (False, True)),
    ],
    "embedding_bag": [
        *(called(tf.embedding_bag, index((3, 4), 5), Arg((5, 3), S), mode=mode, dtypes=(d.float32, d.float64)) for mode in ("sum", "mean", "max")),
        *(called(tf.embedding_bag, index((7,), 5), Arg((5, 3), S), Arg((4,), "offsets", d.int64, 2), mode=mode, padding_idx=padding) for mode in ("sum", "mean", "max") for padding in (None, 1)),
        called(tf.embedding_bag, index((6,), 5), Arg((5, 3), S), Arg((4,), "offsets", d.int64, 2), mode="sum", include_last_offset=True),
        Case((index((3, 4), 5), Arg((5, 3), S), None, None, 2.0, False, "sum", False, Arg((3, 4), S)), tf.embedding_bag, scale=8),
        called(tf.embedding_bag, index((0,), 5), Arg((5, 3), S), Arg((2,), "offsets", d.int64, 0), mode="mean"),
    ],
    "im2col": [
        called(tf.unfold, Arg((2, 3, 5, 6)), (2, 3), dtypes=FLOATS), called(tf.unfold, Arg((1, 2, 5, 6)), 2, 2, 1, 2),
        called(tf.unfold, Arg((3, 4, 5)), (3, 2), stride=(2, 1), padding=(1, 0)), called(tf.unfold, Arg((1, 2, 7, 3)), (2, 1), dilation=(3, 1), padding=(0, 1)),
    ],
    "col2im": [
        called(tf.fold, Arg((2, 18, 16)), (5, 6), (2, 3), dtypes=FLOATS), called(tf.fold, Arg((1, 8, 9)), (5, 6), 2, 2, 1, 2),
        called(tf.fold, Arg((12, 8)), (4, 5), (3, 2), padding=(1, 0), stride=(2, 1)), called(tf.fold, Arg((1, 4, 20)), (7, 3), (2, 1), dilation=(3, 1), padding=(0, 1)),
    ],
    "pixel_shuffle": [called(tf.pixel_shuffle, Arg((2, 8, 3, 2)), 2, dtypes=EVERY), called(tf.pixel_shuffle, Arg((9, 2, 3)), 3), Case((Arg((2, 1, 4, 1, 0)), 2), tf.pixel_shuffle, torch_gradient=False)],
    "pixel_unshuffle": [called(tf.pixel_unshuffle, Arg((2, 3, 4, 6)), 2, dtypes=EVERY), called(tf.pixel_unshuffle, Arg((1, 3, 6)), 3)],
    "channel_shuffle": [called(tf.channel_shuffle, Arg((2, 6, 2, 2)), 3), called(tf.channel_shuffle, Arg((1, 4, 3)), 2)],
    "local_response_norm": [called(tf.local_response_norm, Arg((2, 5, 3, 2)), 2, dtypes=(d.float32, d.float64)), called(tf.local_response_norm, Arg((1, 4, 6)), 3, 0.5, 0.6, 2.0)],
    "lp_pool1d": [called(tf.lp_pool1d, Arg((2, 3, 7), P), 2.0, 3, scale=8), called(tf.lp_pool1d, Arg((2, 7), P), 3, 2, 1, True, scale=8)],
    "lp_pool2d": [called(tf.lp_pool2d, Arg((2, 3, 7, 6), P), 2.0, 3, scale=8), called(tf.lp_pool2d, Arg((2, 7, 6), P), 3, (2, 3), 2, True, scale=8)],
    "lp_pool3d": [called(tf.lp_pool3d, Arg((1, 2, 4, 5, 4), P), 2.0, 2, scale=8), called(tf.lp_pool3d, Arg((2, 4, 5, 4), P), 1, (2, 3, 1), 2, scale=8)],
    **{f"conv_transpose{count}d": transposed(count) for count in (1, 2, 3)},
    **{f"max_pool{count}d": max_pools(count) for count in (1, 2, 3)},
    **{f"avg_pool{count}d": avg_pools(count) for count in (1, 2, 3)},
    **{f"adaptive_{kind}_pool{count}d": adaptive(count, kind) for kind in ("avg", "max") for count in (1, 2, 3)},
    "interpolate": [
        *(resized((2, 2, 5), size=size, mode=mode) for mode in ("nearest", "nearest-exact") for size in (8, 3)),
        resized((1, 2, 4, 3), scale_factor=(2.3, 0.7)), resized((1, 1, 2, 3, 4), scale_factor=2, mode="nearest-exact"),
        *(resized((2, 1, 5), size=size, mode="linear", align_corners=align) for align in (True, False) for size in (8, 3, 1)),
        *(resized((1, 2, 4, 3), scale_factor=(2.3, 0.7), mode="bilinear", align_corners=align) for align in (True, False)),
        resized((1, 2, 4, 3), scale_factor=1.6, mode="bilinear", recompute_scale_factor=True),
        *(resized((1, 1, 4, 5), size=(3, 11), mode="bicubic", align_corners=align) for align in (True, False)),
        resized((1, 1, 2, 3, 4), size=(4, 2, 6), mode="trilinear"), resized((1, 1, 5, 4), size=(3, 6), mode="area"),
    ],
    "layer_norm": [
        normed("layer_norm", Arg(M, S), (4,), WEIGHT, BIAS, dtypes=FLOATS), normed("layer_norm", Arg(M, S), (3, 4)), normed("layer_norm", Arg((2, 4), S), (4,), WEIGHT),
        normed("layer_norm", Arg((2, 4), S), (4,), None, BIAS), normed("layer_norm", Arg((3, 300), S), (300,), Arg((300,), S), Arg((300,)), eps=0.1),
    ],
    "rms_norm": [normed("rms_norm", Arg(M, S), (4,), WEIGHT, dtypes=FLOATS[:1] + FLOATS[3:]), normed("rms_norm", Arg((2, 4), S), (4,), eps=0.1)],
    "group_norm": [normed("group_norm", IMAGES, 2, WEIGHT, BIAS, dtypes=FLOATS[:1] + FLOATS[3:]), normed("group_norm", Arg((3, 4), S), 1, WEIGHT, BIAS), normed("group_norm", IMAGES, 4)],
    "instance_norm": [normed("instance_norm", IMAGES, None, None, WEIGHT, BIAS), normed("instance_norm", Arg((2, 4, 5), S)), normed("instance_norm", IMAGES, MEAN, VARIANCE, WEIGHT, BIAS, use_input_stats=False)],
    "batch_norm": [
        normed("batch_norm", IMAGES, None, None, WEIGHT, BIAS, training=True, dtypes=FLOATS[:1] + FLOATS[3:]), normed("batch_norm", Arg((5, 4), S), MEAN, VARIANCE, WEIGHT, BIAS, training=True),
        normed("batch_norm", IMAGES, MEAN, VARIANCE, WEIGHT, BIAS, training=False, eps=0.1), normed("batch_norm", IMAGES, MEAN, VARIANCE), normed("batch_norm", Arg((2, 4, 3), S), None, None, training=True),
    ],
    "nll_loss": [called(tf.nll_loss, Arg((4, 3, 2), "logs"), CLASSES, Arg((3,), P, differentiable=False), ignore_index=1, reduction=how) for how in ("mean", "sum", "none")],
    "cross_entropy": [
        *(called(tf.cross_entropy, LOGITS, CLASSES, Arg((3,), P, differentiable=False), ignore_index=1, reduction=how, label_smoothing=0.2, scale=8) for how in ("mean", "sum", "none")),
        called(tf.cross_entropy, LOGITS, Arg((4, 3, 2), "chances"), Arg((3,), P, differentiable=False), label_smoothing=0.2, scale=8), called(tf.cross_entropy, Arg((3,), S), index((), 3), reduction="none", label_smoothing=0.1),
    ],
    **{name: two(name) for name in ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")},
    "binary_cross_entropy": two("binary_cross_entropy", "half", "half") + [called(tf.binary_cross_entropy, Arg(M, "half"), Arg(M, "bool"), Arg((4,), P, differentiable=False))],
    "binary_cross_entropy_with_logits": two("binary_cross_entropy_with_logits", S, "half") + [called(tf.binary_cross_entropy_with_logits, Arg(M, S), Arg(M, "half"), Arg((4,), P, differentiable=False))],
    "kl_div": [*two("kl_div", "logs", "chances"), *two("kl_div", "logs", "logs", log_target=True), called(tf.kl_div, Arg(M, "logs"), Arg(M, "chances"), reduction="batchmean")],
    "margin_ranking_loss": [called(tf.margin_ranking_loss, ROWS, Arg((4, 3), P), Arg((4, 3), "sign", differentiable=False), margin=0.3)],
    "hinge_embedding_loss": [called(tf.hinge_embedding_loss, ROWS, Arg((4, 3), "sign", differentiable=False), reduction=how) for how in ("mean", "none")],
    "soft_margin_loss": [called(tf.soft_margin_loss, ROWS, Arg((4, 3), "sign", differentiable=False))],
    "cosine_embedding_loss": [called(tf.cosine_embedding_loss, ROWS, Arg((4, 3), P), Arg((4,), "sign", differentiable=False), margin=0.1, reduction=how, scale=8) for how in ("mean", "none")],
    "triplet_margin_loss": [called(tf.triplet_margin_loss, ROWS, Arg((4, 3), P), Arg((4, 3), "apart"), swap=swap, p=p, scale=16) for swap, p in ((False, 2), (True, 2), (False, 1))],
    "gaussian_nll_loss": [called(tf.gaussian_nll_loss, ROWS, Arg((4, 3)), Arg(shape, P), full=True, scale=8) for shape in ((4, 3), (4, 1), (4,))],
    "poisson_nll_loss": [called(tf.poisson_nll_loss, ROWS, Arg((4, 3), P), full=full, scale=8) for full in (False, True)] + [called(tf.poisson_nll_loss, Arg((4, 3), P), Arg((4, 3), P), log_input=False, scale=8)],
}  # fmt: skip

_WINDOW = {"stride": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2), "groups": 2}
_LINE = {"stride": (2,), "padding": ((1, -1),), "dilation": (2,), "groups": 1}
_VOLUME = {"stride": (1, 2, 1), "padding": ((1, 1), (0, 0), (1, 0)), "dilation": (1, 1, 2), "groups": 2}
_POOL = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "ceil_mode": False}
_AVERAGE = {
    "kernel": (3, 2),
    "stride": (2, 1),
    "padding": (1, 1),
    "ceil_mode": True,
    "include_padding": False,
    "divisor": 0,
}
_BINS = {"bins": (3, 5)}
_WIDE = (d.float32, d.float64)


def _resample(mode: str, shape: tuple[int, ...], **more: Any) -> dict[str, Any]:
    return {"size": shape, "mode": mode, "scales": (0.61, 1.7), "align": False, **more}


def _norm(dims: tuple[int, ...], center: bool = True) -> dict[str, Any]:
    return {"dims": dims, "eps": 0.1, "center": center}


_STATISTICS = (Arg((2, 1, 4), A, d.float32), Arg((2, 1, 4), P, d.float32))
_HALVES = FLOATS[:3]


def _losses(*names: str, values: tuple[str, ...] = (S, A, P, P)) -> dict[str, list[OpCase]]:
    from weft.ops import OPS

    counts = {name: len(OPS[name].info["pointwise"].parameters) for name in names}
    return {
        name: [OpCase(tuple(Arg(M, kind) for kind in values[: counts[name]]), {}, FLOATS, 8)]
        for name in names
    }


_COLUMNS = {"kernel": (2, 2), "stride": (2, 2), "padding": (1, 0), "dilation": (1, 2)}
OP_CASES: dict[str, list[OpCase]] = {
    "barrier": [OpCase((Arg(M), Arg((2, 3), A, d.int64)), {}, EVERY), OpCase((Arg((4,)),))],
    "stop_gradient": [OpCase((Arg((2, 3), A),), {}, EVERY), OpCase((Arg((4,)),))],
    "convolution": [OpCase((Arg((2, 4, 7, 6)), Arg((6, 2, 3, 2))), _WINDOW, FLOATS, 8), OpCase((Arg((2, 3, 8)), Arg((4, 3, 2))), _LINE, (d.float32,), 8),
                    OpCase((Arg((2, 4, 3, 4, 5)), Arg((6, 2, 3, 2, 2))), _VOLUME, FLOATS, 16)],
    "convolution_input": [OpCase((Arg((2, 6, 3, 6)), Arg((6, 2, 3, 2))), {**_WINDOW, "shape": (2, 4, 7, 6)}, FLOATS, 8), OpCase((Arg((2, 4, 3)), Arg((4, 3, 2))), {**_LINE, "shape": (2, 3, 8)}, (d.float32,), 8),
                          OpCase((Arg((2, 6, 3, 2, 4)), Arg((6, 2, 3, 2, 2))), {**_VOLUME, "shape": (2, 4, 3, 4, 5)}, FLOATS, 16)],
    "convolution_weight": [OpCase((Arg((2, 6, 3, 6)), Arg((2, 4, 7, 6))), {**_WINDOW, "shape": (6, 2, 3, 2)}, FLOATS, 16), OpCase((Arg((2, 4, 3)), Arg((2, 3, 8))), {**_LINE, "shape": (4, 3, 2)}, (d.float32,), 8),
                           OpCase((Arg((2, 6, 3, 2, 4)), Arg((2, 4, 3, 4, 5))), {**_VOLUME, "shape": (6, 2, 3, 2, 2)}, FLOATS, 16)],
    "im2col": [OpCase((Arg((2, 3, 5, 6)),), _COLUMNS, EVERY)],
    "col2im": [OpCase((Arg((2, 12, 6)),), {"size": (5, 6), **_COLUMNS}, FLOATS, 4), OpCase((Arg((1, 4, 8)),), {"size": (3, 4), "kernel": (2, 2), "stride": (1, 1), "padding": (0, 1), "dilation": (1, 2)}, scale=4)],
    "max_pool": [OpCase((Arg((2, 2, 7, 6), S),), _POOL, FLOATS + (d.int64, d.int16, d.int8, d.uint8)), OpCase((Arg((2, 2, 7, 3), S),), _BINS)],
    "max_pool_backward": [OpCase((Arg((2, 2, 3, 4)), index((2, 2, 3, 4), 12)), {"kernel": (9, 9), "stride": (1, 1), "padding": (4, 4), "dilation": (1, 1), "ceil_mode": False, "shape": (2, 2, 3, 4)}, FLOATS, 4)],
    "avg_pool": [OpCase((Arg((2, 2, 7, 6)),), _AVERAGE, FLOATS, 4), OpCase((Arg((2, 2, 7, 3)),), _BINS, FLOATS, 4), OpCase((Arg((2, 2, 7, 6)),), {**_AVERAGE, "divisor": 5}, scale=4)],
    "avg_pool_backward": [OpCase((Arg((2, 2, 4, 7)),), {**_AVERAGE, "shape": (2, 2, 7, 6)}, FLOATS, 4), OpCase((Arg((2, 2, 3, 5)),), {**_BINS, "shape": (2, 2, 7, 3)}, FLOATS, 4),
                          OpCase((Arg((2, 2, 4, 7)),), {**_AVERAGE, "include_padding": True, "shape": (2, 2, 7, 6)}, scale=4)],
    "resample": [OpCase((Arg((2, 2, 5, 6)),), _resample(mode, (8, 3)), FLOATS, 8) for mode in ("nearest", "nearest-exact", "linear", "cubic")] + [OpCase((Arg((1, 2, 4, 3)),), _resample("nearest", (3, 4)), (d.int64, d.uint8))],
    "resample_backward": [OpCase((Arg((2, 2, 8, 3)),), _resample(mode, (5, 6)), FLOATS, 8) for mode in ("nearest", "nearest-exact", "linear", "cubic")],
    "norm": [OpCase((Arg((2, 3, 4), S), Arg((1, 3, 1)), Arg((1, 3, 1))), _norm((0, 2)), FLOATS, 8), OpCase((Arg((2, 3, 4), S),), _norm((1,), False), FLOATS, 8), OpCase((Arg((3, 300), S), Arg((1, 300))), _norm((1,)), scale=8)],
    "norm_backward": [OpCase((Arg((2, 3, 4)), Arg((2, 3, 4), S), *_STATISTICS), _norm((1,), center), _HALVES, 16) for center in (True, False)]
    + [OpCase((Arg((2, 3, 4)), Arg((2, 3, 4), S), Arg((2, 1, 4)), Arg((2, 1, 4), P), Arg((1, 3, 4))), _norm((1,)), _WIDE, 16)],
    "norm_parameters": [OpCase((Arg((2, 3, 4)), Arg((2, 3, 4), S), *_STATISTICS), {**_norm((1,)), "shape": (1, 3, 1), "shift": shift}, _HALVES, 16) for shift in (True, False)],
    "cross_entropy": [OpCase((Arg((4, 3, 2), S), index((4, 2), 3)), {"ignore_index": 1}, FLOATS, 8), OpCase((Arg((3, 300), S), index((3,), 300)), {"ignore_index": -100}, scale=8)],
    "cross_entropy_loss": [OpCase((Arg((4, 3, 2), S), index((4, 2), 3)), {"ignore_index": 1, "mean": mean}, FLOATS, 16) for mean in (True, False)]
    + [OpCase((Arg((300, 5), S), index((300,), 5)), {"ignore_index": -100, "mean": True}, scale=16)],
    "lstm_gates": [OpCase((Arg((3, 20)), Arg((3, 20)), Arg((3, 5))), {}, (d.float32, d.float64), 8), OpCase((Arg((8,)), Arg((8,)), Arg((2,))), {}, scale=8)],
    "lstm_gates_backward": [OpCase((Arg((3, 5)), Arg((3, 5)), Arg((3, 20)), Arg((3, 20)), Arg((3, 5))), {}, (d.float32, d.float64), 16)],
    "gru_gates": [OpCase((Arg((3, 15)), Arg((3, 15)), Arg((3, 5))), {}, (d.float32, d.float64), 8), OpCase((Arg((6,)), Arg((6,)), Arg((2,))), {}, scale=8)],
    "unbind": [OpCase((Arg((3, 4, 2)),), {"dim": dim}, FLOATS) for dim in (0, 1, 2)],
    "split": [OpCase((Arg((3, 5)),), {"dim": 1, "stops": (2, 2, 5)}, FLOATS), OpCase((Arg((3, 5)),), {"dim": 0, "stops": (3,)})],
    "gru_gates_backward": [OpCase((Arg((3, 5)), Arg((3, 15)), Arg((3, 15)), Arg((3, 5))), {}, (d.float32, d.float64), 16)],
    "cross_entropy_backward": [OpCase((Arg((4, 2)), Arg((4, 3, 2), S), index((4, 2), 3), Arg((4, 2), A, kind), Arg((4, 2), P, kind)), {"ignore_index": 1}, used, 8) for kind, used in ((d.float32, _HALVES), (d.float64, (d.float64,)))],
    "attention": [OpCase((Arg((2, 5, 4, 6)), Arg((2, 7, 2, 6)), Arg((2, 7, 2, 5))), {"causal": False, "scale": 0.4}, FLOATS, 16), OpCase((Arg((2, 5, 2, 4)), Arg((2, 7, 2, 4)), Arg((2, 7, 2, 8)), Arg((2, 1, 5, 7), "bool")), {"causal": True, "scale": 0.4}, FLOATS, 16),
                  OpCase((Arg((1, 35, 2, 4)), Arg((1, 66, 2, 4)), Arg((1, 66, 2, 8)), Arg((1, 2, 1, 66))), {"causal": False, "scale": -0.4}, FLOATS, 16)],
    "cached_attention": [
        OpCase((Arg((3, 4, 6)), Arg((9, 4, 2, 6)), Arg((9, 4, 2, 5)), index((2, 3), 9, d.int32), index((3,), 2), index((3,), 12), *sinks), {"scale": 0.4, "window": window, "softcap": softcap}, _HALVES, 16)
        for window, softcap, sinks in ((None, None, ()), (5, 3.0, (Arg((4,)),)))
    ],
    "attention_backward": [OpCase((Arg((2, 5, 4, 3)), Arg((2, 5, 4, 3)), Arg((2, 4, 5, 2), "large", kind), Arg((2, 5, 4, 6)), Arg((2, 7, 2, 6)), Arg((2, 7, 2, 3)), *mask), {"causal": causal, "scale": 0.4}, used, 32)
                           for mask, causal in (((), False), ((Arg((1, 1, 5, 7), "bool"),), False), ((Arg((2, 4, 5, 1)),), True)) for kind, used in ((d.float32, _HALVES), (d.float64, (d.float64,)))],
    "normalize_by": [OpCase((Arg((2, 3)), Arg((3,)), Arg((3,), P), 0.1, Arg((3,)), Arg((3,))), {}, FLOATS, 8)],
    "running_average": [OpCase((Arg((3,)), Arg((3,)), 0.1, 1.5), {}, FLOATS, 4)],
    **_losses("l1", "squared_error", "margin_ranking", "hinge_embedding", "cosine_embedding", "triplet_margin", "soft_margin", "poisson_nll_log", "kl_div_log"),
    **_losses("smooth_l1", "huber", "gaussian_nll"),
    **_losses("binary_cross_entropy", values=("half", "half")), **_losses("binary_cross_entropy_with_logits", values=(S, "half", P)),
    **_losses("kl_div", values=(A, P)), **_losses("poisson_nll", values=(P, A, P)), **_losses("stirling", values=("above",)),
}  # fmt: skip

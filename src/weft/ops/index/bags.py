"""``embedding_bag``: the sum, mean or maximum of rows of a table over bags of indices."""

from __future__ import annotations

from weft import dtypes
from weft.errors import ArgumentError, ShapeError, UnsupportedError, mistake
from weft.ops.index.index_tensors import counted, filled
from weft.ops.index.indexing import embedding
from weft.ops.index.rows import index_add
from weft.ops.index.scattering import scatter_reduce
from weft.ops.index.selection import where
from weft.ops.reduce.searching import searchsorted
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.views.movement import expand, reshape, unsqueeze

MODES = ("sum", "mean", "max")


def _check(input: Tensor, offsets: Tensor | None, mode: str, weights: Tensor | None) -> None:
    name = "embedding_bag"
    if mode not in MODES:
        raise ArgumentError(mistake(name, "mode", repr(mode), f"one of {', '.join(map(repr, MODES))}"))
    shape = tuple(arguments.tensor(name, "input", input).shape)
    if len(shape) not in (1, 2):
        raise ShapeError(mistake(name, "input's shape", shape, "(bags, indices), or (indices) with offsets"))
    if (offsets is None) == (len(shape) == 1):
        expected = "offsets (bags)" if offsets is None else "None, as the input has 2 dimensions"
        raise ArgumentError(mistake(name, "offsets", None if offsets is None else "given", expected))
    if offsets is not None and len(offsets.shape) != 1:
        raise ShapeError(mistake(name, "offsets", f"{len(offsets.shape)}-dimensional", "1-dimensional"))
    if weights is not None and mode != "sum":
        raise UnsupportedError(mistake(name, "mode", repr(mode), "'sum' with per_sample_weights"))
    if weights is not None and tuple(weights.shape) != shape:
        found = tuple(weights.shape)
        raise ShapeError(mistake(name, "per_sample_weights' shape", found, f"{shape}, as the input's"))


@function(functional=True, method=False, top=False, wide=True)
def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or maximum over each bag of the rows of ``weight`` (num_embeddings, D) that ``input`` names.

    The result is (bags, D). ``input`` is (bags, indices), or (indices) with ``offsets`` (bags), where each bag begins;
    with ``include_last_offset`` the last offset is the end of the last bag. ``per_sample_weights`` of the input's shape
    scale the rows of a sum. The row ``padding_idx`` does not count; a bag without rows gives 0. ``max_norm``,
    ``scale_grad_by_freq`` and ``sparse`` raise ``UnsupportedError``.

    >>> import weft as wf
    >>> table = wf.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> wf.nn.functional.embedding_bag(wf.tensor([0, 1, 1]), table, wf.tensor([0, 2]), mode="sum").tolist()
    [[4.0, 6.0], [3.0, 4.0]]
    """
    _check(input, offsets, mode, per_sample_weights)
    flat = reshape(input, input.numel())
    rows = embedding(flat, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse)
    places = counted(flat, input.numel())
    if offsets is None:
        bags, length = input.shape
        owner = places // max(length, 1)
    else:
        starts = offsets[:-1] if include_last_offset else offsets
        bags = starts.shape[0]
        owner = searchsorted(starts.to(dtypes.int64), places, right=True) - 1
    if per_sample_weights is not None:
        rows = rows * unsqueeze(reshape(per_sample_weights, input.numel()), -1)
    counts, kept = filled(rows, 1.0, (input.numel(),)), None
    if padding_idx is not None:
        kept = flat != padding_idx % weight.shape[0]
        counts = kept.to(rows.dtype)
    shape = (bags, rows.shape[1])
    nothing = filled(rows, 0.0, shape)
    if mode != "max":
        rows = rows if kept is None else where(unsqueeze(kept, -1), rows, 0.0)
        total = index_add(nothing, 0, owner, rows)
        if mode == "sum":
            return total
    sizes = unsqueeze(index_add(filled(rows, 0.0, (bags,)), 0, owner, counts), -1)
    if mode == "mean":
        return total / sizes.clamp(min=1.0)
    rows = rows if kept is None else where(unsqueeze(kept, -1), rows, -float("inf"))
    most = scatter_reduce(
        nothing, 0, expand(unsqueeze(owner, -1), *rows.shape), rows, "amax", include_self=False
    )
    return where(sizes > 0.0, most, 0.0)

"""PyTorch's names and places of arguments, where they differ from those of weft's function.

``function`` looks every public function up here. NumPy's names (``axis``, ``keepdims``) hold for all functions and are
in ``signatures``.
"""

from __future__ import annotations

import functools
import inspect
import sys
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

KEYWORDS: dict[str, dict[str, str]] = {
    "broadcast_to": {"size": "shape"},
    "dsplit": {
        "indices": "split_size_or_sections",
        "sections": "split_size_or_sections",
    },
    "expand": {"size": "sizes"},
    "heaviside": {"values": "other"},
    "hsplit": {
        "indices": "split_size_or_sections",
        "sections": "split_size_or_sections",
    },
    "isin": {"element": "elements", "test_element": "test_elements"},
    "max": {"other": "dim"},
    "min": {"other": "dim"},
    "scatter": {"value": "src"},
    "scatter_": {"value": "src"},
    "split": {"split_size": "split_size_or_sections", "split_sizes": "split_size_or_sections"},
    "tensor_split": {
        "indices": "indices_or_sections",
        "sections": "indices_or_sections",
        "tensor_indices_or_sections": "indices_or_sections",
    },
    "vdot": {"other": "tensor"},
    "vector_norm": {"input": "x"},
    "view": {"size": "shape"},
    "vsplit": {
        "indices": "split_size_or_sections",
        "sections": "split_size_or_sections",
    },
}
"""Further names of arguments, by function: each with the name of the argument."""

NEUTRAL: dict[str, tuple[str, ...]] = {
    "clone": ("memory_format",),
    "contiguous": ("memory_format",),
    "expand": ("implicit",),
    "gather": ("sparse_grad",),
    "log_softmax": ("_stacklevel",),
    "softmax": ("_stacklevel",),
    "softmin": ("_stacklevel",),
}
"""Arguments that have no effect in weft, by function (rows of ``signatures.NEUTRAL``)."""

_REDUCED = "size_average reduce reduction"
REDUCED: dict[str, str] = {
    "binary_cross_entropy": f"input target weight {_REDUCED}",
    "binary_cross_entropy_with_logits": f"input target weight {_REDUCED} pos_weight",
    "cosine_embedding_loss": f"input1 input2 target margin {_REDUCED}",
    "cross_entropy": "input target weight size_average ignore_index reduce reduction label_smoothing",
    "hinge_embedding_loss": f"input target margin {_REDUCED}",
    "kl_div": f"input target {_REDUCED} log_target",
    "l1_loss": f"input target {_REDUCED} weight",
    "margin_ranking_loss": f"input1 input2 target margin {_REDUCED}",
    "mse_loss": f"input target {_REDUCED} weight",
    "multi_margin_loss": f"input target p margin weight {_REDUCED}",
    "nll_loss": "input target weight size_average ignore_index reduce reduction",
    "poisson_nll_loss": "input target log_input full size_average eps reduce reduction",
    "smooth_l1_loss": f"input target {_REDUCED} beta",
    "soft_margin_loss": f"input target {_REDUCED}",
    "triplet_margin_loss": f"anchor positive negative margin p eps swap {_REDUCED}",
}
"""Losses that take PyTorch's deprecated ``size_average`` and ``reduce``, with the order of their arguments there."""


def reduction_of(size_average: bool | None, reduce: bool | None) -> str:
    """Return the ``reduction`` that the two deprecated arguments mean.

    >>> reduction_of(False, None), reduction_of(None, False)
    ('sum', 'none')
    """
    if reduce is False:
        return "none"
    return "sum" if size_average is False else "mean"


def advise(words: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the line of the caller outside of weft."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "weft":
        level, frame = level + 1, frame.f_back
    warnings.warn(words, category, stacklevel=level)


def reduction_in_force(where: str, size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """Return ``reduction``; where a deprecated argument is given, warn and return the reduction that it means."""
    if size_average is None and reduce is None:
        return reduction
    reduction = reduction_of(size_average, reduce)
    advise(f"{where}: size_average and reduce are deprecated, write reduction={reduction!r}")
    return reduction


def with_deprecated(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a loss with PyTorch's deprecated arguments in their places; return other functions as they are."""
    if name not in REDUCED:
        return function
    order = REDUCED[name].split()
    given = inspect.signature(function)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        given.parameters[argument].replace(kind=kind)
        if argument in given.parameters
        else inspect.Parameter(argument, kind, default=None, annotation="bool | None")
        for argument in order
    ]

    def call(*values: Any) -> Any:
        arguments = dict(zip(order, values, strict=True))
        deprecated = arguments.pop("size_average"), arguments.pop("reduce")
        if deprecated != (None, None):
            arguments["reduction"] = reduction_in_force(name, *deprecated, arguments["reduction"])
        return function(**arguments)

    functools.update_wrapper(call, function)
    call.__signature__ = given.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call

"""Public functions that exist for one, two and three spatial dimensions: their parameters are written once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from weft.ops.registry.functions import function


def by_rank(
    name: str, docs: Mapping[int, str], **options: Any
) -> Callable[[Callable[..., Any]], dict[int, Callable[..., Any]]]:
    """Return a decorator that registers a public function for each number of spatial dimensions.

    The decorated function takes the number of dimensions before the public arguments. The decorator returns the
    registered functions by number of dimensions, for callers within weft.

    Args:
        name: the public name, with ``{}`` for the number of dimensions.
        docs: the docstring for each number of dimensions.
        options: the options of ``function``.
    """

    def register(body: Callable[..., Any]) -> dict[int, Callable[..., Any]]:
        functions: dict[int, Callable[..., Any]] = {}
        for rank, doc in docs.items():
            target, public = partial(body, rank), name.format(rank)
            vars(target).update(__name__=public, __qualname__=public, __module__=body.__module__, __doc__=doc)
            functions[rank] = function(**options)(target)
        return functions

    return register

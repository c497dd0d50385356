"""Trees of arguments and results in transforms: their structure, their leaves, and prefixes of trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, mistake
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten, is_record


def structure(tree: Any) -> Any:
    """Return the structure of a tree without its leaves; trees of one structure have equal results.

    >>> structure({"a": 1, "b": (2, 3)}) == structure({"a": 4, "b": (5, 6)})
    True
    """
    if isinstance(tree, dict):
        return ("dict", *((key, structure(value)) for key, value in tree.items()))
    if isinstance(tree, tuple | list):
        return (type(tree).__name__, *map(structure, tree))
    if is_record(tree):
        parts = ((field.name, structure(getattr(tree, field.name))) for field in fields(tree))
        return (type(tree).__name__, *parts)
    return "tensor" if isinstance(tree, Tensor) else "leaf"


def outline(tree: Any) -> str:
    """Return the structure of a tree as text, with ``*`` for leaves.

    >>> outline({"a": 1, "b": (2, [3])})
    "{'a': *, 'b': (*, [*])}"
    """
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {outline(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, tuple | list):
        inside = ", ".join(map(outline, tree))
        return f"[{inside}]" if isinstance(tree, list) else f"({inside}{',' if len(tree) == 1 else ''})"
    return type(tree).__name__ if is_record(tree) else "*"


def tensors_of(where: str, name: str, tree: Any) -> tuple[list[Tensor], Callable[[list[Any]], Any]]:
    """Return the leaves of a tree, which must be tensors, and a function that rebuilds the tree."""
    leaves, rebuild = flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise ArgumentTypeError(
                mistake(where, name, f"a {type(leaf).__name__}", "a tree of tensors only")
            )
    return leaves, rebuild


def matching(where: str, name: str, given: Any, expected: Any) -> list[Tensor]:
    """Return the leaves of a tree that must have the structure and shapes of another, cast to the other's types."""
    if structure(given) != structure(expected):
        raise ArgumentTypeError(mistake(where, name, outline(given), f"of the structure {outline(expected)}"))
    found, _ = tensors_of(where, name, given)
    for tensor, like in zip(found, flatten(expected)[0], strict=True):
        if tuple(tensor.shape) != tuple(like.shape):
            raise ShapeError(mistake(where, f"the shape of {name}", tuple(tensor.shape), tuple(like.shape)))
    return [tensor if tensor.dtype is like.dtype else tensor.to(like.dtype)
            for tensor, like in zip(found, flatten(expected)[0], strict=True)]  # fmt: skip


def spread(where: str, name: str, prefix: Any, tree: Any) -> list[Any]:
    """Return a value for each leaf of a tree, from a prefix of the tree whose leaves are values.

    >>> spread("vmap", "in_dims", (0, None), ([1, 2], 3))
    [0, 0, None]
    """
    if prefix is None or (isinstance(prefix, int) and not isinstance(prefix, bool)):
        return [prefix] * len(flatten(tree)[0])
    same = type(prefix) is type(tree) or (isinstance(prefix, tuple | list) and isinstance(tree, tuple | list))
    keys = set(prefix) == set(tree) if isinstance(prefix, dict) and same else True
    if not isinstance(prefix, tuple | list | dict) or not same or len(prefix) != len(tree) or not keys:
        raise ArgumentError(
            mistake(where, name, repr(prefix), f"an int, None, or a tree of these like {outline(tree)}")
        )
    pairs = [(prefix[k], tree[k]) for k in tree] if isinstance(tree, dict) else zip(prefix, tree, strict=True)
    return [value for branch, part in pairs for value in spread(where, name, branch, part)]


def chosen(where: str, argnums: int | Sequence[int], count: int) -> list[int]:
    """Return the positions of the arguments in ``argnums``, counted from 0."""
    given: list[Any] = list(argnums) if isinstance(argnums, tuple | list) else [argnums]
    for argnum in given:
        if not isinstance(argnum, int) or isinstance(argnum, bool):
            raise ArgumentTypeError(mistake(where, "argnums", repr(argnums), "an int or a tuple of ints"))
        if not -count <= argnum < count:
            raise ArgumentError(
                mistake(where, "argnums", argnums, f"within the {count} positional arguments")
            )
    places = [value % count for value in given]
    if not places or len(set(places)) != len(places):
        raise ArgumentError(mistake(where, "argnums", argnums, "one position or more, each once"))
    return places


def with_aux(where: str, result: Any, has_aux: bool) -> tuple[Any, Any]:
    """Return a function's output and its auxiliary result, which is ``None`` without ``has_aux``."""
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise ArgumentTypeError(
            mistake(
                where,
                "the function's result",
                f"a {type(result).__name__}",
                "a pair (output, aux) with has_aux",
            )
        )
    return result

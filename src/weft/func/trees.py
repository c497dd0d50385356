"""What the transforms ask of trees of arguments and results: their structure, places in them, prefixes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, mistake
from weft.tensors.tensor import Tensor
from weft.utils.tree import flatten, is_record


def structure(tree: Any) -> Any:
    """How a tree is built, without its leaves: equal for trees of one structure.

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
    """A tree's structure as text: tensors as ``*``.

    >>> outline({"a": 1, "b": (2, [3])})
    "{'a': *, 'b': (*, [*])}"
    """
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {outline(value)}" for key, value in tree.items()) + "}"
    if isinstance(tree, tuple | list):
        inside = ", ".join(map(outline, tree))
        return f"[{inside}]" if isinstance(tree, list) else f"({inside}{',' if len(tree) == 1 else ''})"
    return type(tree).__name__ if is_record(tree) else "*"


def tensors_of(where: str, what: str, tree: Any) -> tuple[list[Tensor], Callable[[list[Any]], Any]]:
    """The leaves of a tree, which are all tensors, and how it is built from new ones."""
    leaves, rebuild = flatten(tree)
    for leaf in leaves:
        if not isinstance(leaf, Tensor):
            raise ArgumentTypeError(
                mistake(where, what, f"a {type(leaf).__name__}", "a tree of tensors only")
            )
    return leaves, rebuild


def matching(where: str, what: str, given: Any, expected: Any) -> list[Tensor]:
    """The leaves of a tree that is like another one: of its structure, and of the shapes of its tensors."""
    if structure(given) != structure(expected):
        raise ArgumentTypeError(mistake(where, what, outline(given), f"of the structure {outline(expected)}"))
    found, _ = tensors_of(where, what, given)
    for tensor, like in zip(found, flatten(expected)[0], strict=True):
        if tuple(tensor.shape) != tuple(like.shape):
            raise ShapeError(mistake(where, f"the shape of {what}", tuple(tensor.shape), tuple(like.shape)))
    return [tensor if tensor.dtype is like.dtype else tensor.to(like.dtype)
            for tensor, like in zip(found, flatten(expected)[0], strict=True)]  # fmt: skip


def spread(where: str, what: str, prefix: Any, tree: Any) -> list[Any]:
    """A value for each leaf of a tree, from a value for all, or a tree that branches as it does as far as it goes.

    >>> spread("vmap", "in_dims", (0, None), ([1, 2], 3))
    [0, 0, None]
    """
    if prefix is None or (isinstance(prefix, int) and not isinstance(prefix, bool)):
        return [prefix] * len(flatten(tree)[0])
    same = type(prefix) is type(tree) or (isinstance(prefix, tuple | list) and isinstance(tree, tuple | list))
    keys = set(prefix) == set(tree) if isinstance(prefix, dict) and same else True
    if not isinstance(prefix, tuple | list | dict) or not same or len(prefix) != len(tree) or not keys:
        raise ArgumentError(
            mistake(where, what, repr(prefix), f"an int, None, or a tree of these like {outline(tree)}")
        )
    pairs = [(prefix[k], tree[k]) for k in tree] if isinstance(tree, dict) else zip(prefix, tree, strict=True)
    return [value for branch, part in pairs for value in spread(where, what, branch, part)]


def chosen(where: str, argnums: int | Sequence[int], count: int) -> list[int]:
    """The positions of the arguments that ``argnums`` names."""
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
    """A function's result and what it gives beside it."""
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

"""``einsum`` and ``tensordot``: contractions over labelled dimensions, as matrix products of views.

Operands are contracted from left to right, two at a time. Labels that both operands have are batch dimensions of the
product where a later operand or the output has them, and else its summed dimension. All other labels stay.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, mistake
from weft.ops.make.creation import to_dtype
from weft.ops.matmul.linear import MATMUL
from weft.ops.registry import arguments
from weft.ops.registry.annotations import Tensor
from weft.ops.registry.functions import function
from weft.ops.registry.interpreters import bind
from weft.ops.registry.rounding import NARROW, rounded_once
from weft.ops.registry.table import lookup

Labels = tuple[str, ...]
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Term:
    """A value and the label of each of its dimensions."""

    value: Any
    labels: Labels

    def size(self, label: str) -> int:
        """Return the size of a labelled dimension."""
        return int(self.value.shape[self.labels.index(label)])

    def ordered(self, labels: Sequence[str]) -> Term:
        """Permute the dimensions into the order of ``labels``."""
        if tuple(labels) == self.labels:
            return self
        order = tuple(self.labels.index(label) for label in labels)
        return Term(bind(lookup("permute"), self.value, order=order), tuple(labels))

    def summed(self, kept: Sequence[str]) -> Term:
        """Sum over the dimensions whose labels are not in ``kept``."""
        dims = tuple(d for d, label in enumerate(self.labels) if label not in kept)
        if not dims:
            return self
        total = bind(lookup("sum"), self.value, dims=dims, keepdim=False)
        # the sum of integers is int64, but a product keeps its operands' type
        total = (
            total if total.dtype is self.value.dtype else bind(lookup("cast"), total, dtype=self.value.dtype)
        )
        return Term(total, tuple(label for label in self.labels if label in kept))


def _split(where: str, equation: str, count: int) -> tuple[list[str], str | None]:
    """Return the operands' subscripts, and the output's or ``None`` where the equation has no ``->``."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != count:
        raise ArgumentError(
            mistake(where, "equation", repr(equation), f"subscripts for the {count} operands given")
        )
    for part in (*inputs, right):
        if any(char not in LETTERS for char in part.replace("...", "", 1)):
            raise ArgumentError(
                mistake(where, "equation", repr(equation), "letters, an ellipsis, ',' and '->'")
            )
    return inputs, right if arrow else None


def _labels(where: str, part: str, rank: int) -> Labels:
    """Return a label for each dimension; dimensions of the ellipsis are ``.0 .1 …``, counted from the right."""
    before, dots, after = part.partition("...")
    hidden = rank - len(before) - len(after)
    if hidden < 0 or (hidden and not dots):
        expected = f"{len(before) + len(after)} dimensions"
        raise ShapeError(mistake(where, f"operand of subscripts {part!r}", f"{rank}-dimensional", expected))
    return (*before, *(f".{place}" for place in reversed(range(hidden))), *after)


def _output(equation: str, given: str | None, operands: Sequence[Labels]) -> Labels:
    """Return the output's labels; without ``->`` the ellipsis, then labels that appear once, alphabetically."""
    counts = Counter(label for labels in operands for label in labels)
    dots = tuple(
        sorted((label for label in counts if label.startswith(".")), key=lambda label: -int(label[1:]))
    )
    if given is None:
        return (*dots, *sorted(label for label, n in counts.items() if n == 1 and not label.startswith(".")))
    before, ellipsis, after = given.partition("...")
    labels = (*before, *(dots if ellipsis else ()), *after)
    unknown = [label for label in labels if label not in counts]
    if unknown or len(set(labels)) != len(labels):
        raise ArgumentError(
            mistake("einsum", "equation", repr(equation), "output subscripts once, of the inputs")
        )
    return labels


def _diagonal(term: Term) -> Term:
    """Replace repeated labels of a term by the diagonal of their dimensions, a view."""
    value, labels = term.value, term.labels
    while len(set(labels)) != len(labels):
        label = next(label for label, n in Counter(labels).items() if n > 1)
        first = labels.index(label)
        second = labels.index(label, first + 1)
        size = value.shape[first]
        if value.shape[second] != size:
            given = f"{size} and {value.shape[second]}"
            raise ShapeError(mistake("einsum", f"sizes of subscript {label!r}", given, "equal"))
        rest = [d for d in range(len(labels)) if d not in (first, second)]
        value = bind(lookup("diagonal"), value, offset=0, dim1=first, dim2=second)
        labels = (*(labels[d] for d in rest), label)
    return Term(value, labels)


def _sizes(terms: Sequence[Term]) -> dict[str, int]:
    """Return the size of each label, broadcast over the terms; ``ShapeError`` where sizes differ."""
    sizes: dict[str, int] = {}
    for term in terms:
        for label, size in zip(term.labels, term.value.shape, strict=True):
            known = sizes.setdefault(label, size)
            if known == 1:
                sizes[label] = size
            elif size not in (1, known):
                raise ShapeError(
                    mistake(
                        "einsum", f"sizes of subscript {label!r}", f"{known} and {size}", "equal sizes or 1"
                    )
                )
    return sizes


def _without_ones(term: Term, sizes: dict[str, int]) -> Term:
    """Drop the dimensions of size 1 that broadcast against another operand's dimension."""
    kept = [d for d, label in enumerate(term.labels) if term.value.shape[d] == sizes[label]]
    if len(kept) == len(term.labels):
        return term
    shape = tuple(term.value.shape[d] for d in kept)
    return Term(bind(lookup("reshape"), term.value, shape=shape), tuple(term.labels[d] for d in kept))


def _spread(term: Term, labels: Labels) -> Any:
    """Return a term's value with a dimension for each label, of size 1 where the term lacks the label."""
    ordered = term.ordered([label for label in labels if label in term.labels])
    shape = tuple(term.size(label) if label in term.labels else 1 for label in labels)
    return bind(lookup("reshape"), ordered.value, shape=shape)


def contract(left: Term, right: Term, kept: Sequence[str]) -> Term:
    """Multiply two terms and sum over the labels that are not in ``kept``."""
    left, right = (
        left.summed([label for label in left.labels if label in kept or label in right.labels]),
        right.summed([label for label in right.labels if label in kept or label in left.labels]),
    )
    batch = [label for label in left.labels if label in right.labels and label in kept]
    inner = [label for label in left.labels if label in right.labels and label not in kept]
    rows = [label for label in left.labels if label not in right.labels]
    columns = [label for label in right.labels if label not in left.labels]
    labels = (*batch, *rows, *columns)
    shape = tuple((left if label in left.labels else right).size(label) for label in labels)
    reshape = lookup("reshape")
    if not inner:
        wanted = tuple(label for label in dict.fromkeys(kept) if label in labels)
        return Term(bind(lookup("mul"), _spread(left, wanted), _spread(right, wanted)), wanted)
    a, b = left.ordered((*batch, *rows, *inner)), right.ordered((*batch, *inner, *columns))
    batches, depth = tuple(a.size(label) for label in batch), math.prod(a.size(label) for label in inner)
    height, width = math.prod(a.size(label) for label in rows), math.prod(b.size(label) for label in columns)
    product = bind(
        MATMUL,
        bind(reshape, a.value, shape=(*batches, height, depth)),
        bind(reshape, b.value, shape=(*batches, depth, width)),
    )
    return Term(bind(reshape, product, shape=shape), labels)


def _by_output(left: Term, right: Term, output: Labels) -> tuple[Term, Term]:
    """Order two terms as the output orders their labels, so that their product is contiguous."""
    first = next((label for label in output if (label in left.labels) != (label in right.labels)), None)
    return (left, right) if first is None or first in left.labels else (right, left)


def _from_sublists(given: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return the equation and the operands of ``einsum(a, [0, 1], b, [1, ...], [0, ...])``."""

    def text(places: Sequence[Any]) -> str:
        numbers = (
            place if place is Ellipsis else arguments.integer("einsum", "subscript", place)
            for place in places
        )
        return "".join("..." if number is Ellipsis else LETTERS[number] for number in numbers)

    pairs = len(given) // 2
    equation = ",".join(text(given[2 * at + 1]) for at in range(pairs))
    if len(given) % 2:
        equation += "->" + text(given[-1])
    return equation, [given[2 * at] for at in range(pairs)]


@function(method=False)
def einsum(equation: Any, *operands: Any) -> Tensor:
    """Return a sum of products by Einstein's summation convention, as ``torch.einsum``: ``einsum("ik,kj->ij", x, y)``.

    A subscript that is repeated in one operand reads its diagonal; ``...`` stands for dimensions that broadcast.
    Without ``->`` the output has the subscripts that appear once, in alphabetical order. Subscripts may also be lists
    of numbers: ``einsum(x, [0, 1], y, [1, 2])``.

    >>> import weft as wf
    >>> wf.einsum("ij,j", wf.tensor([[1.0, 2.0], [3.0, 4.0]]), wf.tensor([1.0, 10.0]))
    tensor([21., 43.])
    """
    values: Sequence[Any] = operands
    if not isinstance(equation, str):
        equation, values = _from_sublists((equation, *operands))
    elif len(operands) == 1 and isinstance(operands[0], list | tuple):
        values = operands[0]
    if not values:
        raise ArgumentTypeError(mistake("einsum", "operands", "none", "at least one tensor"))
    for position, value in enumerate(values):
        arguments.tensor("einsum", f"operands[{position}]", value)
    inputs, given = _split("einsum", equation, len(values))
    labels = [_labels("einsum", part, len(value.shape)) for part, value in zip(inputs, values, strict=True)]
    output = _output(equation, given, labels)
    if len(values) > 2 and any(value.dtype in NARROW for value in values):
        return rounded_once(einsum)(equation, *values)
    terms = [_diagonal(Term(value, names)) for value, names in zip(values, labels, strict=True)]
    sizes = _sizes(terms)
    terms = [_without_ones(term, sizes) for term in terms]
    result = terms[0]
    for place, term in enumerate(terms[1:], 1):
        later = [label for other in terms[place + 1 :] for label in other.labels]
        pair = (result, term) if later else _by_output(result, term, output)
        result = contract(*pair, (*output, *later))
    return result.summed(output).ordered(output).value


def _summed_to_one(value: Any, dim: int) -> Any:
    """Sum along a dimension and keep it with size 1; integers keep their type."""
    if value.shape[dim] == 1:
        return value
    return to_dtype(bind(lookup("sum"), value, dims=(dim,), keepdim=True), value.dtype)


@function(method=False, out=True, autocast="widest")
def tensordot(a: Tensor, b: Tensor, dims: Any = 2) -> Tensor:
    """Multiply two tensors and sum over pairs of their dimensions, as ``torch.tensordot``.

    The pairs are the last ``dims`` dimensions of ``a`` with the first of ``b``, or those of two lists of dimensions.

    >>> import weft as wf
    >>> wf.tensordot(wf.ones(2, 3, 4), wf.ones(3, 4, 5)).shape
    (2, 5)
    """
    arguments.tensor("tensordot", "a", a)
    arguments.tensor("tensordot", "b", b)
    ranks = len(a.shape), len(b.shape)
    if isinstance(dims, Sequence):
        given = [[dim] if isinstance(dim, int) else list(dim) for dim in dims]
        if len(given) != 2 or len(given[0]) != len(given[1]):
            raise ArgumentError(mistake("tensordot", "dims", dims, "an int, or two lists of one length"))
        first, second = (
            [arguments.dimension("tensordot", d, rank, "dims") for d in listed]
            for listed, rank in zip(given, ranks, strict=True)
        )
    else:
        count = arguments.integer("tensordot", "dims", dims)
        if not 0 <= count <= min(ranks):
            raise ArgumentError(mistake("tensordot", "dims", dims, f"0 to {min(ranks)}"))
        first, second = list(range(ranks[0] - count, ranks[0])), list(range(count))
    for in_a, in_b in zip(first, second, strict=True):
        sizes = a.shape[in_a], b.shape[in_b]
        if 1 in sizes:  # as in PyTorch, a size of 1 broadcasts: the other dimension is summed
            a, b = _summed_to_one(a, in_a), _summed_to_one(b, in_b)
        elif sizes[0] != sizes[1]:
            where = f"sizes at dimensions {in_a} and {in_b}"
            raise ShapeError(mistake("tensordot", where, f"{sizes[0]} and {sizes[1]}", "equal"))
    left = tuple(f"s{first.index(d)}" if d in first else f"a{d}" for d in range(ranks[0]))
    right = tuple(f"s{second.index(d)}" if d in second else f"b{d}" for d in range(ranks[1]))
    kept = [label for label in (*left, *right) if not label.startswith("s")]
    return contract(Term(a, left), Term(b, right), kept).ordered(kept).value

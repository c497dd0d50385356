"""Many texts at once: with a zero byte between them, one pass encodes or decodes them all, and finds their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy

from weft.metatensor.kinds import Array, raw
from weft.metatensor.misfit import Misfit


def joined(name: str, encode: Callable[[Any], bytes], values: Iterable[Any]) -> tuple[bytes, Array]:
    """The bytes of many texts, one after the other, and how many each has; ``Misfit`` names the one that is wrong."""
    texts = values if isinstance(values, list) else list(values)
    if name == "String" and texts:
        try:
            plain = "".join(texts)
            if plain.isascii():  # characters and bytes count the same
                return plain.encode(), numpy.fromiter(map(len, texts), numpy.int64, len(texts))
            whole = "\0".join(texts).encode()
        except (TypeError, UnicodeEncodeError):
            pass  # below, where the index is known
        else:
            ends = numpy.flatnonzero(numpy.frombuffer(whole, numpy.uint8) == 0)
            if len(ends) == len(texts) - 1:  # else some text has a zero of its own
                return whole.translate(None, b"\0"), numpy.diff(ends, prepend=-1, append=len(whole)) - 1
    parts = []
    for index, text in enumerate(texts):
        try:
            parts.append(encode(text))
        except Misfit as misfit:
            raise misfit.within(index) from None
    return b"".join(parts), numpy.fromiter(map(len, parts), numpy.int64, len(parts))


def separated(data: memoryview, starts: Array, ends: Array) -> list[str] | None:
    """The texts between those bounds, which are in range; None where they are not in order, or no UTF-8."""
    if not len(starts) or (starts[1:] != ends[:-1]).any():
        return None
    whole = numpy.frombuffer(data[int(starts[0]) : int(ends[-1])] or b"", numpy.uint8)
    if not whole.all():
        return None
    spaced = numpy.zeros(len(whole) + len(starts) - 1, numpy.uint8)
    own = numpy.ones(len(spaced), bool)
    own[ends[:-1] - starts[0] + numpy.arange(len(starts) - 1)] = False
    spaced[own] = whole
    try:
        return str(raw(spaced), "utf-8").split("\0")
    except UnicodeDecodeError:  # a zero stands between two texts: none can borrow from the next
        return None

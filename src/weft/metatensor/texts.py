"""Encoding and decoding of many texts at once: they are joined by zero bytes, which also mark where texts end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy

from weft.metatensor.kinds import Array, raw
from weft.metatensor.misfit import Misfit


def joined(name: str, encode: Callable[[Any], bytes], values: Iterable[Any]) -> tuple[bytes, Array]:
    """Return the concatenated bytes of texts, and the length of each; ``Misfit`` names an invalid text."""
    texts = values if isinstance(values, list) else list(values)
    if name == "String" and texts:
        try:
            plain = "".join(texts)
            if plain.isascii():  # characters and bytes count the same
                return plain.encode(), numpy.fromiter(map(len, texts), numpy.int64, len(texts))
            whole = "\0".join(texts).encode()
        except (TypeError, UnicodeEncodeError):
            pass  # the loop below raises an error with the index of the text
        else:
            ends = numpy.flatnonzero(numpy.frombuffer(whole, numpy.uint8) == 0)
            if len(ends) == len(texts) - 1:  # else some text contains a zero byte
                return whole.translate(None, b"\0"), numpy.diff(ends, prepend=-1, append=len(whole)) - 1
    parts = []
    for index, text in enumerate(texts):
        try:
            parts.append(encode(text))
        except Misfit as misfit:
            raise misfit.within(index) from None
    return b"".join(parts), numpy.fromiter(map(len, parts), numpy.int64, len(parts))


def separated(data: memoryview, starts: Array, ends: Array) -> list[str] | None:
    """Return the texts between bounds that are in range; None if they are not adjacent and in order, or not UTF-8."""
    if not len(starts) or (starts[1:] != ends[:-1]).any():
        return None
    whole = numpy.frombuffer(data[int(starts[0]) : int(ends[-1])] or b"", numpy.uint8)
    if not whole.all():
        return None
    spaced = numpy.zeros(len(whole) + len(starts) - 1, numpy.uint8)
    is_text = numpy.ones(len(spaced), bool)
    is_text[ends[:-1] - starts[0] + numpy.arange(len(starts) - 1)] = False
    spaced[is_text] = whole
    try:
        return str(raw(spaced), "utf-8").split("\0")
    except UnicodeDecodeError:  # the zeros keep a cut-off character of one text from joining the next text
        return None

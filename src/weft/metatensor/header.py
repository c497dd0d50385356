"""The header: its length in eight bytes, JSON, spaces up to a 64-byte boundary. Reading treats it as untrusted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

from weft.errors import FormatError, mistake
from weft.metatensor.misfit import short

VERSION = 1
BOUNDARY = 64
MOST_HEADER = 100_000_000
"""The most bytes of a header; a model of a million tensors has a header of about this size."""
MOST_LEVELS = 200
MOST_VALUES = 4_000_000
"""The most objects, lists and items in a header: parsed JSON takes many times its bytes, and this bounds them."""

KEYS = ("metatensor", "endian", "metadata", "schema", "offsets")


def encode(header: Mapping[str, Any]) -> bytes:
    """Return the header's bytes with length and padding; the data begins after them.

    The metadata must be what ``parse`` accepts: nested to at most ``MOST_LEVELS``, each key once.
    """
    try:
        text = _text(header)
        parse("save", _text({"metadata": header.get("metadata", {})}))
    except RecursionError:
        raise FormatError(
            mistake("save", "the header", "nested too deep", f"at most {MOST_LEVELS} levels")
        ) from None
    text += b" " * (-(8 + len(text)) % BOUNDARY)
    if len(text) > MOST_HEADER:
        raise FormatError(mistake("save", "the header", f"{len(text)} bytes", f"at most {MOST_HEADER}"))
    return len(text).to_bytes(8, "little") + text


def _text(tree: Any) -> bytes:
    return json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def length(where: str, start: bytes, size: int) -> int:
    """Return the header's length from the first eight bytes of a file of ``size`` bytes."""
    if len(start) < 8:
        raise FormatError(
            mistake(where, "the file", f"{len(start)} bytes long", "at least 8: a header's length")
        )
    count = int.from_bytes(start, "little")
    if count > MOST_HEADER or count > size - 8:
        most = min(MOST_HEADER, size - 8)
        raise FormatError(
            mistake(where, "the header's length", count, f"at most {most} in a file of {size} bytes",
                    "it is no metatensor or safetensors file, or not a whole one")
        )  # fmt: skip
    return count


def parse(where: str, data: bytes) -> dict[str, Any]:
    """Return the header as plain data; raise ``FormatError`` unless it is one JSON object without duplicate keys."""

    def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        parsed = dict(pairs)
        if len(parsed) != len(pairs):
            seen: set[str] = set()
            twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            raise FormatError(
                mistake(where, "the header", f"the key {short(repr(twice))} twice", "each key once")
            )
        return parsed

    def constant(name: str) -> Any:
        raise FormatError(mistake(where, "the header", f"the number {name}", "finite numbers"))

    if sum(map(data.count, (b"[", b"{", b","))) > MOST_VALUES:
        raise FormatError(mistake(where, "the header", "too many values", f"at most {MOST_VALUES}"))
    try:
        header = json.loads(data.decode(), object_pairs_hook=without_duplicates, parse_constant=constant)
    except UnicodeDecodeError as error:
        raise FormatError(mistake(where, "the header", f"not UTF-8 at byte {error.start}", "JSON")) from None
    except RecursionError:
        raise FormatError(
            mistake(where, "the header", "nested too deep", f"at most {MOST_LEVELS} levels")
        ) from None
    except FormatError:
        raise
    except ValueError as error:  # a JSONDecodeError, or an integer of more digits than Python converts
        raise FormatError(mistake(where, "the header", f"no JSON ({short(error)})", "JSON")) from None
    if not isinstance(header, dict):
        raise FormatError(mistake(where, "the header", f"a {type(header).__name__}", "an object"))
    _shallow(where, header)
    return header


def _shallow(where: str, tree: Any) -> None:
    level = [tree]
    for _ in range(MOST_LEVELS):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise FormatError(mistake(where, "the header", "nested too deep", f"at most {MOST_LEVELS} levels"))


def is_safetensors(header: Mapping[str, Any]) -> bool:
    """Return whether a header is a safetensors header, in which a tensor may be named ``metatensor``."""
    return isinstance(header.get("metatensor", {}), dict)


def check(where: str, header: Mapping[str, Any]) -> None:
    """Raise ``FormatError`` unless a metatensor header has all keys, the right types and a known version."""
    version = header["metatensor"]
    if version is True or not isinstance(version, int) or version < 1:
        raise FormatError(
            mistake(
                where, "metatensor (the version)", short(repr(version)), f"an integer from 1 to {VERSION}"
            )
        )
    if version > VERSION:
        raise FormatError(
            mistake(
                where,
                "metatensor (the version)",
                version,
                f"at most {VERSION}",
                "a newer weft wrote it: upgrade",
            )
        )
    strange = next((key for key in header if key not in KEYS), None)
    if strange is not None:
        raise FormatError(
            mistake(where, "the header", f"the key {short(repr(strange))}", f"only {', '.join(KEYS)}")
        )
    if header.get("endian", "little") not in ("little", "big"):
        raise FormatError(mistake(where, "endian", short(repr(header["endian"])), "'little' or 'big'"))
    for key in ("schema", "offsets", "metadata"):
        if not isinstance(header.get(key, {} if key == "metadata" else None), dict):
            raise FormatError(mistake(where, key, short(repr(header.get(key))), "an object"))


def span(where: str, name: str, given: Any, size: int) -> tuple[int, int]:
    """Return an entry of the offset table, checked against the size of the data."""
    if not isinstance(given, Sequence) or len(given) != 2 or not all(type(bound) is int for bound in given):
        raise FormatError(
            mistake(where, f"offsets of {short(repr(name))}", short(repr(given)), "[start, end]")
        )
    start, end = given
    if not 0 <= start <= end <= size:
        raise FormatError(
            mistake(
                where, f"offsets of {short(repr(name))}", short(repr(given)), f"0 <= start <= end <= {size}"
            )
        )
    return start, end


def no_overlap(where: str, spans: Mapping[str, tuple[int, int]]) -> None:
    """Raise ``FormatError`` if two ranges overlap."""
    held = sorted((bounds, name) for name, bounds in spans.items() if bounds[0] < bounds[1])
    for (before, first), (after, second) in itertools.pairwise(held):
        if after[0] < before[1]:
            raise FormatError(
                mistake(where, f"offsets of {short(repr(second))}", list(after),
                        f"no bytes of {short(repr(first))}, which has {list(before)}")
            )  # fmt: skip

"""``chunks`` turns a file into one stream for each part; ``Receiver`` assembles the parts in any order of arrival.

A network layer sends each ``Stream`` separately; nothing here opens a socket.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from weft.errors import ArgumentError, FormatError, mistake
from weft.metatensor import header as headers
from weft.metatensor.file import Contents, File, open, part
from weft.metatensor.kinds import aligned_room
from weft.metatensor.misfit import named, short

HEADER = ""
"""The name of the stream that carries the header; it is the first stream."""
CHUNK = 1 << 20
MOST_EARLY = 1 << 26
"""The most bytes that are kept of streams that arrive before the header."""


@dataclass(frozen=True)
class Stream:
    """The bytes of one part, ``size`` of them, in pieces; the header's stream has the name ``""``."""

    name: str
    size: int
    parts: Iterator[bytes]


def chunks(
    path: str | os.PathLike[str] | File,
    names: Iterable[str] | None = None,
    order: Callable[[str], Any] | None = None,
    chunk: int = CHUNK,
) -> Iterator[Stream]:
    """Iterate over the header's stream and then one stream for each part.

    ``names`` selects the parts and their order (None: all parts in the file's order); ``order`` is a key to sort them
    by. Pieces have ``chunk`` bytes. Raises ``ArgumentError`` for a name that is no part of the file.

    >>> import numpy, tempfile, os
    >>> from weft import metatensor as mt
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.mt")
    ...     mt.save(path, {"first": numpy.zeros(3), "second": numpy.ones(2)})
    ...     receiver = mt.Receiver()
    ...     for stream in mt.chunks(path, names=["second"]):
    ...         for piece in stream.parts:
    ...             for name in receiver.feed(stream.name, piece):
    ...                 print(name, receiver[name])
    second [1. 1.]
    """
    file = path if isinstance(path, File) else open(path)
    chosen = list(file if names is None else names)
    for name in chosen:
        if name not in file:
            raise ArgumentError(mistake("chunks", "names", repr(name), f"parts of {file.path}"))
    if len(set(chosen)) != len(chosen):
        raise ArgumentError(mistake("chunks", "names", "a name twice", "each name once"))
    if not isinstance(chunk, int) or chunk < 1:
        raise ArgumentError(mistake("chunks", "chunk", repr(chunk), "a number of bytes"))
    if order is not None:
        chosen.sort(key=order)
    return _streams(file, chosen, chunk)


def _streams(file: File, names: list[str], chunk: int) -> Iterator[Stream]:
    yield Stream(HEADER, file.start, _pieces([file.head()], chunk))
    for name in names:
        size = sum(end - start for start, end in file.ranges(name))
        yield Stream(name, size, _pieces((file.data(*span) for span in file.ranges(name)), chunk))


def _pieces(ranges: Iterable[memoryview], chunk: int) -> Iterator[bytes]:
    for view in ranges:
        for at in range(0, len(view), chunk):
            yield bytes(view[at : at + chunk])


class _Incoming:
    """A part that is being received: aligned memory for its bytes, filled from the front."""

    def __init__(self, size: int) -> None:
        self.bytes, self.done = aligned_room(size, headers.BOUNDARY), 0

    def take(self, data: memoryview) -> None:
        self.bytes[self.done : self.done + len(data)] = data
        self.done += len(data)


class Receiver:
    """Receives the pieces of ``chunks`` in any interleaving, and returns each part as soon as it is complete.

    Pieces of one stream arrive in order; streams may interleave, and may arrive before the header. Threads may feed and
    wait at the same time. ``limit`` bounds the bytes of all parts together, since a header may claim any number. See
    ``chunks`` for an example.
    """

    def __init__(self, limit: int = 1 << 36) -> None:
        self.limit = limit
        self._contents: Contents | None = None
        self._head, self._early = bytearray(), dict[str, bytearray]()
        self._incoming: dict[str, _Incoming] = {}
        self._ready: dict[str, Any] = {}
        self._taken = 0
        self._changed = threading.Condition()
        self._failure: BaseException | None = None

    def feed(self, name: str, data: bytes | bytearray | memoryview) -> list[str]:
        """Take the next piece of a stream; return the names of the parts that the piece completed.

        Raises ``FormatError`` for an invalid header, a stream that the header does not name, or more bytes than the
        header states. After an error the receiver stays failed.
        """
        with self._changed:
            if self._failure is not None:
                raise FormatError(
                    "Receiver.feed: an earlier piece was wrong, expected a new Receiver"
                ) from self._failure
            try:
                done = self._feed(name, memoryview(data))
            except FormatError as error:
                self._failure = error
                self._changed.notify_all()
                raise
            if done:
                self._changed.notify_all()
            return done

    def _feed(self, name: str, data: memoryview) -> list[str]:
        if name == HEADER:
            return self._feed_header(data)
        if self._contents is None:
            early = self._early.setdefault(name, bytearray())
            early += data
            if sum(map(len, self._early.values())) + 64 * len(self._early) > MOST_EARLY:
                raise FormatError(
                    mistake("Receiver", "data before the header", "too much", f"at most {MOST_EARLY} bytes")
                )
            return []
        if name not in self._contents.kinds:
            raise FormatError(
                mistake("Receiver", "the stream", short(repr(name)), "a part that the header names")
            )
        return self._fill(name, data)

    def _feed_header(self, data: memoryview) -> list[str]:
        if self._contents is not None:
            raise FormatError(mistake("Receiver", "the header", "longer than it says", "its own length"))
        self._head += data
        if len(self._head) < 8:
            return []
        count = headers.length("Receiver", bytes(self._head[:8]), headers.MOST_HEADER + 8)
        if len(self._head) < 8 + count:
            return []
        if len(self._head) > 8 + count:
            raise FormatError(
                mistake("Receiver", "the header", f"{len(self._head) - 8} bytes", f"the {count} it says")
            )
        header = headers.parse("Receiver", bytes(self._head[8:]))
        self._contents = Contents("Receiver", header, _claimed(header))
        if self._contents.size > self.limit:
            given = f"{self._contents.size} bytes"
            raise FormatError(
                mistake("Receiver", "the data", given, f"at most {self.limit}", "raise limit= for more")
            )
        empty = [name for name in self._contents.kinds if self._size(name) == 0]
        done = [completed for name in empty for completed in self._fill(name, memoryview(b""))]
        for name, early in self._early.items():
            done += self._feed(name, memoryview(early))
        self._early.clear()
        return done

    def _size(self, name: str) -> int:
        assert self._contents is not None
        return sum(end - start for start, end in self._contents.ranges(name))

    def _fill(self, name: str, data: memoryview) -> list[str]:
        assert self._contents is not None
        size = self._size(name)
        done = size if name in self._ready else self._incoming[name].done if name in self._incoming else 0
        if done + len(data) > size:
            raise FormatError(
                mistake(
                    "Receiver", f"the stream {short(repr(name))}", "longer", f"the {size} bytes of its part"
                )
            )
        if name in self._ready:
            return []
        kind = self._contents.kinds[name]
        start, end = self._contents.offsets[name]
        if name not in self._incoming:
            self._incoming[name] = _Incoming(size)
        incoming = self._incoming[name]
        incoming.take(data)
        if incoming.done < size:
            return []
        whole = incoming.bytes.toreadonly()
        with named("Receiver", name):
            self._ready[name] = part(
                kind, whole[: end - start], _aligned(whole[end - start :], kind.region_align)
            )
        self._incoming.pop(name)
        return [name]

    @property
    def header(self) -> Contents | None:
        """The header, None until it has arrived: ``metadata``, ``layout``, ``kinds`` and ``offsets``."""
        return self._contents

    @property
    def ready(self) -> list[str]:
        """The names of the complete parts, in the order of completion."""
        with self._changed:
            return list(self._ready)

    @property
    def complete(self) -> bool:
        """Whether all parts that the header names are complete."""
        with self._changed:
            return self._contents is not None and len(self._ready) == len(self._contents.kinds)

    def __getitem__(self, name: str) -> Any:
        with self._changed:
            if name not in self._ready:
                raise KeyError(
                    mistake(
                        "Receiver", "part", repr(name), f"one that is whole: {short(', '.join(self._ready))}"
                    )
                )
            return self._ready[name]

    def wait(self, name: str, timeout: float | None = None) -> Any:
        """Wait until a part is complete and return it; raise ``TimeoutError`` after ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: name in self._ready or self._failure is not None, timeout):
                raise TimeoutError(f"Receiver.wait: {name!r} was not whole within {timeout} seconds")
            if name not in self._ready:
                raise FormatError(
                    f"Receiver.wait: {name!r} will not come: a piece was wrong"
                ) from self._failure
            return self._ready[name]


def _claimed(header: dict[str, Any]) -> int:
    """Return the length of the data that the header claims; a stream has no other source for it."""
    tables = header.get("offsets", {}) if "metatensor" in header else header
    ends = [0]
    for name, entry in tables.items() if isinstance(tables, dict) else ():
        offsets = (
            entry
            if "metatensor" in header
            else entry.get("data_offsets")
            if isinstance(entry, dict)
            else None
        )
        if (
            name != "__metadata__"
            and isinstance(offsets, list)
            and len(offsets) == 2
            and type(offsets[1]) is int
        ):
            ends.append(offsets[1])
    return max(ends)


def _aligned(view: memoryview, align: int) -> memoryview:
    """Return a data region in aligned memory: after its part in one buffer, the region may be unaligned."""
    if align <= 1:
        return view
    region = aligned_room(len(view), align)
    region[:] = view
    return region.toreadonly()

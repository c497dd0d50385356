"""The status word: where kernels leave the first index, or sum, that they find out of range.

Four u32: [0] is the number of the report plus one (0: nothing found), [1] the value. A kernel that can report gets
the number of its (where, what) pair as a hidden last parameter. The word is fetched, and cleared, with each read.
"""

from __future__ import annotations

import struct

from weft.errors import IndexOutOfRangeError, KernelError, NumberRangeError, WeftError

SIZE = 16


class Reports:
    """The (where, what) pairs that were dispatched, by number; the word's meaning at a read."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._pairs: list[tuple[str, str]] = []
        self.pending = False  # whether a dispatch since the last fetch may have written the word

    def number(self, report: tuple[str, str]) -> int:
        """The number of a pair, the same each time."""
        found = self._numbers.get(report)
        if found is None:
            found = self._numbers[report] = len(self._pairs)
            self._pairs.append(report)
        return found

    def check(self, word: bytes | bytearray | memoryview) -> None:
        """Raise what a kernel left in the word, by ``IndexOutOfRangeError`` unless ``_REPORTS`` says otherwise."""
        found, value, _, _ = struct.unpack_from("<IiII", word)
        if not found:
            return
        where, what = self._pairs[found - 1]
        kind, text = _REPORTS.get(what, (IndexOutOfRangeError, "{what} {value} is out of range"))
        raise kind(
            f"{where}: {text.format(what=what, value=value)} (found by a kernel that ran before this read; "
            f"what was computed from it is not valid)"
        )


_REPORTS: dict[str, tuple[type[WeftError], str]] = {
    "total": (
        NumberRangeError,
        "the total does not fit the 32 bits in which this device keeps int64, which would hold {value}; "
        "expected a total from -2147483648 to 2147483647; compute in float32, or on the cpu",
    ),
    "a loop": (
        KernelError,
        "the driver ended a loop that was not at its end: a software driver gives all loops of an invocation "
        "together 65,535 turns; do less in one invocation",
    ),
}
"""Reports that are not of an index: the error, and its text."""

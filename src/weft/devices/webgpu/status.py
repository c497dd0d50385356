"""The status word, in which a kernel reports the first index, or sum, that it finds out of range.

It has four u32: [0] is the number of the report plus one (0: no report), [1] the value. A kernel that can report gets
the number of its (op, argument) pair as a hidden last parameter. Each read fetches the word and clears it.
"""

from __future__ import annotations

import struct

from weft.errors import IndexOutOfRangeError, KernelError, NumberRangeError, WeftError

SIZE = 16


class Reports:
    """The numbered (op, argument) pairs of dispatched kernels, which give a report its message."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}
        self._pairs: list[tuple[str, str]] = []
        self.pending = False  # whether a dispatch since the last read may have written the word

    def number(self, report: tuple[str, str]) -> int:
        """Return the number of a pair, the same for each call."""
        found = self._numbers.get(report)
        if found is None:
            found = self._numbers[report] = len(self._pairs)
            self._pairs.append(report)
        return found

    def check(self, word: bytes | bytearray | memoryview) -> None:
        """Raise the error that a kernel reported in the word: ``IndexOutOfRangeError``, or that of ``_REPORTS``."""
        found, value, _, _ = struct.unpack_from("<IiII", word)
        if not found:
            return
        where, what = self._pairs[found - 1]
        kind, text = _REPORTS.get(what, (IndexOutOfRangeError, "{what} {value} is out of range"))
        raise kind(
            f"{where}: {text.format(what=what, value=value)} (found by a kernel that ran before this read; "
            f"values that were computed from it are not valid)"
        )


_REPORTS: dict[str, tuple[type[WeftError], str]] = {
    "total": (
        NumberRangeError,
        "the total does not fit the 32 bits in which this device keeps int64, which would hold {value}; "
        "expected a total from -2147483648 to 2147483647; compute in float32, or on the cpu",
    ),
    "a loop": (
        KernelError,
        "the driver ended a loop early: a software driver allows all loops of an invocation "
        "65,535 iterations together; do less in one invocation",
    ),
}
"""Reports of other kinds than an index: the error, and its text."""

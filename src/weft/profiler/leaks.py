"""``leaks``: find the source lines that allocated tensors which are still alive."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from weft.devices import base
from weft.devices.base import Storage
from weft.errors import UnsupportedError
from weft.graph.tracing import call_site


@dataclass(frozen=True)
class Site:
    """A line of the user's program, with the number and the bytes of its live storages on a device."""

    line: str
    device: str
    storages: int
    bytes: int


class LeakReport:
    """Records the allocations of a ``with`` block; ``sites()`` and ``table()`` report those that are alive.

    The memory of a tensor is alive as long as the tensor, a view of it, or a tape that saved it. Outside of the block
    nothing is recorded, at no cost.

    >>> import weft as wf
    >>> with wf.profiler.leaks() as report:
    ...     kept = wf.ones(1000, device="cpu")
    ...     _ = (kept + 1).sum().item()
    >>> [(site.storages, site.bytes) for site in report.sites()]
    [(1, 4000)]
    """

    def __init__(self) -> None:
        self._made: dict[int, tuple[weakref.ref[Storage], str]] = {}
        self._before: Callable[[Storage], None] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> LeakReport:
        if base.allocation_hook is not None:
            raise UnsupportedError("leaks: another report is active, expected none; leave its block first")
        base.allocation_hook = self._note
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        base.allocation_hook = None

    def _note(self, storage: Storage) -> None:
        number = id(storage)
        reference = weakref.ref(storage, lambda _: self._made.pop(number, None))
        with self._lock:
            self._made[number] = (reference, call_site())

    def sites(self) -> list[Site]:
        """Collect garbage, and return the lines with live memory, the largest first."""
        gc.collect()
        totals: dict[tuple[str, str], list[int]] = {}
        with self._lock:
            alive = [(reference(), line) for reference, line in list(self._made.values())]
        for storage, line in alive:
            if storage is not None and not storage.disposed:
                total = totals.setdefault((line, storage.device.name), [0, 0])
                total[0] += 1
                total[1] += storage.size
        sites = [Site(line, device, count, size) for (line, device), (count, size) in totals.items()]
        return sorted(sites, key=lambda site: (-site.bytes, site.line))

    def table(self) -> str:
        """Return the sites as text."""
        sites = self.sites()
        if not sites:
            return "no memory that was allocated in the block is alive"
        lines = [f"{'bytes':>14} {'tensors':>8}  {'device':16} allocated at"]
        lines += [f"{s.bytes:14,} {s.storages:8,}  {s.device:16} {s.line}" for s in sites]
        return "\n".join(lines)


def leaks() -> LeakReport:
    """Return a ``LeakReport`` for a ``with`` block.

    >>> import weft as wf
    >>> with wf.profiler.leaks() as report:
    ...     _ = wf.ones(1000, device="cpu").sum().item()
    >>> report.table()
    'no memory that was allocated in the block is alive'
    """
    return LeakReport()

"""Shared code of the benchmarks: interleaved timing, ratios against the best peer, a table.

All candidates of a row run in one process, in turns of a few milliseconds, so that other load on the machine affects
all of them. The ratio of a row is the median over the turns of (weft's time / best peer's time): below 1 weft is
faster.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

Run = Callable[[], Any]

TURN = 0.004
"""Seconds that a candidate runs in a turn; it runs at least one call."""


@dataclass(frozen=True)
class Candidate:
    """A function to time; the context ``setting`` is entered before each of its turns and is not timed."""

    name: str
    run: Run
    setting: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass
class Row:
    """A measurement: seconds of weft and of each peer by turn."""

    name: str
    ours: list[float] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)
    bytes_moved: int = 0

    @property
    def best(self) -> str:
        """The fastest peer by its median."""
        return min(self.peers, key=lambda name: statistics.median(self.peers[name]))

    @property
    def ratio(self) -> float:
        """Weft's time over the best peer's time, the median over the turns."""
        return statistics.median(a / b for a, b in zip(self.ours, self.peers[self.best], strict=True))


def measure(
    name: str, ours: Run, peers: Mapping[str, Run] | list[Candidate], turns: int = 15, bytes_moved: int = 0
) -> Row:
    """Time weft and the peers in turns, after a warm-up of each; return seconds per call."""
    others = [Candidate(n, run) for n, run in peers.items()] if isinstance(peers, Mapping) else list(peers)
    candidates = [Candidate("", ours), *others]
    calls = {}
    for candidate in candidates:
        with candidate.setting():
            candidate.run()
            start = time.perf_counter()
            candidate.run()
            calls[candidate.name] = max(1, int(TURN / max(time.perf_counter() - start, 1e-7)))
    row = Row(name, peers={peer.name: [] for peer in others}, bytes_moved=bytes_moved)
    for _ in range(turns):
        for candidate in candidates:
            with candidate.setting():
                candidate.run()
                start = time.perf_counter()
                for _ in range(calls[candidate.name]):
                    candidate.run()
                seconds = (time.perf_counter() - start) / calls[candidate.name]
            (row.peers[candidate.name] if candidate.name else row.ours).append(seconds)
    return row


def torch_candidates(run: Run, name: str = "torch") -> list[Candidate]:
    """Return PyTorch's candidates with one thread and with two; the table shows the best."""
    return [Candidate(f"{name} x{count}", run, lambda count=count: torch_threads(count)) for count in (1, 2)]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set PyTorch's number of threads within the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def machine() -> str:
    """Return the processor and the versions, for the heading of results."""
    import os

    import numpy

    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            model = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # not Linux: the name from ``platform`` stays
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        import torch

        versions = f"numpy {numpy.__version__}, torch {torch.__version__}"
    except ImportError:
        versions = f"numpy {numpy.__version__}"
    return f"{model}, {count} processors; Python {platform.python_version()}, {versions}"


def report(title: str, rows: list[Row], copy: float = 0.0) -> None:
    """Print a Markdown table; ``copy`` is the bandwidth of a copy in bytes per second, for comparison."""
    command = f"python -m benchmarks.{title}"
    print(f"\n## {title}\n\n`{command}`, {time.strftime('%Y-%m-%d')}, {machine()}\n")
    share = " share of copy bandwidth |" if copy else ""
    print(f"| | weft, µs | best peer | its µs | ratio |{share}")
    print(f"| --- | --- | --- | --- | --- |{' --- |' if copy else ''}")
    for row in rows:
        mine = statistics.median(row.ours)
        line = f"| {row.name} | {mine * 1e6:,.1f} "
        if row.peers:
            best = row.best
            line += f"| {best} | {statistics.median(row.peers[best]) * 1e6:,.1f} | {row.ratio:.2f} |"
        else:
            line += "| | | |"
        if copy:
            line += f" {row.bytes_moved / mine / copy:.2f} |" if row.bytes_moved else " |"
        print(line)
    sys.stdout.flush()

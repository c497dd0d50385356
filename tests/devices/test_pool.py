"""The pool that devices share, on a device of host byte arrays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import errors
from weft.devices import pool as pools
from weft.devices.base import Buffer
from weft.devices.pool import Pool, size_class

MIB = 1 << 20


class Host:
    """The part of a device that a pool needs; ``broken`` is the number of native allocations that fail."""

    name = "host"
    alignment = 256

    def __init__(self, largest: int | None = None) -> None:
        self.broken = 0
        self.freed: list[int] = []
        self.pool = Pool(self, self.create, self.destroy, largest)  # type: ignore[arg-type]
        self.release, self.storage_disposed = self.pool.release, self.pool.storage_disposed

    def create(self, size: int) -> bytearray:
        if self.broken:
            self.broken -= 1
            raise MemoryError("no more")
        return bytearray(size)

    def destroy(self, buffer: Buffer) -> None:
        self.freed.append(buffer.size)


@given(st.integers(0, 1 << 40))
def test_size_classes_waste_at_most_an_eighth(size: int) -> None:
    given_ = size_class(size)
    assert given_ >= size
    assert given_ % 256 == 0
    assert given_ <= max(size + size // 8 + 256, 256)
    assert size_class(given_) == given_


def test_a_freed_buffer_is_used_again() -> None:
    host = Host()
    a = host.pool.allocate(1000)
    buffer = a.buffer
    a.dispose()
    b = host.pool.allocate(900)
    assert b.buffer is buffer
    assert host.pool.stats(0).allocations == 1
    assert host.pool.stats(0).pooled == 0


def test_an_arena_is_given_back_when_its_last_storage_goes() -> None:
    host = Host()
    parts = host.pool.allocate_together([10, 300, 0, 7])
    assert [part.offset for part in parts] == [0, 256, 768, 768]
    assert len({id(part.buffer) for part in parts}) == 1
    for part in parts[:-1]:
        part.dispose()
    assert host.pool.stats(0).pooled == 0
    parts[-1].dispose()
    assert host.pool.stats(0).pooled == 1024
    assert host.pool.allocate_together([]) == []


def test_the_pool_keeps_as_much_as_was_needed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "KEPT", MIB)
    host = Host()
    first = [host.pool.allocate(MIB) for _ in range(3)]
    first.clear()
    assert host.pool.stats(0).pooled == 3 * MIB
    for _ in range(2):  # sizes that are in use now replace a size that is not
        for size in (MIB // 2, MIB // 4, MIB // 8):
            host.pool.allocate(size).dispose()
            assert host.pool.stats(0).pooled <= 3 * MIB
    assert host.freed == [MIB]
    assert host.pool.trim() == 2 * MIB + MIB // 2 + MIB // 4 + MIB // 8
    assert host.pool.stats(0).pooled == 0


def test_native_failure_is_retried_after_freeing_what_is_kept() -> None:
    host = Host()
    host.pool.allocate(4096).dispose()
    host.broken = 1
    storage = host.pool.allocate(MIB + 1)
    assert storage.buffer.size == MIB + 256  # not rounded up to its class
    assert host.freed == [4096]
    before = host.pool.stats(0)
    host.broken = 2
    with pytest.raises(
        errors.OutOfMemoryError, match=r"host: 5,000 bytes were asked for, 1,048,577 bytes .* no more"
    ):
        host.pool.allocate(5000)
    assert host.pool.stats(0) == before


def test_unreachable_cycles_are_collected_before_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_MEMORY_LIMIT", str(MIB))
    host = Host()
    cycle: list[object] = [host.pool.allocate(MIB)]
    cycle.append(cycle)
    del cycle
    assert host.pool.allocate(MIB).size == MIB


def test_the_largest_buffer_can_be_had_and_nothing_larger() -> None:
    host = Host(largest=10 * MIB + 100)
    assert host.pool.allocate(10 * MIB).buffer.size == 10 * MIB
    with pytest.raises(errors.OutOfMemoryError, match="largest buffer"):
        host.pool.allocate(10 * MIB + 300)


@pytest.mark.parametrize("text", ["a lot", "-5", "1e9"])
def test_a_limit_that_is_no_number_is_an_error(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WEFT_MEMORY_LIMIT", text)
    with pytest.raises(errors.ArgumentError, match="WEFT_MEMORY_LIMIT is"):
        Host()

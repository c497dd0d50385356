"""PyTorch's ``mps`` namespace (Metal), which is never available: in weft, Apple's GPUs are the device ``"webgpu"``."""

from __future__ import annotations

from weft import devices
from weft.absent import refusing

__getattr__ = refusing(
    "weft.mps",
    "Event get_rng_state profiler set_per_process_memory_fraction set_rng_state".split(),
    "there is no device 'mps' in weft; an Apple GPU is the device 'webgpu', which is the default there",
)


def is_available() -> bool:
    """Return whether the device ``"mps"`` is available: False."""
    return False


def device_count() -> int:
    """Return the number of ``"mps"`` devices: 0."""
    return 0


def manual_seed(seed: int) -> None:
    """Accept a seed, without effect; ``weft.manual_seed`` seeds the generators of all devices."""


def seed() -> None:
    """Do nothing: there is no generator of an ``"mps"`` device."""


def empty_cache() -> None:
    """Do nothing: no memory of an ``"mps"`` device is cached."""


def synchronize() -> None:
    """Wait for the default device."""
    devices.default().synchronize()


def current_allocated_memory() -> int:
    """Return the bytes of an ``"mps"`` device in use: 0."""
    return 0


def driver_allocated_memory() -> int:
    """Return the bytes that the driver reserved: 0."""
    return 0

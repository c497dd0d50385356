"""PyTorch's ``backends.cpu``: what the processor can do."""

from __future__ import annotations

from weft import devices


def get_cpu_capability() -> str:
    """What the device ``cpu`` says of itself: its kind of processor, its threads, and its library of products."""
    return devices.open("cpu").description

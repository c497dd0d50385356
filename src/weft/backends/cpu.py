"""PyTorch's ``backends.cpu``: a description of the processor."""

from __future__ import annotations

from weft import devices


def get_cpu_capability() -> str:
    """Return the description of the device ``cpu``: processor architecture, number of threads, BLAS library."""
    return devices.open("cpu").description

"""The GPU of this process, if there is one, by PyTorch's device-independent names (``torch.accelerator``).

>>> import weft as wf
>>> device = wf.accelerator.current_accelerator() if wf.accelerator.is_available() else "cpu"
>>> wf.nn.Linear(2, 3).to(device)(wf.ones(2, device=device)).shape.numel()
3
"""

from __future__ import annotations

from typing import Any

from weft import devices
from weft.absent import refusing
from weft.tensors.described import device

__getattr__ = refusing(
    "weft.accelerator",
    "current_stream device_index set_stream".split(),
    "weft has no streams, since it keeps the order of work itself; synchronize() waits for all work",
)


def current_accelerator(check_available: bool = False) -> device | None:
    """Return the default device if it is a GPU, or a software rasteriser that was chosen by name, else ``None``."""
    name, _ = devices.default_name()
    return None if name == "cpu" else device(name)


def is_available() -> bool:
    """Return whether the default device is a GPU (``torch.accelerator.is_available``)."""
    return current_accelerator() is not None


def device_count() -> int:
    """Return the number of GPUs, without the software rasteriser; at least 1 where the default device is a GPU."""
    found = [name for name in devices.available() if name not in ("cpu", "webgpu:software")]
    return max(len(found), int(is_available()))


def current_device_index() -> int:
    """Return the number of the GPU that is the default device, 0 where its name has no number."""
    found = current_accelerator()
    return 0 if found is None else found.index or 0


def set_device_index(device: Any) -> None:
    """Make the GPU of that number the default device."""
    devices.set_default(f"webgpu:{int(device)}")


def synchronize(device: Any = None) -> None:
    """Wait until the default device has finished all work so far."""
    devices.default().synchronize()


def empty_cache() -> None:
    """Accept the call, without effect: freed memory stays with the device for reuse."""


def memory_allocated(device: Any = None) -> int:
    """Return the bytes of the default device in use."""
    return devices.default().memory_stats().in_use

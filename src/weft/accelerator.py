"""The GPU of this process, if it has one, by PyTorch's names that fit any kind of GPU (``torch.accelerator``).

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
    "streams are not part of weft, which keeps the order of work itself; synchronize() waits for all of it",
)


def current_accelerator(check_available: bool = False) -> device | None:
    """The default device where that is a GPU (or its software stand-in, where that was asked for), else ``None``."""
    name, _ = devices.default_name()
    return None if name == "cpu" else device(name)


def is_available() -> bool:
    """Whether the default device is a GPU."""
    return current_accelerator() is not None


def device_count() -> int:
    """The number of GPUs of the machine, the software stand-in not counted; at least 1 where one is the default."""
    found = [name for name in devices.available() if name not in ("cpu", "webgpu:software")]
    return max(len(found), int(is_available()))


def current_device_index() -> int:
    """The number of the GPU that is the default device, 0 unless its name has one."""
    found = current_accelerator()
    return 0 if found is None else found.index or 0


def set_device_index(device: Any) -> None:
    """Make the GPU of that number the default device."""
    devices.set_default(f"webgpu:{int(device)}")


def synchronize(device: Any = None) -> None:
    """Wait until the default device has done all work so far."""
    devices.default().synchronize()


def empty_cache() -> None:
    """Accept the call: freed memory stays with the device, which uses it again."""


def memory_allocated(device: Any = None) -> int:
    """Bytes of the default device in use."""
    return devices.default().memory_stats().in_use

"""PyTorch's ``cuda`` namespace, for programs that ask it for a GPU: CUDA is never available in weft.

weft's GPUs are the devices ``"webgpu"``, ``"webgpu:1"`` …; ``weft.accelerator`` says whether there is a GPU. Calls for
seeds and caches are accepted, memory sizes are 0 as in PyTorch without a GPU, and functions that need CUDA raise
``UnsupportedError``.
"""

from __future__ import annotations

from typing import Any

from weft import devices
from weft.absent import refusing
from weft.cuda import amp

__all__ = [
    "amp", "device_count", "empty_cache", "get_arch_list", "get_rng_state_all", "init", "ipc_collect",
    "is_available", "is_bf16_supported", "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated",
    "max_memory_reserved", "memory_allocated", "memory_reserved", "reset_max_memory_allocated",
    "reset_peak_memory_stats", "seed", "seed_all", "set_rng_state_all", "synchronize",
]  # fmt: skip

INSTEAD = (
    "there is no CUDA in weft, whose devices are 'cpu' and 'webgpu' (a GPU by Vulkan, Metal or Direct3D 12); "
    "leave the device out to get the default device, or write device='webgpu'"
)
"""The text of error messages."""

__getattr__ = refusing(
    "weft.cuda",
    """
    CUDAGraph Event ExternalStream Stream can_device_access_peer current_blas_handle current_device current_stream
    default_stream device device_of get_device_capability get_device_name get_device_properties get_rng_state graph
    list_gpu_processes make_graphed_callables mem_get_info memory_snapshot memory_stats memory_summary
    set_device set_per_process_memory_fraction set_rng_state set_stream stream utilization
    """.split(),
    INSTEAD,
)


def is_available() -> bool:
    """Return whether CUDA is available: False. ``weft.accelerator.is_available`` is about weft's GPUs.

    >>> import weft as wf
    >>> wf.cuda.is_available()
    False
    """
    return False


def is_initialized() -> bool:
    """Return whether CUDA is in use: False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Return whether a CUDA GPU computes in bfloat16: False."""
    return False


def device_count() -> int:
    """Return the number of CUDA GPUs: 0."""
    return 0


def get_arch_list() -> list[str]:
    """Return the architectures that CUDA kernels were built for: none."""
    return []


def manual_seed(seed: int) -> None:
    """Accept a seed, without effect; ``weft.manual_seed`` seeds the generators of all devices."""


def manual_seed_all(seed: int) -> None:
    """Accept a seed, without effect; ``weft.manual_seed`` seeds the generators of all devices."""


def seed() -> None:
    """Do nothing: there is no generator of a CUDA GPU."""


def seed_all() -> None:
    """Do nothing: there is no generator of a CUDA GPU."""


def get_rng_state_all() -> list[Any]:
    """Return the states of the generators of all CUDA GPUs: none."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Accept the states of ``get_rng_state_all``, an empty list; raises ``UnsupportedError`` for other states."""
    if list(new_states):
        __getattr__("set_rng_state")()


def init() -> None:
    """Do nothing."""


def empty_cache() -> None:
    """Do nothing: no memory of a CUDA GPU is cached."""


def ipc_collect() -> None:
    """Do nothing: no memory is shared with other processes."""


def synchronize(device: Any = None) -> None:
    """Wait for the default device, so that programs that time their work measure the whole of it."""
    devices.default().synchronize()


def memory_allocated(device: Any = None) -> int:
    """Return the bytes of a CUDA GPU in use: 0."""
    return 0


def memory_reserved(device: Any = None) -> int:
    """Return the bytes of a CUDA GPU that are reserved: 0."""
    return 0


def max_memory_allocated(device: Any = None) -> int:
    """Return the most bytes of a CUDA GPU that were in use: 0."""
    return 0


def max_memory_reserved(device: Any = None) -> int:
    """Return the most bytes of a CUDA GPU that were reserved: 0."""
    return 0


def reset_peak_memory_stats(device: Any = None) -> None:
    """Do nothing: the peaks are 0."""


def reset_max_memory_allocated(device: Any = None) -> None:
    """Do nothing: the peak is 0."""

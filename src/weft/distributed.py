"""PyTorch's ``distributed`` namespace, for programs that ask whether they run in several processes: never in weft.

``is_available()`` and ``is_initialized()`` return False; functions that communicate raise ``UnsupportedError``.
"""

from __future__ import annotations

from weft.absent import refusing

__getattr__ = refusing(
    "weft.distributed",
    """
    all_gather all_gather_into_tensor all_gather_object all_reduce all_to_all all_to_all_single barrier broadcast
    broadcast_object_list destroy_process_group gather gather_object get_backend get_process_group_ranks get_rank
    get_world_size init_device_mesh init_process_group irecv isend monitored_barrier new_group recv reduce
    reduce_scatter reduce_scatter_tensor scatter scatter_object_list send
    """.split(),
    "training over several processes is not in weft; ask is_available() first, or run one process without it",
)


def is_available() -> bool:
    """Return whether several processes can train together: False."""
    return False


def is_initialized() -> bool:
    """Return whether this process belongs to a group: False."""
    return False


def is_torchelastic_launched() -> bool:
    """Return whether ``torchrun`` started this process: False, since weft does not support it."""
    return False


def is_nccl_available() -> bool:
    """Return whether there is NCCL: False."""
    return False


def is_gloo_available() -> bool:
    """Return whether there is Gloo: False."""
    return False


def is_mpi_available() -> bool:
    """Return whether there is MPI: False."""
    return False

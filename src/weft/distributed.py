"""PyTorch's ``distributed`` namespace, for programs that ask it whether they run on many machines: they never do here.

``is_available()`` and ``is_initialized()`` are False; what would talk to other processes raises ``UnsupportedError``.
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
    """Whether several processes can train together: False."""
    return False


def is_initialized() -> bool:
    """Whether this process belongs to a group: False."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether ``torchrun`` started this process: False, it has no part in weft."""
    return False


def is_nccl_available() -> bool:
    """Whether there is NCCL: False."""
    return False


def is_gloo_available() -> bool:
    """Whether there is Gloo: False."""
    return False


def is_mpi_available() -> bool:
    """Whether there is MPI: False."""
    return False

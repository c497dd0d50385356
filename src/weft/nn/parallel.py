"""``DataParallel`` and ``DistributedDataParallel``: PyTorch's wrappers for several GPUs, here for a single device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from weft.errors import ArgumentTypeError, UnsupportedError, mistake
from weft.nn.module import Module


class DataParallel(Module):
    """A wrapper that calls its module, as ``torch.nn.DataParallel`` on a single device.

    The module is ``.module``, and the state dict's keys begin with ``"module."``, as in PyTorch. Raises
    ``UnsupportedError`` for more than one device.

    >>> import weft as wf
    >>> model = wf.nn.DataParallel(wf.nn.Linear(2, 3))
    >>> list(model.state_dict())
    ['module.weight', 'module.bias']
    """

    def __init__(
        self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(module, Module):
            raise ArgumentTypeError(
                mistake("DataParallel", "module", f"a {type(module).__name__}", "a Module")
            )
        if device_ids is not None and len(device_ids) > 1:
            raise UnsupportedError(
                mistake("DataParallel", "device_ids", list(device_ids), "one device at most",
                        "weft trains on one device; leave device_ids out")
            )  # fmt: skip
        self.module = module
        self.dim = dim

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Call the module."""
        return self.module(*inputs, **options)


class DistributedDataParallel(Module):
    """PyTorch's wrapper for training over several processes, which weft does not implement: the constructor raises."""

    def __init__(self, module: Module, *arguments: Any, **options: Any) -> None:
        raise UnsupportedError(
            "DistributedDataParallel: training over several processes is not in weft; ask "
            "weft.distributed.is_available() first, or use the module itself"
        )

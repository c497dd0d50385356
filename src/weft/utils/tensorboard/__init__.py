"""``SummaryWriter`` for TensorBoard, as ``torch.utils.tensorboard`` has it. Needs the extra ``weft[tensorboard]``.

The names are resolved at first use: without the package ``tensorboard``, ``from weft.utils.tensorboard import
SummaryWriter`` raises an ``ImportError`` that says what to install.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from weft.errors import MissingPackageError

if TYPE_CHECKING:
    from weft.utils.tensorboard.writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'weft.utils.tensorboard' has no attribute {name!r}")
    if find_spec("tensorboard") is None:
        raise MissingPackageError(
            f"utils.tensorboard.{name} needs the package tensorboard, which is not installed; "
            "pip install 'weft[tensorboard]'"
        )
    return getattr(import_module("weft.utils.tensorboard.writer"), name)

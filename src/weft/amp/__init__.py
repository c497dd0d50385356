"""Mixed precision training: ``autocast`` chooses each operation's type, ``GradScaler`` keeps gradients in range."""

from weft.amp.autocast import autocast, get_autocast_dtype, is_autocast_enabled
from weft.amp.scaler import GradScaler

__all__ = ["GradScaler", "autocast", "get_autocast_dtype", "is_autocast_enabled"]

"""Where time and memory go: ``profile`` measures ops, ``leaks`` says which lines made the tensors that stay alive."""

from weft.profiler.leaks import LeakReport, Site, leaks
from weft.profiler.profile import OpRow, Profile, profile

__all__ = ["LeakReport", "OpRow", "Profile", "Site", "leaks", "profile"]

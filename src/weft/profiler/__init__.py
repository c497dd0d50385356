"""Profiling: ``profile`` measures the time of ops, ``leaks`` finds the lines that allocated live tensors."""

from weft.profiler.leaks import LeakReport, Site, leaks
from weft.profiler.profile import OpRow, Profile, profile

__all__ = ["LeakReport", "OpRow", "Profile", "Site", "leaks", "profile"]

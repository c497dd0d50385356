"""Block sizes of the radix sort on targets with workgroups, for its kernels and for the sizes of its scratch memory."""

from __future__ import annotations

from weft.target import TargetProfile

DIGITS = 16
"""The values of the 4-bit digit that a pass sorts by."""


def threads(profile: TargetProfile) -> int:
    """Return the invocations that sort a block; a multiple of ``DIGITS``, so that each digit's counts split evenly."""
    return 32 if profile.software else 128


def share(profile: TargetProfile) -> int:
    """Return the number of consecutive elements of a block that an invocation moves."""
    return 32 if profile.software else 16


def block(profile: TargetProfile) -> int:
    """Return the elements of a block."""
    return threads(profile) * share(profile)

"""Sizes of the radix sort on targets with workgroups, by which its keys are counted and its memory is taken."""

from __future__ import annotations

from weft.target import TargetProfile

DIGITS = 16
"""Values of the four bits that a pass sorts by."""


def threads(profile: TargetProfile) -> int:
    """Invocations that sort a block together; a multiple of the digits, so that each digit's counts split evenly."""
    return 32 if profile.software else 128


def share(profile: TargetProfile) -> int:
    """Consecutive elements of a block that one invocation moves."""
    return 32 if profile.software else 16


def block(profile: TargetProfile) -> int:
    """Elements of a block."""
    return threads(profile) * share(profile)

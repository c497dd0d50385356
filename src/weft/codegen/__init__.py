"""From kernels to ``KernelSpec``: one generator a dialect, found by the target's profile."""

from __future__ import annotations

from functools import lru_cache

from weft.errors import KernelError
from weft.kernels import Kernel, Library
from weft.target import KernelSpec, TargetProfile

__all__ = ["generate"]


@lru_cache(maxsize=8192)
def generate(kernel: Kernel | Library | KernelSpec, profile: TargetProfile) -> KernelSpec:
    """The kernel written for the target; cached, so that equal kernels are one pipeline.

    Raises ``KernelError`` where the target has no such kernel or the kernel exceeds its limits.
    """
    if isinstance(kernel, KernelSpec):
        return kernel
    if profile.dialect == "llvm":
        from weft.codegen.llvm import LlvmGenerator as Generator
    elif profile.dialect in ("wgsl-native", "wgsl-browser"):
        from weft.codegen.wgsl import WgslGenerator as Generator  # type: ignore[assignment]
    else:
        raise KernelError(
            f"dialect {profile.dialect!r} has no generator; there are llvm, wgsl-native, wgsl-browser"
        )
    return Generator(profile).generate(kernel)

"""The WGSL generator: derived kernels and library templates to ``KernelSpec``, in two dialects.

``wgsl-native`` is naga's WGSL, with parameters as immediates; ``wgsl-browser`` is the standard's. WGSL text
exists only in this package.
"""

from __future__ import annotations

from weft.codegen.templates import find
from weft.codegen.wgsl.derived import write_kernel
from weft.kernels import Kernel, Library
from weft.target import KernelSpec, TargetProfile

__all__ = ["WgslGenerator"]


class WgslGenerator:
    """Writes kernels for one target."""

    def __init__(self, profile: TargetProfile) -> None:
        self.profile = profile

    def generate(self, kernel: Kernel | Library) -> KernelSpec:
        """Return the kernel in WGSL; raise ``KernelError`` over a limit of the target, or without a template."""
        if isinstance(kernel, Kernel):
            return write_kernel(kernel, self.profile)
        return find("wgsl", kernel.name)(kernel, self.profile)

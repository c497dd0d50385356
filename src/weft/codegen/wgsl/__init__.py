"""The WGSL generator: derived kernels and library templates to ``KernelSpec``, in two dialects.

``wgsl-native`` is naga's WGSL, with parameters as immediates; ``wgsl-browser`` is the standard's. WGSL text
exists only here and in ``kernels/library``.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from weft.codegen.wgsl.derived import write_kernel
from weft.errors import KernelError
from weft.kernels import Kernel, Library
from weft.kernels.library import TEMPLATES
from weft.target import KernelSpec, TargetProfile

__all__ = ["WgslGenerator"]


class WgslGenerator:
    """Writes kernels for one target."""

    def __init__(self, profile: TargetProfile) -> None:
        self.profile = profile

    def generate(self, kernel: Kernel | Library) -> KernelSpec:
        """The kernel in WGSL; ``KernelError`` where it exceeds the target's limits or has no template."""
        if isinstance(kernel, Kernel):
            return write_kernel(kernel, self.profile)
        module = f"weft.kernels.library.wgsl_{kernel.name}"
        if kernel.name.isidentifier() and find_spec(module) is not None:
            import_module(module)
        template = TEMPLATES.get(("wgsl", kernel.name))
        if template is None:
            known = ", ".join(name for family, name in TEMPLATES if family == "wgsl")
            raise KernelError(
                f"library kernel {kernel.name!r} has no WGSL template; loaded so far: {known or 'none'}"
            )
        return template(kernel, self.profile)

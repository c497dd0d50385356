"""From kernels to ``KernelSpec``: one generator a dialect, found by the target's profile."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache

from weft.errors import KernelError
from weft.kernels import Kernel, Library
from weft.target import KernelSpec, TargetProfile

__all__ = ["generate", "shared_bindings"]


_READ = re.compile(r"var\s*<\s*storage\s*(,\s*read\s*)?>")  # reading is what a binding without a word does


@lru_cache(maxsize=2048)
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


@lru_cache(maxsize=8192)
def shared_bindings(spec: KernelSpec) -> KernelSpec:
    """A WGSL kernel whose bindings are all ``read_write``, so that its ranges may lie in one buffer.

    What it only reads stays among its inputs. Kernels of other languages are what they were.
    """
    if spec.language != "wgsl":
        return spec
    source = _READ.sub("var<storage, read_write>", spec.source)
    return replace(
        spec, source=source, inputs=tuple(replace(one, access="read_write") for one in spec.inputs)
    )

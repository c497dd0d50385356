"""From kernels to ``KernelSpec``: one generator a language, found by the target's capabilities."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from weft.errors import KernelError
from weft.kernels import Kernel, Library
from weft.target import KernelSpec, TargetProfile

__all__ = ["generate", "shared_bindings"]


_READ = re.compile(  # a binding without an access mode is read-only
    r"(@\s*binding\s*\(\s*(\d+)\s*\)[^;]*?var\s*<\s*storage\s*)(?:,\s*read\s*)?>"
)


class Generator(Protocol):
    """A writer of kernels for one target."""

    def generate(self, kernel: Kernel | Library) -> KernelSpec:
        """Return the kernel in the target's language; raise ``KernelError`` where it cannot be written."""


def _llvm() -> Callable[[TargetProfile], Generator]:
    from weft.codegen.llvm import LlvmGenerator  # the generator of a target that is not used is not loaded

    return LlvmGenerator


def _wgsl() -> Callable[[TargetProfile], Generator]:
    from weft.codegen.wgsl import WgslGenerator

    return WgslGenerator


GENERATORS: dict[str, Callable[[], Callable[[TargetProfile], Generator]]] = {"llvm": _llvm, "wgsl": _wgsl}
"""For each language, a function that imports the generator's class and returns it."""


@lru_cache(maxsize=512)
def generate(kernel: Kernel | Library | KernelSpec, profile: TargetProfile) -> KernelSpec:
    """Write a kernel for the target; equal kernels give the same spec, and so share a pipeline.

    Raises ``KernelError`` where the target has no such kernel or the kernel exceeds its limits.
    """
    if isinstance(kernel, KernelSpec):
        return kernel
    language = profile.capabilities.language
    if language not in GENERATORS:
        raise KernelError(f"{language!r} has no generator; there are {', '.join(sorted(GENERATORS))}")
    return GENERATORS[language]()(profile).generate(kernel)


def shared_bindings(spec: KernelSpec, among: frozenset[int] | None = None) -> KernelSpec:
    """Return a WGSL kernel whose inputs are bound ``read_write``, so that they may share a buffer with its outputs.

    ``among`` holds the positions of the inputs that change; ``None`` changes all. The order of inputs and outputs
    stays. A kernel in another language is returned as it is.
    """
    return _shared(spec, among) if spec.language == "wgsl" else spec


@lru_cache(maxsize=1024)
def _shared(spec: KernelSpec, among: frozenset[int] | None) -> KernelSpec:
    chosen = range(len(spec.inputs)) if among is None else among

    def widened(found: re.Match[str]) -> str:
        return f"{found[1]}, read_write>" if int(found[2]) in chosen else found[0]

    inputs = tuple(
        replace(binding, access="read_write") if position in chosen else binding
        for position, binding in enumerate(spec.inputs)
    )
    return replace(spec, source=_READ.sub(widened, spec.source), inputs=inputs)

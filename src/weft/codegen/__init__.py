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


_READ = re.compile(  # reading is what a binding without a word does
    r"(@\s*binding\s*\(\s*(\d+)\s*\)[^;]*?var\s*<\s*storage\s*)(?:,\s*read\s*)?>"
)


class Generator(Protocol):
    """What writes kernels for one target."""

    def generate(self, kernel: Kernel | Library) -> KernelSpec:
        """The kernel as the target runs it; ``KernelError`` where it cannot be written."""


def _llvm() -> Callable[[TargetProfile], Generator]:
    from weft.codegen.llvm import LlvmGenerator  # the generator of a target that is not used is not loaded

    return LlvmGenerator


def _wgsl() -> Callable[[TargetProfile], Generator]:
    from weft.codegen.wgsl import WgslGenerator

    return WgslGenerator


GENERATORS: dict[str, Callable[[], Callable[[TargetProfile], Generator]]] = {"llvm": _llvm, "wgsl": _wgsl}
"""By language of the target's capabilities: what gives the generator's class."""


@lru_cache(maxsize=512)
def generate(kernel: Kernel | Library | KernelSpec, profile: TargetProfile) -> KernelSpec:
    """The kernel written for the target; cached, so that equal kernels are one pipeline.

    Raises ``KernelError`` where the target has no such kernel or the kernel exceeds its limits.
    """
    if isinstance(kernel, KernelSpec):
        return kernel
    language = profile.capabilities.language
    if language not in GENERATORS:
        raise KernelError(f"{language!r} has no generator; there are {', '.join(sorted(GENERATORS))}")
    return GENERATORS[language]()(profile).generate(kernel)


def shared_bindings(spec: KernelSpec, among: frozenset[int] | None = None) -> KernelSpec:
    """A WGSL kernel whose inputs are bound ``read_write``, so that their ranges may lie in a buffer that it writes.

    ``among``: the positions of these inputs; all of them, where it says nothing. They stay among the inputs. Kernels
    of other languages are what they were.
    """
    return _shared(spec, among) if spec.language == "wgsl" else spec


@lru_cache(maxsize=1024)
def _shared(spec: KernelSpec, among: frozenset[int] | None) -> KernelSpec:
    chosen = range(len(spec.inputs)) if among is None else among

    def widened(found: re.Match[str]) -> str:
        return f"{found[1]}, read_write>" if int(found[2]) in chosen else found[0]

    inputs = tuple(
        replace(one, access="read_write") if at in chosen else one for at, one in enumerate(spec.inputs)
    )
    return replace(spec, source=_READ.sub(widened, spec.source), inputs=inputs)

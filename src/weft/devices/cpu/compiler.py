"""From IR text to a callable address: LLVM through ``llvmlite``, optimised for the processor of this machine.

LLVM is loaded with the first kernel. Each kernel becomes a library of its own, so that symbols of different kernels do
not clash, and its memory is freed with its ``Code``. Object files are cached on disk for later processes (``cache``).
"""

from __future__ import annotations

import platform
import re
import sys
import threading
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from weft.devices.cpu import blas, cache, half, memory, processor
from weft.errors import KernelError

if TYPE_CHECKING:
    from llvmlite.binding import LLJIT, ResourceTracker, TargetMachine

_OPTIONS = "O3 loop-vectorize slp-vectorize no-unroll pic"
"""The options of ``_optimise`` as text, a part of the cache key."""

_CACHE = "define i64 @weft.cache() {{\n  ret i64 {bytes}\n}}\n"

_lock = threading.RLock()  # LLVM's global context is not thread-safe


_TOGETHER = 256
"""Kernels that share a linker. A linker's bookkeeping of freed kernels is freed only with the linker itself."""


class Code:
    """Compiled functions: their addresses by name, and their memory, which is freed with this object."""

    def __init__(self, tracker: ResourceTracker, linker: LLJIT, functions: Mapping[str, int]) -> None:
        self.functions = functions
        self._tracker = tracker
        self._linker = linker  # must outlive the code that it linked

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not finalizing():  # at exit this module's names may be gone already
            self._tracker.close()


class _Linker:
    """Loads object files into memory, through a linker that is replaced after ``_TOGETHER`` kernels."""

    def __init__(self) -> None:
        self._linker: Any = None
        self._linked = 0

    def link(self, entry: cache.Entry) -> Code:
        """Load the entry's functions; raises ``RuntimeError`` for an object file that is not for this machine."""
        import llvmlite.binding as llvm

        if self._linker is None or self._linked >= _TOGETHER:
            self._linker, self._linked = llvm.create_lljit_compiler(_machine()), 0
        self._linked += 1
        library = llvm.JITLibraryBuilder().add_object_img(entry.object).add_current_process()
        for name in entry.functions:
            library = library.export_symbol(name)
        for name in (*entry.imports, *half.NAMES):
            address = llvm.address_of_symbol(name)
            if address is not None:
                library = library.import_symbol(name, address)
        tracker = library.link(self._linker, f"kernel{self._linked}")
        return Code(tracker, self._linker, {name: tracker[name] for name in entry.functions})


_linker = _Linker()


@lru_cache(maxsize=None)
def _host() -> tuple[str, str]:
    """Return the name and features of this processor; the first call initialises LLVM."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.get_host_cpu_name(), features + processor.vectors(features)


@lru_cache(maxsize=None)
def _register_imports() -> tuple[Code, ...]:
    """Register the functions that kernels import with LLVM: the BLAS, and compiled replacements for missing ones."""
    import llvmlite.binding as llvm

    made = [_cached("cache", _CACHE.format(bytes=memory.cache_share()))]
    found = blas.find()
    if found is not None and found.bits == 64:
        for symbol, address in found.addresses.items():
            llvm.add_symbol(symbol, address)
    elif found is not None:
        made.append(_compiled("blas adapter", blas.adapter(found)))
    if platform.machine().lower() in ("x86_64", "amd64", "i386", "i686") and "+f16c" not in _host()[1]:
        made.append(_compiled("float16 conversions", half.SOURCE))
    for code in made:
        for symbol, address in code.functions.items():
            llvm.add_symbol(symbol, address)
    return tuple(made)


def _machine() -> TargetMachine:
    """Return a new target machine; a linker takes ownership of the machine that it is given."""
    import llvmlite.binding as llvm

    name, features = _host()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=3, reloc="pic"
    )


@lru_cache(maxsize=None)
def compile_module(name: str, source: str) -> Code:
    """Compile IR as ``compile_kernel`` does, once per process; the code is never freed."""
    return compile_kernel(name, source)


def compile_kernel(name: str, source: str) -> Code:
    """Compile IR and return its public functions, whose addresses are valid as long as the ``Code`` exists.

    Raises:
        KernelError: With LLVM's message and the source line that it points to.
    """
    with _lock:
        _register_imports()
        return _cached(name, _with_provided(source))


def _with_provided(source: str) -> str:
    """Return a kernel's IR together with the functions that it leaves to the processor (``processor``)."""
    import llvmlite.binding as llvm

    return processor.with_provided(source, _host()[1], llvm.llvm_version_info[0])


def _cached(name: str, source: str) -> Code:
    """Load the code from the disk cache, or compile it and add it to the cache."""
    disk = _disk_cache()
    if disk is None:
        return _compiled(name, source)
    key = cache.key_of((*_compiler_key(), source))
    entry = disk.get(key)
    if entry is not None:
        loaded = _loaded(entry)
        if loaded is not None:
            return loaded
        disk.forget(key)
    return _compiled(name, source, lambda made: disk.put(key, made))


@lru_cache(maxsize=None)
def _disk_cache() -> cache.Cache | None:
    """Return the disk cache of this process."""
    return cache.find()


@lru_cache(maxsize=None)
def _compiler_key() -> tuple[str, ...]:
    """Return the parts of the cache key besides the IR: the compiler, its options, and the processor."""
    import llvmlite
    import llvmlite.binding as llvm

    version = ".".join(map(str, llvm.llvm_version_info))
    return (_OPTIONS, llvmlite.__version__, version, llvm.get_default_triple(), *_host())


def _loaded(entry: cache.Entry) -> Code | None:
    """Load the code of an entry; ``None`` where LLVM rejects it."""
    try:
        return _linker.link(entry)
    except RuntimeError:
        return None


@lru_cache(maxsize=None)
def _emitting_machine() -> TargetMachine:
    """Return the target machine that emits object files."""
    return _machine()


def _compiled(name: str, source: str, keep: Callable[[cache.Entry], None] | None = None) -> Code:
    import llvmlite.binding as llvm

    try:
        module = llvm.parse_assembly(source)
        module.verify()
    except RuntimeError as error:
        raise KernelError(_message(name, source, str(error))) from None
    _optimise(module, _emitting_machine())
    functions = list(module.functions)
    public = [f.name for f in functions if not f.is_declaration and f.linkage == llvm.Linkage.external]
    needed = [f.name for f in functions if f.is_declaration and not f.name.startswith("llvm.")]
    entry = cache.Entry(tuple(public), tuple(needed), _emitting_machine().emit_object(module))
    code = _linker.link(entry)
    if keep is not None:
        keep(entry)
    return code


def _optimise(module: Any, machine: Any) -> None:
    import llvmlite.binding as llvm

    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = True
    options.loop_unrolling = False  # the vectoriser interleaves; more only doubles the time to compile
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


def assembly(source: str) -> str:
    """Return the assembly text of IR on this machine, for inspection."""
    import llvmlite.binding as llvm

    with _lock:
        machine = _machine()
        module = llvm.parse_assembly(_with_provided(source))
        _optimise(module, machine)
        text: str = machine.emit_assembly(module)
        return text


def _message(name: str, source: str, message: str) -> str:
    """Return LLVM's message with the source line that it names."""
    place = re.search(r":(\d+):(\d+):", message)
    lines = source.splitlines()
    shown = ""
    if place and int(place[1]) <= len(lines):
        number, column = int(place[1]), int(place[2])
        shown = f"\n  line {number}: {lines[number - 1]}\n  {' ' * (len(f'line {number}: ') + column - 1)}^"
    return f"kernel {name!r} is not valid LLVM IR: {message.strip()}{shown}"

"""From IR text to a callable address: LLVM through ``llvmlite``, optimised for the processor it runs on.

Nothing is loaded before the first kernel. Each kernel is a library of its own, so that symbols of different kernels
never meet, and its memory is freed with its ``Code``. What was compiled is kept on disk (``cache``), and found there
by later processes.
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
"""What ``_optimise`` asks for, in words: entries of the cache made by other options are not these."""

_CACHE = "define i64 @weft.cache() {{\n  ret i64 {bytes}\n}}\n"

_lock = threading.RLock()  # LLVM's global context is not for two threads at once


_TOGETHER = 256
"""Kernels that one linker takes: what it keeps of those that were freed goes when the last of them does."""


class Code:
    """Addresses of compiled functions by name; their memory is freed with this."""

    def __init__(self, tracker: ResourceTracker, linker: LLJIT, functions: Mapping[str, int]) -> None:
        self.functions = functions
        self._tracker = tracker
        self._linker = linker  # outlives what it linked

    def __del__(self, finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if not finalizing():  # at exit this module's names may be gone already
            self._tracker.close()


class _Linker:
    """Puts object files into memory, in libraries of a linker that is replaced when it had enough."""

    def __init__(self) -> None:
        self._linker: Any = None
        self._linked = 0

    def link(self, entry: cache.Entry) -> Code:
        """The entry's functions; ``RuntimeError`` where the object file is none for this machine."""
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
    """Name and features of this processor, found once; LLVM is ready after it."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    return llvm.get_host_cpu_name(), features + processor.vectors(features)


@lru_cache(maxsize=None)
def _support() -> tuple[Code, ...]:
    """What kernels call and processors or libraries lack, compiled and made known to LLVM; the BLAS too."""
    import llvmlite.binding as llvm

    made = [_found("cache", _CACHE.format(bytes=memory.own_cache()))]
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
    """A new target machine: a linker takes the one that it is given, and frees it."""
    import llvmlite.binding as llvm

    name, features = _host()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=name, features=features, opt=3, reloc="pic"
    )


@lru_cache(maxsize=None)
def compile_module(name: str, source: str) -> Code:
    """As ``compile_kernel``, once a process: what it gives stays for good."""
    return compile_kernel(name, source)


def compile_kernel(name: str, source: str) -> Code:
    """Compile IR; gives the addresses of its public functions, which are valid as long as the ``Code`` is kept.

    Raises ``KernelError`` with LLVM's message and the line it points to.
    """
    with _lock:
        _support()
        return _found(name, _whole(source))


def _whole(source: str) -> str:
    """A kernel's IR with what it leaves to the processor at hand."""
    import llvmlite.binding as llvm

    return processor.completed(source, _host()[1], llvm.llvm_version_info[0])


def _found(name: str, source: str) -> Code:
    """The code of an earlier process, or compiled now and kept for later ones."""
    kept = _kept()
    if kept is None:
        return _compiled(name, source)
    key = cache.key_of((*_made_for(), source))
    entry = kept.get(key)
    if entry is not None:
        loaded = _loaded(entry)
        if loaded is not None:
            return loaded
        kept.forget(key)
    return _compiled(name, source, lambda made: kept.put(key, made))


@lru_cache(maxsize=None)
def _kept() -> cache.Cache | None:
    """The cache on disk, found once a process."""
    return cache.find()


@lru_cache(maxsize=None)
def _made_for() -> tuple[str, ...]:
    """What machine code depends on besides the IR: the compiler, what it is told, and the processor."""
    import llvmlite
    import llvmlite.binding as llvm

    version = ".".join(map(str, llvm.llvm_version_info))
    return (_OPTIONS, llvmlite.__version__, version, llvm.get_default_triple(), *_host())


def _loaded(entry: cache.Entry) -> Code | None:
    """The code of an entry, ``None`` where LLVM does not take it."""
    try:
        return _linker.link(entry)
    except RuntimeError:
        return None


@lru_cache(maxsize=None)
def _compiling() -> TargetMachine:
    """The target machine that makes object files."""
    return _machine()


def _compiled(name: str, source: str, keep: Callable[[cache.Entry], None] | None = None) -> Code:
    import llvmlite.binding as llvm

    try:
        module = llvm.parse_assembly(source)
        module.verify()
    except RuntimeError as error:
        raise KernelError(_explained(name, source, str(error))) from None
    _optimise(module, _compiling())
    functions = list(module.functions)
    public = [f.name for f in functions if not f.is_declaration and f.linkage == llvm.Linkage.external]
    needed = [f.name for f in functions if f.is_declaration and not f.name.startswith("llvm.")]
    entry = cache.Entry(tuple(public), tuple(needed), _compiling().emit_object(module))
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
    """The machine code of IR for this machine, to read."""
    import llvmlite.binding as llvm

    with _lock:
        machine = _machine()
        module = llvm.parse_assembly(_whole(source))
        _optimise(module, machine)
        text: str = machine.emit_assembly(module)
        return text


def _explained(name: str, source: str, message: str) -> str:
    """LLVM's message with the line of the source that it names."""
    place = re.search(r":(\d+):(\d+):", message)
    lines = source.splitlines()
    shown = ""
    if place and int(place[1]) <= len(lines):
        number, column = int(place[1]), int(place[2])
        shown = f"\n  line {number}: {lines[number - 1]}\n  {' ' * (len(f'line {number}: ') + column - 1)}^"
    return f"kernel {name!r} is not valid LLVM IR: {message.strip()}{shown}"

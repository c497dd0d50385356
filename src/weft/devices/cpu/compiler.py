"""From IR text to a callable address: LLVM through ``llvmlite``, optimised for the processor it runs on.

Nothing is loaded before the first kernel. Each kernel is a module and an engine of its own, so that symbols of
different kernels never meet. What was compiled is kept on disk (``cache``), and found there by later processes.
"""

from __future__ import annotations

import platform
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from weft.devices.cpu import blas, cache, half
from weft.errors import KernelError

if TYPE_CHECKING:
    from llvmlite.binding import ExecutionEngine, TargetMachine

_OPTIONS = "O3 loop-vectorize slp-vectorize no-unroll"
"""What ``_optimise`` asks for, in words: entries of the cache made by other options are not these."""

_lock = threading.RLock()  # LLVM's global context is not for two threads at once


@dataclass(frozen=True)
class Code:
    """Compiled functions by name; the engine owns their memory."""

    engine: ExecutionEngine
    functions: Mapping[str, int]


@lru_cache(maxsize=None)
def _host() -> tuple[str, str]:
    """Name and features of this processor, found once; LLVM is ready after it."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


@lru_cache(maxsize=None)
def _support() -> tuple[Code, ...]:
    """What kernels call and processors or libraries lack, compiled and made known to LLVM; the BLAS too."""
    import llvmlite.binding as llvm

    made = []
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
    """A new target machine: an engine takes the one that it is given, and frees it."""
    import llvmlite.binding as llvm

    name, features = _host()
    return llvm.Target.from_default_triple().create_target_machine(cpu=name, features=features, opt=3)


@lru_cache(maxsize=None)
def compile_module(name: str, source: str) -> Code:
    """Compile IR, once a process; gives the addresses of its public functions.

    Raises ``KernelError`` with LLVM's message and the line it points to.
    """
    with _lock:
        _support()
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
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    try:
        engine.add_object_file(llvm.ObjectFileRef.from_data(entry.object))
    except (RuntimeError, ValueError):
        return None
    engine.finalize_object()
    addresses = {name: engine.get_function_address(name) for name in entry.functions}
    return Code(engine, addresses) if all(addresses.values()) else None


def _compiled(name: str, source: str, keep: Callable[[cache.Entry], None] | None = None) -> Code:
    import llvmlite.binding as llvm

    machine = _machine()
    try:
        module = llvm.parse_assembly(source)
        module.verify()
    except RuntimeError as error:
        raise KernelError(_explained(name, source, str(error))) from None
    _optimise(module, machine)
    public = [f.name for f in module.functions if not f.is_declaration and f.linkage == llvm.Linkage.external]
    engine = llvm.create_mcjit_compiler(module, machine)
    if keep is not None:
        engine.set_object_cache(lambda _, data: keep(cache.Entry(tuple(public), bytes(data))))
    engine.finalize_object()
    return Code(engine, {function: engine.get_function_address(function) for function in public})


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
        module = llvm.parse_assembly(source)
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

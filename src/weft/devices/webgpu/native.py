"""wgpu-py's native library, loaded once and quietly; everything else in this package goes through it.

``lib`` are the C functions as they are: cheap, for recording; an error in one shows when the batch is submitted.
``checked`` are the same functions, raising ``GPUError`` when the library reports an error during the call.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple


class Native(NamedTuple):
    """The loaded library: ``lib`` and ``checked`` functions, ``ffi``, and the ``wgpu`` module itself."""

    lib: Any
    checked: Any
    ffi: Any
    wgpu: Any


@lru_cache(maxsize=1)
def native() -> Native:
    """The library, loaded at the first call."""
    first = "wgpu" not in sys.modules
    with quiet():
        import wgpu
        from wgpu.backends import wgpu_native
        from wgpu.backends.wgpu_native import _api

    if (
        first
    ):  # the library logs what it also reports as an error; a program that uses wgpu itself keeps its log
        logging.getLogger("wgpu").setLevel(logging.CRITICAL)
    return Native(wgpu_native.lib, _api.libf, wgpu_native.ffi, wgpu)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep drivers from complaining on the terminal while they are loaded and asked.

    Mesa's EGL complains where ``XDG_RUNTIME_DIR`` is not set, so it is, to a private directory, for this long.
    """
    if "XDG_RUNTIME_DIR" in os.environ:
        yield
        return
    os.environ["XDG_RUNTIME_DIR"] = _private_directory()
    try:
        yield
    finally:
        os.environ.pop("XDG_RUNTIME_DIR", None)


@lru_cache(maxsize=1)
def _private_directory() -> str:
    directory = tempfile.mkdtemp(prefix="weft-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def abandon() -> None:
    """In a forked child: keep wgpu's objects from being released, which would hang or crash without its threads."""
    classes = native().wgpu.classes
    kinds = (classes.GPUObjectBase, classes.GPUAdapter)
    for candidate in gc.get_objects():
        if isinstance(candidate, kinds):
            candidate._internal = None
            if isinstance(candidate, classes.GPUDevice):
                candidate._poller = None

"""wgpu-py's native library, loaded once and without log output; the only module here that imports wgpu.

``lib`` has the plain C functions, for recording: they are cheap, and an error surfaces when the batch is submitted.
``checked`` has the same functions with a check: they raise ``GPUError`` when the library reports an error in the call.
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
    """Return the library, loaded at the first call."""
    first = "wgpu" not in sys.modules
    with quiet():
        import wgpu
        from wgpu.backends import wgpu_native
        from wgpu.backends.wgpu_native import _api

    # the library also logs the errors that it reports; a program that uses wgpu itself keeps its log
    if first:
        logging.getLogger("wgpu").setLevel(logging.CRITICAL)
    return Native(wgpu_native.lib, _api.libf, wgpu_native.ffi, wgpu)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress a warning of drivers on the terminal while they are loaded.

    Mesa's EGL warns where ``XDG_RUNTIME_DIR`` is not set, so within the block it is set to a private directory.
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
    """Keep a forked child from releasing wgpu's objects, which would hang or crash without the library's threads."""
    classes = native().wgpu.classes
    kinds = (classes.GPUObjectBase, classes.GPUAdapter)
    for candidate in gc.get_objects():
        if isinstance(candidate, kinds):
            candidate._internal = None
            if isinstance(candidate, classes.GPUDevice):
                candidate._poller = None

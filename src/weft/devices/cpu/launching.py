"""Launches: Python built-in functions that call a kernel with a fixed number of work items, without ``ctypes``.

The arguments of a launch are the addresses of the kernel's buffers and then its changing parameters. All launches share
one compiled function; its ``self`` is a *block* of words of 8 bytes that describes the call:

    entry, buffers, parameters, changing, items, reports, counter, None, mismatch,
    the default parameters, a word for each changing parameter

The function copies the default parameters, overwrites the changing ones (their word is twice the position, plus one for
a floating point number), increments the counter, and calls ``entry(buffers, parameters, 0, items)``. A kernel that
reports gets the address of two status words after its buffers, and the launch returns the index in them; else it
returns ``None``. The interpreter lock is held throughout, since such a kernel is shorter than a switch of threads.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

_SOURCE = """
%block = type { ptr, i64, i64, i64, i64, i64, ptr, ptr, ptr }

declare ptr @PyBytes_AsString(ptr)
declare i64 @PyLong_AsUnsignedLongLong(ptr)
declare i64 @PyLong_AsLongLong(ptr)
declare double @PyFloat_AsDouble(ptr)
declare ptr @PyErr_Occurred()
declare void @PyErr_SetNone(ptr)
declare ptr @PyLong_FromLongLong(i64)
declare void @Py_IncRef(ptr)

define ptr @weft.launch(ptr %self, ptr %arguments, i64 %count) nounwind {
entry:
  %block = call ptr @PyBytes_AsString(ptr %self)
  %all = load %block, ptr %block, align 1
  %kernel = extractvalue %block %all, 0
  %buffers = extractvalue %block %all, 1
  %parameters = extractvalue %block %all, 2
  %changing = extractvalue %block %all, 3
  %items = extractvalue %block %all, 4
  %reports = extractvalue %block %all, 5
  %counter = extractvalue %block %all, 6
  %none = extractvalue %block %all, 7
  %mismatch = extractvalue %block %all, 8
  %wanted = add i64 %buffers, %changing
  %right = icmp eq i64 %count, %wanted
  br i1 %right, label %begin, label %refuse
refuse:
  call void @PyErr_SetNone(ptr %mismatch)
  ret ptr null
begin:
  %usual = getelementptr %block, ptr %block, i64 1
  %places = getelementptr i64, ptr %usual, i64 %parameters
  %room = add i64 %buffers, 1
  %pointers = alloca i64, i64 %room, align 16
  %values = alloca i64, i64 %parameters, align 16
  %status = alloca [2 x i64], align 16
  br label %take
take:
  %i = phi i64 [ 0, %begin ], [ %i.next, %taken ]
  %i.some = icmp slt i64 %i, %buffers
  br i1 %i.some, label %take.address, label %copy
take.address:
  %at.argument = getelementptr ptr, ptr %arguments, i64 %i
  %argument = load ptr, ptr %at.argument
  %address = call i64 @PyLong_AsUnsignedLongLong(ptr %argument)
  %at.pointer = getelementptr i64, ptr %pointers, i64 %i
  store i64 %address, ptr %at.pointer
  %i.next = add i64 %i, 1
  %doubtful = icmp eq i64 %address, -1
  br i1 %doubtful, label %failed, label %taken
taken:
  br label %take
copy:
  %size = mul i64 %parameters, 8
  call void @llvm.memcpy.p0.p0.i64(ptr align 16 %values, ptr align 1 %usual, i64 %size, i1 false)
  br label %change
change:
  %c = phi i64 [ 0, %copy ], [ %c.next, %changed ]
  %c.some = icmp slt i64 %c, %changing
  br i1 %c.some, label %change.take, label %run
change.take:
  %at.place = getelementptr i64, ptr %places, i64 %c
  %place = load i64, ptr %at.place, align 1
  %position = lshr i64 %place, 1
  %floating = trunc i64 %place to i1
  %c.at = add i64 %buffers, %c
  %at.given = getelementptr ptr, ptr %arguments, i64 %c.at
  %given = load ptr, ptr %at.given
  %at.value = getelementptr i64, ptr %values, i64 %position
  %c.next = add i64 %c, 1
  br i1 %floating, label %change.float, label %change.int
change.int:
  %whole = call i64 @PyLong_AsLongLong(ptr %given)
  store i64 %whole, ptr %at.value
  %whole.doubtful = icmp eq i64 %whole, -1
  br i1 %whole.doubtful, label %suspect, label %changed
change.float:
  %number = call double @PyFloat_AsDouble(ptr %given)
  store double %number, ptr %at.value
  %number.doubtful = fcmp oeq double %number, -1.0
  br i1 %number.doubtful, label %suspect, label %changed
suspect:
  %error = call ptr @PyErr_Occurred()
  %fine = icmp eq ptr %error, null
  br i1 %fine, label %changed, label %failed
changed:
  br label %change
failed:
  ret ptr null
run:
  %calls = load i64, ptr %counter
  %calls.now = add i64 %calls, 1
  store i64 %calls.now, ptr %counter
  %reporting = icmp ne i64 %reports, 0
  br i1 %reporting, label %run.reporting, label %run.plain
run.plain:
  call void %kernel(ptr %pointers, ptr %values, i64 0, i64 %items)
  br label %well
run.reporting:
  store [2 x i64] zeroinitializer, ptr %status
  %behind = getelementptr i64, ptr %pointers, i64 %buffers
  %status.address = ptrtoint ptr %status to i64
  store i64 %status.address, ptr %behind
  call void %kernel(ptr %pointers, ptr %values, i64 0, i64 %items)
  %found = load i64, ptr %status
  %some = icmp ne i64 %found, 0
  br i1 %some, label %report, label %well
report:
  %at.index = getelementptr i64, ptr %status, i64 1
  %index = load i64, ptr %at.index
  %boxed = call ptr @PyLong_FromLongLong(i64 %index)
  ret ptr %boxed
well:
  call void @Py_IncRef(ptr %none)
  ret ptr %none
}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""

_FAST = 0x80
"""``METH_FASTCALL`` of Python's C API: a function of self, an array of arguments, and their number."""


class _Method(ctypes.Structure):
    """``PyMethodDef`` of Python's C API."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    )


@lru_cache(maxsize=None)
def _method() -> tuple[_Method, Any]:
    """Return the method definition of the compiled function, and ``PyCFunction_NewEx``."""
    from weft.devices.cpu.compiler import compile_module

    code = compile_module("launch", _SOURCE)
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype = ctypes.py_object
    make.argtypes = (ctypes.c_void_p, ctypes.py_object, ctypes.py_object)
    return _Method(b"launch", code.functions["weft.launch"], _FAST, None), make


def launch(
    entry: int, buffers: int, slots: str, parameters: Sequence[int | float], changing: Sequence[int], items: int,
    counter: ctypes.c_int64, reports: bool, held: Any,
) -> Callable[..., int | None]:  # fmt: skip
    """Return a built-in function that runs the kernel at an address.

    Args:
        entry: The address of the kernel's function.
        buffers: The number of the kernel's buffers.
        slots: For each parameter ``"q"`` for an integer, ``"d"`` for a floating point number.
        parameters: The default parameters.
        changing: The positions of the parameters that each call passes.
        items: The number of work items.
        counter: Counts the calls; it must live as long as the function.
        reports: Whether the kernel reports an index that is out of range.
        held: Kept alive by the function: the owners of the machine code and of the counter.

    Returns:
        The function. It returns the index that the kernel reports, else ``None``. For an address that is no number it
        raises ``TypeError`` before the kernel starts.
    """
    places = [2 * position + (slots[position] == "d") for position in changing]
    block = struct.pack(
        f"9q{slots}{len(places)}q",
        entry, buffers, len(parameters), len(places), items, reports, ctypes.addressof(counter), id(None),
        id(TypeError), *parameters, *places,
    )  # fmt: skip
    method, make = _method()
    function: Callable[..., int | None] = make(ctypes.addressof(method), block, held)
    return function

"""The compiled driver of plans: one native call that interprets a table of kernel calls, loops and branches.

The table is a sequence of *steps* of nine words of 8 bytes each. The words of a kernel call are

    entry, buffers, parameters, items, ranges, helpers, split, advancing, first

The driver calls ``entry(buffers, parameters, 0, items)`` or, where ``split`` is not 0, ``split(team, entry, buffers,
parameters, items, ranges, helpers)``, which distributes the items over threads. ``first`` points to the values of the
``advancing`` leading parameters in the first iteration of the loop, followed by their increments per iteration.

A *block* has 0 for ``entry`` and its kind for ``helpers``. The steps of its two bodies follow it: ``items`` steps of
the first body, then ``ranges`` steps of the second. The predicate of a block is the byte at ``buffers[0]``.

- A loop runs the second body ``first`` times; its first body is empty.
- A branch runs the first body where the predicate is not 0, else the second.
- A while loop runs the first body, ends where the predicate is 0 then, else runs the second body and repeats. Every 255
  iterations it lets Python check for signals, so that Ctrl-C ends it.

Before the first step, the driver writes the addresses of the run's storages into the pointer tables of the kernels. It
ends a run after a step that leaves a status word other than 0.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any

HEADER = 16
"""Words of the header.

Patches and their number, bases, steps and their number, the team, the status (two words), the count of calls; then the
functions of Python that acquire the interpreter lock, check for signals, fetch an exception, and release the lock; then
the exception that a signal handler raised (three words).
"""

STATUS = 6
"""The header's status word: 0, or the number of a kernel's report plus one; the next word holds the index."""

CALLS = 8
"""The header's word that counts the kernel calls of a run."""

PYTHON = 9
"""The header's first word with a function of Python."""

FETCHED = 13
"""The header's first word with the exception that a signal handler raised."""

INTERRUPTED = -1
"""The status of a run that a signal ended."""

LOOP, BRANCH, WHILE = 0, 1, 2
"""Kinds of blocks."""

_SOURCE = """
%step = type { ptr, ptr, ptr, i64, i64, i64, ptr, i64, ptr }
%patch = type { ptr, i64, i64 }                       ; the word to write, number of the base, offset in bytes
%header = type { ptr, i64, ptr, ptr, i64, ptr, i64, i64, i64, ptr, ptr, ptr, ptr }

define i64 @weft.replay(ptr %header) nounwind {
entry:
  %at.count = getelementptr %header, ptr %header, i64 0, i32 1
  %at.bases = getelementptr %header, ptr %header, i64 0, i32 2
  %at.steps = getelementptr %header, ptr %header, i64 0, i32 3
  %at.number = getelementptr %header, ptr %header, i64 0, i32 4
  %at.team = getelementptr %header, ptr %header, i64 0, i32 5
  %status = getelementptr %header, ptr %header, i64 0, i32 6
  %value = getelementptr %header, ptr %header, i64 0, i32 7
  %calls = getelementptr %header, ptr %header, i64 0, i32 8
  %patches = load ptr, ptr %header
  %count = load i64, ptr %at.count
  %bases = load ptr, ptr %at.bases
  %steps = load ptr, ptr %at.steps
  %number = load i64, ptr %at.number
  %team = load ptr, ptr %at.team
  store i64 0, ptr %status
  store i64 0, ptr %value
  store i64 0, ptr %calls
  br label %more
more:
  %i = phi i64 [ 0, %entry ], [ %next, %patch ]
  %some = icmp slt i64 %i, %count
  br i1 %some, label %patch, label %run
patch:
  %at = getelementptr %patch, ptr %patches, i64 %i
  %patch.all = load %patch, ptr %at
  %where = extractvalue %patch %patch.all, 0
  %base = extractvalue %patch %patch.all, 1
  %offset = extractvalue %patch %patch.all, 2
  %at.base = getelementptr i64, ptr %bases, i64 %base
  %start = load i64, ptr %at.base
  %address = add i64 %start, %offset
  store i64 %address, ptr %where
  %next = add i64 %i, 1
  br label %more
run:
  %result = call i64 @steps(ptr %steps, i64 %number, i64 0, ptr %status, ptr %team)
  ret i64 %result
}

define internal i64 @steps(ptr %steps, i64 %number, i64 %round, ptr %status, ptr %team) nounwind {
entry:
  br label %more
more:
  %i = phi i64 [ 0, %entry ], [ %next, %done ], [ %behind, %left ]
  %some = icmp slt i64 %i, %number
  br i1 %some, label %step, label %end
end:
  ret i64 0
step:
  %at = getelementptr %step, ptr %steps, i64 %i
  %all = load %step, ptr %at
  %entry.point = extractvalue %step %all, 0
  %buffers = extractvalue %step %all, 1
  %parameters = extractvalue %step %all, 2
  %items = extractvalue %step %all, 3
  %ranges = extractvalue %step %all, 4
  %helpers = extractvalue %step %all, 5
  %split = extractvalue %step %all, 6
  %advancing = extractvalue %step %all, 7
  %first = extractvalue %step %all, 8
  %next = add i64 %i, 1
  %blocks = icmp eq ptr %entry.point, null
  br i1 %blocks, label %block, label %call

block:
  %body = getelementptr %step, ptr %steps, i64 %next
  %middle = add i64 %next, %items
  %other = getelementptr %step, ptr %steps, i64 %middle
  %behind = add i64 %middle, %ranges
  %times = ptrtoint ptr %first to i64
  switch i64 %helpers, label %again [
    i64 1, label %branch
    i64 2, label %while
  ]
again:
  %turn = phi i64 [ 0, %block ], [ %turn.next, %inside ]
  %turns = icmp slt i64 %turn, %times
  br i1 %turns, label %inside, label %left
inside:
  %turn.next = add i64 %turn, 1
  %inner = call i64 @steps(ptr %other, i64 %ranges, i64 %turn, ptr %status, ptr %team)
  %well = icmp eq i64 %inner, 0
  br i1 %well, label %again, label %inner.stop
inner.stop:
  %inner.status = phi i64 [ %inner, %inside ], [ %chosen, %branch ], [ %tested, %while ], [ %stepped, %while.body ],
                      [ -1, %while.poll ]
  ret i64 %inner.status
left:
  br label %more

branch:
  %branch.at = load ptr, ptr %buffers
  %branch.byte = load i8, ptr %branch.at
  %taken = icmp ne i8 %branch.byte, 0
  %chosen.body = select i1 %taken, ptr %body, ptr %other
  %chosen.number = select i1 %taken, i64 %items, i64 %ranges
  %chosen = call i64 @steps(ptr %chosen.body, i64 %chosen.number, i64 %round, ptr %status, ptr %team)
  %chosen.well = icmp eq i64 %chosen, 0
  br i1 %chosen.well, label %left, label %inner.stop

while:
  %while.round = phi i64 [ 1, %block ], [ %while.next, %while.step ], [ %while.next, %while.poll ]
  %while.next = add i64 %while.round, 1
  %tested = call i64 @steps(ptr %body, i64 %items, i64 %round, ptr %status, ptr %team)
  %tested.well = icmp eq i64 %tested, 0
  br i1 %tested.well, label %while.test, label %inner.stop
while.test:
  %while.at = load ptr, ptr %buffers
  %while.byte = load i8, ptr %while.at
  %while.on = icmp ne i8 %while.byte, 0
  br i1 %while.on, label %while.body, label %left
while.body:
  %stepped = call i64 @steps(ptr %other, i64 %ranges, i64 %round, ptr %status, ptr %team)
  %stepped.well = icmp eq i64 %stepped, 0
  br i1 %stepped.well, label %while.step, label %inner.stop
while.step:
  %while.part = and i64 %while.round, 255
  %while.looks = icmp eq i64 %while.part, 0
  br i1 %while.looks, label %while.poll, label %while
while.poll:
  %signal = call i1 @signalled(ptr %status)
  br i1 %signal, label %inner.stop, label %while

call:
  %at.calls = getelementptr i64, ptr %status, i64 2
  %calls = load i64, ptr %at.calls
  %calls.now = add i64 %calls, 1
  store i64 %calls.now, ptr %at.calls
  %grows = getelementptr i64, ptr %first, i64 %advancing
  br label %advance
advance:
  %p = phi i64 [ 0, %call ], [ %p.next, %grow ]
  %p.some = icmp slt i64 %p, %advancing
  br i1 %p.some, label %grow, label %start
grow:
  %at.first = getelementptr i64, ptr %first, i64 %p
  %at.growth = getelementptr i64, ptr %grows, i64 %p
  %from = load i64, ptr %at.first
  %growth = load i64, ptr %at.growth
  %grown = mul i64 %growth, %round
  %now = add i64 %from, %grown
  %at.parameter = getelementptr i64, ptr %parameters, i64 %p
  store i64 %now, ptr %at.parameter
  %p.next = add i64 %p, 1
  br label %advance
start:
  %whole = icmp eq ptr %split, null
  br i1 %whole, label %direct, label %spread
direct:
  call void %entry.point(ptr %buffers, ptr %parameters, i64 0, i64 %items)
  br label %looked
spread:
  call void %split(ptr %team, ptr %entry.point, ptr %buffers, ptr %parameters, i64 %items, i64 %ranges, i64 %helpers)
  br label %looked
looked:
  %found = load i64, ptr %status
  %stop = icmp ne i64 %found, 0
  br i1 %stop, label %early, label %done
early:
  ret i64 %found
done:
  br label %more
}

define internal i1 @signalled(ptr %status) noinline nounwind {
  %at.hold = getelementptr i64, ptr %status, i64 3
  %at.look = getelementptr i64, ptr %status, i64 4
  %at.fetch = getelementptr i64, ptr %status, i64 5
  %at.release = getelementptr i64, ptr %status, i64 6
  %hold = load ptr, ptr %at.hold
  %look = load ptr, ptr %at.look
  %fetch = load ptr, ptr %at.fetch
  %release = load ptr, ptr %at.release
  %state = call i32 %hold()
  %found = call i32 %look()
  %some = icmp ne i32 %found, 0
  br i1 %some, label %clear, label %done
clear:
  %at.kind = getelementptr i64, ptr %status, i64 7
  %at.value = getelementptr i64, ptr %status, i64 8
  %at.trace = getelementptr i64, ptr %status, i64 9
  call void %fetch(ptr %at.kind, ptr %at.value, ptr %at.trace)
  br label %done
done:
  call void %release(i32 %state)
  ret i1 %some
}
"""


def python_functions() -> list[int]:
    """Return the addresses of Python's functions, in the order of the header."""
    names = ("PyGILState_Ensure", "PyErr_CheckSignals", "PyErr_Fetch", "PyGILState_Release")
    return [ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0 for name in names]


def raised_by_signal(kind: int, value: int, trace: int) -> BaseException:
    """Return the exception of a signal handler from the three references of ``PyErr_Fetch``, which are consumed."""
    restore = ctypes.PYFUNCTYPE(None, *(ctypes.c_void_p,) * 3)(("PyErr_Restore", ctypes.pythonapi))
    try:
        restore(kind, value, trace)  # ctypes raises the exception at once
    except BaseException as error:
        return error
    raise AssertionError("the signal handler raised no exception")


@lru_cache(maxsize=None)
def driver() -> Any:
    """Return the compiled driver: a function from the header's address to the status. Compiled once per process."""
    from weft.devices.cpu.compiler import compile_module

    code = compile_module("replay", _SOURCE)
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p)(code.functions["weft.replay"])

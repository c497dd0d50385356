"""How threads wait on each operating system, as IR for ``synchronisation``: pauses in spin loops, sleep and wake-up."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Final

PAUSES: Final = {
    "x86_64": ("call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"),
    "amd64": ("call void @llvm.x86.sse2.pause()", "declare void @llvm.x86.sse2.pause()"),
    "aarch64": ("call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"),
    "arm64": ("call void @llvm.aarch64.hint(i32 1)", "declare void @llvm.aarch64.hint(i32)"),
}
"""The instruction that tells a processor that a loop only waits, and its declaration, for each architecture."""


@dataclass(frozen=True)
class System:
    """The synchronisation functions of an operating system: their library, names, and IR wrappers."""

    library: str | None
    functions: tuple[str, ...]
    source: str


_POSIX = System(
    None,
    ("pthread_mutex_init", "pthread_cond_init", "pthread_mutex_lock", "pthread_mutex_unlock",
     "pthread_cond_wait", "pthread_cond_signal", "pthread_cond_broadcast"),
    """
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @pthread_cond_broadcast(ptr)
define internal void @prepare(ptr %mutex, ptr %work, ptr %done) {
  call i32 @pthread_mutex_init(ptr %mutex, ptr null)
  call i32 @pthread_cond_init(ptr %work, ptr null)
  call i32 @pthread_cond_init(ptr %done, ptr null)
  ret void
}
define internal void @lock(ptr %mutex) {
  call i32 @pthread_mutex_lock(ptr %mutex)
  ret void
}
define internal void @unlock(ptr %mutex) {
  call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}
define internal void @sleep(ptr %condition, ptr %mutex) {
  call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  ret void
}
define internal void @wake(ptr %condition) {
  call i32 @pthread_cond_signal(ptr %condition)
  ret void
}
define internal void @wake.all(ptr %condition) {
  call i32 @pthread_cond_broadcast(ptr %condition)
  ret void
}
""",
)  # fmt: skip

# Linux may wake a thread on the processor on which it ran last. Where that is the caller's processor, the thread would
# wait for the caller; this is frequent in virtual machines, where Linux takes idle processors for busy ones. The caller
# excludes its own processor from such a thread's affinity.
_LINUX = System(
    None,
    (*_POSIX.functions, "sched_getcpu", "sched_setaffinity"),
    _POSIX.source
    + """
declare i32 @sched_getcpu()
declare i32 @sched_setaffinity(i32, i64, ptr)
define internal i64 @here() {
  %found = call i32 @sched_getcpu()
  %processor = sext i32 %found to i64
  ret i64 %processor
}
define internal void @bar(ptr %team, i64 %thread, i64 %processor) {
  @processors@
  %mask = alloca [128 x i8], align 8
  call void @llvm.memcpy.p0.p0.i64(ptr %mask, ptr %processors, i64 128, i1 false)
  %byte = lshr i64 %processor, 3
  %known = icmp ult i64 %byte, 128
  br i1 %known, label %clear, label %end
clear:
  %place = getelementptr i8, ptr %mask, i64 %byte
  %old = load i8, ptr %place
  %low = and i64 %processor, 7
  %shift = trunc i64 %low to i8
  %bit = shl i8 1, %shift
  %others = xor i8 %bit, -1
  %new = and i8 %old, %others
  store i8 %new, ptr %place
  %id = trunc i64 %thread to i32
  call i32 @sched_setaffinity(i32 %id, i64 128, ptr %mask)   ; refused, with no harm, where no processor is left
  br label %end
end:
  ret void
}
""",
)

_ANYWHERE: Final = """
define internal i64 @here() {
  ret i64 -1
}
define internal void @bar(ptr %team, i64 %thread, i64 %processor) {
  ret void
}
"""

_WINDOWS = System(
    "kernel32",
    ("AcquireSRWLockExclusive", "ReleaseSRWLockExclusive", "SleepConditionVariableSRW",
     "WakeConditionVariable", "WakeAllConditionVariable"),
    """
declare void @AcquireSRWLockExclusive(ptr)
declare void @ReleaseSRWLockExclusive(ptr)
declare i32 @SleepConditionVariableSRW(ptr, ptr, i32, i32)
declare void @WakeConditionVariable(ptr)
declare void @WakeAllConditionVariable(ptr)
define internal void @prepare(ptr %mutex, ptr %work, ptr %done) {
  ret void                                   ; zeros are ready for use
}
define internal void @lock(ptr %mutex) {
  call void @AcquireSRWLockExclusive(ptr %mutex)
  ret void
}
define internal void @unlock(ptr %mutex) {
  call void @ReleaseSRWLockExclusive(ptr %mutex)
  ret void
}
define internal void @sleep(ptr %condition, ptr %mutex) {
  call i32 @SleepConditionVariableSRW(ptr %condition, ptr %mutex, i32 -1, i32 0)
  ret void
}
define internal void @wake(ptr %condition) {
  call void @WakeConditionVariable(ptr %condition)
  ret void
}
define internal void @wake.all(ptr %condition) {
  call void @WakeAllConditionVariable(ptr %condition)
  ret void
}
""",
)  # fmt: skip


_SYSTEMS: Final = {
    "linux": _LINUX,
    "win32": replace(_WINDOWS, source=_WINDOWS.source + _ANYWHERE),
}


def find() -> System:
    """Return the functions of this system; systems that are not in the table are taken for POSIX."""
    return _SYSTEMS.get(sys.platform) or replace(_POSIX, source=_POSIX.source + _ANYWHERE)

"""The thread pool's synchronisation as LLVM IR: starting, joining and finishing a job without the interpreter.

A *job* is a function, its argument, and a number of chunks. Each thread starts with its own part of the chunks, the
same part in every job with this number of threads, so that its data is still in the thread's cache; then it steals
chunks from the parts of others. A worker busy-waits for the next job for some microseconds, and sleeps after that; the
caller waits for the last chunks in the same way. Compiled code may start jobs too, through ``RUN``:

    void weft.run(ptr team, void (*job)(ptr argument, i64 chunk), ptr argument, i64 chunks, i64 helpers)

``state`` is one word, so that it changes atomically. It holds the number of the job, the number of workers that may
still join, and the number of workers inside. The caller starts a job by setting the places, a worker joins by taking a
place, and the caller closes the job by taking back the places that are left: later workers cannot join, and the caller
waits only for the workers inside. ``busy`` is the lock of callers: a second caller, or a call from inside a job, finds
it taken and runs its chunks alone.
"""

from __future__ import annotations

import platform
from typing import Final

from weft.devices.cpu.sleep import PAUSES, find

LINE: Final = 128
"""Bytes between words that different threads write, against false sharing: processors fetch two cache lines at once."""

RUN: Final = "weft.run"
"""The symbol by which compiled code starts jobs."""

WORDS: Final = {
    "state": 0, "job": 128, "argument": 136, "chunks": 144, "parts": 152, "busy": 256, "sleepers": 384,
    "serving": 392, "stopped": 400, "resting": 408, "watch": 512, "most": 520, "mutex": 640, "work": 768, "done": 896,
    "processors": 1024, "lines": 1152,
}  # fmt: skip
"""The offsets of a team's words in its memory; ``lines`` is the first of one line for each thread."""

# No wake-up is lost: a worker increments ``sleepers`` before its last check of ``state``, and a caller reads
# ``sleepers`` after it wrote ``state``, so at least one of them sees the other's write. The same holds for ``resting``
# and the last worker to leave.
_SERVE = """
define void @weft.serve(ptr %team, i64 %place, i64 %thread) nounwind {
entry:
  @state@ @mutex@ @work@ @done@ @sleepers@ @serving@ @stopped@ @resting@ @watch@
  %turns = load i64, ptr %watch, align 8
  %own = call ptr @line(ptr %team, i64 %place)
  %own.thread = getelementptr i8, ptr %own, i64 8
  %own.processor = getelementptr i8, ptr %own, i64 16
  store atomic i64 -1, ptr %own.processor monotonic, align 8
  store atomic i64 %thread, ptr %own.thread release, align 8
  %s0 = atomicrmw add ptr %serving, i64 1 seq_cst
  br label %watching
watching:
  %last = phi i64 [ 0, %entry ], [ %number, %again ], [ %last, %up ], [ %last, %retry ]
  br label %look
look:
  %turn = phi i64 [ %turns, %watching ], [ %fewer, %pause ]
  %seen = load atomic i64, ptr %state acquire, align 8
  %open = call i1 @open(i64 %seen, i64 %last)
  br i1 %open, label %join, label %pause
pause:
  @pause@
  %fewer = sub i64 %turn, 1
  %more = icmp sgt i64 %fewer, 0
  br i1 %more, label %look, label %tired
tired:
  %processor = call i64 @here()
  store atomic i64 %processor, ptr %own.processor monotonic, align 8
  call void @lock(ptr %mutex)
  %s1 = atomicrmw add ptr %sleepers, i64 1 seq_cst
  %end = load i64, ptr %stopped, align 8
  %ends = icmp ne i64 %end, 0
  br i1 %ends, label %leave, label %last.look
last.look:
  %late = load atomic i64, ptr %state seq_cst, align 8
  %late.open = call i1 @open(i64 %late, i64 %last)
  br i1 %late.open, label %up, label %rest
rest:
  call void @sleep(ptr %work, ptr %mutex)
  br label %up
up:                                          ; busy-waits again even where the job is over: the next may follow soon
  %s2 = atomicrmw sub ptr %sleepers, i64 1 seq_cst
  call void @unlock(ptr %mutex)
  br label %watching
leave:
  %s3 = atomicrmw sub ptr %sleepers, i64 1 seq_cst
  %s4 = atomicrmw sub ptr %serving, i64 1 seq_cst
  call void @unlock(ptr %mutex)
  ret void
join:
  %found = phi i64 [ %seen, %look ], [ %newer, %retry ]
  %with = sub i64 %found, 65535              ; one place less, one worker more
  %swap = cmpxchg ptr %state, i64 %found, i64 %with acquire acquire, align 8
  %newer = extractvalue { i64, i1 } %swap, 0
  %joined = extractvalue { i64, i1 } %swap, 1
  br i1 %joined, label %inside, label %retry
retry:
  %still = call i1 @open(i64 %newer, i64 %last)
  br i1 %still, label %join, label %watching
inside:
  %number = lshr i64 %with, 32
  call void @take(ptr %team, i64 %place)
  %before = atomicrmw sub ptr %state, i64 1 seq_cst
  %counts = and i64 %before, 4294967295
  %alone = icmp eq i64 %counts, 1            ; the job is closed, and nobody else is inside
  br i1 %alone, label %over, label %again
over:
  %rests = load atomic i64, ptr %resting seq_cst, align 8
  %waited = icmp ne i64 %rests, 0
  br i1 %waited, label %tell, label %again
tell:
  call void @lock(ptr %mutex)
  call void @wake(ptr %done)
  call void @unlock(ptr %mutex)
  br label %again
again:
  br label %watching
}

define internal i1 @open(i64 %state, i64 %last) alwaysinline {
  %number = lshr i64 %state, 32
  %new = icmp ne i64 %number, %last
  %places = and i64 %state, 4294901760
  %free = icmp ne i64 %places, 0
  %both = and i1 %new, %free
  ret i1 %both
}

define internal void @take(ptr %team, i64 %place) {
entry:
  @job@ @argument@ @chunks@ @parts@
  %function = load ptr, ptr %job, align 8
  %given = load ptr, ptr %argument, align 8
  %count = load i64, ptr %chunks, align 8
  %all = load i64, ptr %parts, align 8
  br label %part
part:
  %tried = phi i64 [ 0, %entry ], [ %following, %next ]
  %shifted = add i64 %place, %tried
  %own = urem i64 %shifted, %all
  %counter = call ptr @line(ptr %team, i64 %own)
  %after = add i64 %own, 1
  %end = call i64 @first(i64 %after, i64 %count, i64 %all)
  br label %more
more:
  %chunk = atomicrmw add ptr %counter, i64 1 monotonic
  %some = icmp slt i64 %chunk, %end
  br i1 %some, label %do, label %next
do:
  call void %function(ptr %given, i64 %chunk)
  br label %more
next:
  %following = add i64 %tried, 1
  %others = icmp slt i64 %following, %all
  br i1 %others, label %part, label %done
done:
  ret void
}

define internal ptr @line(ptr %team, i64 %place) alwaysinline {
  @lines@
  %offset = mul i64 %place, @LINE@               ; next chunk of the part, thread of the place, its processor
  %line = getelementptr i8, ptr %lines, i64 %offset
  ret ptr %line
}

define internal i64 @first(i64 %part, i64 %count, i64 %parts) alwaysinline {
  %product = mul i64 %part, %count
  %first = udiv i64 %product, %parts
  ret i64 %first
}
"""

_RUN = """
define void @weft.run(ptr %team, ptr %function, ptr %given, i64 %count, i64 %helpers) nounwind {
entry:
  @state@ @mutex@ @work@ @done@ @busy@ @sleepers@ @serving@ @resting@ @watch@ @job@ @argument@ @chunks@ @parts@ @most@
  %swap = cmpxchg ptr %busy, i64 0, i64 1 acquire monotonic, align 8
  %mine = extractvalue { i64, i1 } %swap, 1
  br i1 %mine, label %begin, label %alone
alone:
  %number = phi i64 [ 0, %entry ], [ %following, %do ]
  %left = icmp slt i64 %number, %count
  br i1 %left, label %do, label %end
do:
  call void %function(ptr %given, i64 %number)
  %following = add i64 %number, 1
  br label %alone
begin:
  store ptr %function, ptr %job, align 8
  store ptr %given, ptr %argument, align 8
  store i64 %count, ptr %chunks, align 8
  %limit = load i64, ptr %most, align 8
  %threads = add i64 %helpers, 1
  %all = call i64 @llvm.smin.i64(i64 %threads, i64 %limit)
  store i64 %all, ptr %parts, align 8
  br label %part
part:
  %which = phi i64 [ 0, %begin ], [ %which.next, %part ]
  %counter = call ptr @line(ptr %team, i64 %which)
  %first = call i64 @first(i64 %which, i64 %count, i64 %all)
  store atomic i64 %first, ptr %counter monotonic, align 8
  %which.next = add i64 %which, 1
  %parted = icmp sge i64 %which.next, %all
  br i1 %parted, label %publish, label %part
publish:
  %old = load atomic i64, ptr %state monotonic, align 8
  %old.number = lshr i64 %old, 32
  %new.number = add i64 %old.number, 1
  %high = shl i64 %new.number, 32
  %free = sub i64 %all, 1
  %places = shl i64 %free, 16
  %new = or i64 %high, %places
  %was = atomicrmw xchg ptr %state, i64 %new seq_cst
  %asleep = load atomic i64, ptr %sleepers seq_cst, align 8
  %threads.there = load atomic i64, ptr %serving monotonic, align 8
  %up = sub i64 %threads.there, %asleep
  %lacking = sub i64 %free, %up
  %wanted = call i64 @llvm.smin.i64(i64 %lacking, i64 %asleep)
  %wakes = icmp sgt i64 %wanted, 0
  br i1 %wakes, label %waking, label %working
waking:
  %here = call i64 @here()
  br label %look.at
look.at:
  %at = phi i64 [ 1, %waking ], [ %at.next, %looked ]
  %there = icmp slt i64 %at, %limit
  br i1 %there, label %compare, label %begin.waking
compare:
  %line = call ptr @line(ptr %team, i64 %at)
  %thread.at = getelementptr i8, ptr %line, i64 8
  %processor.at = getelementptr i8, ptr %line, i64 16
  %thread = load atomic i64, ptr %thread.at acquire, align 8
  %processor = load atomic i64, ptr %processor.at monotonic, align 8
  %same = icmp eq i64 %processor, %here
  %started = icmp ne i64 %thread, 0
  %moves = and i1 %same, %started
  br i1 %moves, label %move, label %looked
move:
  call void @bar(ptr %team, i64 %thread, i64 %here)
  br label %looked
looked:
  %at.next = add i64 %at, 1
  br label %look.at
begin.waking:
  call void @lock(ptr %mutex)
  br label %next.one
next.one:
  %woken = phi i64 [ 0, %begin.waking ], [ %one.more, %next.one ]
  call void @wake(ptr %work)
  %one.more = add i64 %woken, 1
  %enough = icmp sge i64 %one.more, %wanted
  br i1 %enough, label %woke, label %next.one
woke:
  call void @unlock(ptr %mutex)
  br label %working
working:
  call void @take(ptr %team, i64 0)
  %closed = atomicrmw and ptr %state, i64 -4294901761 seq_cst
  %turns = load i64, ptr %watch, align 8
  br label %look
look:
  %turn = phi i64 [ %turns, %working ], [ %fewer, %pause ]
  %seen = load atomic i64, ptr %state acquire, align 8
  %inside = and i64 %seen, 65535
  %finished = icmp eq i64 %inside, 0
  br i1 %finished, label %over, label %pause
pause:
  @pause@
  %fewer = sub i64 %turn, 1
  %more = icmp sgt i64 %fewer, 0
  br i1 %more, label %look, label %tired
tired:
  call void @lock(ptr %mutex)
  %r1 = atomicrmw xchg ptr %resting, i64 1 seq_cst
  br label %resting.look
resting.look:
  %late = load atomic i64, ptr %state seq_cst, align 8
  %late.inside = and i64 %late, 65535
  %late.finished = icmp eq i64 %late.inside, 0
  br i1 %late.finished, label %rested, label %rest
rest:
  call void @sleep(ptr %done, ptr %mutex)
  br label %resting.look
rested:
  store atomic i64 0, ptr %resting seq_cst, align 8
  call void @unlock(ptr %mutex)
  br label %over
over:
  store atomic i64 0, ptr %busy release, align 8
  br label %end
end:
  ret void
}
"""

_REST = """
define void @weft.open(ptr %team, i64 %threads, i64 %turns) {
  @mutex@ @work@ @done@ @watch@ @most@
  store i64 %turns, ptr %watch, align 8
  store i64 %threads, ptr %most, align 8
  call void @prepare(ptr %mutex, ptr %work, ptr %done)
  ret void
}

define void @weft.stop(ptr %team) {
  @mutex@ @work@ @stopped@
  call void @lock(ptr %mutex)
  store i64 1, ptr %stopped, align 8
  call void @wake.all(ptr %work)
  call void @unlock(ptr %mutex)
  ret void
}

define void @weft.pause(i64 %turns) noinline {
entry:
  br label %look
look:
  %turn = phi i64 [ %turns, %entry ], [ %fewer, %look ]
  @pause@
  %fewer = sub i64 %turn, 1
  %more = icmp sgt i64 %fewer, 0
  br i1 %more, label %look, label %done
done:
  ret void
}
"""

# A job over ranges of a kernel's work items. Ranges of large kernels begin at multiples of 64 items, so that no cache
# line is written by two threads.
_SPREAD = """
%share = type { ptr, ptr, ptr, i64, i64 }

define void @weft.spread(ptr %team, ptr %entry, ptr %buffers, ptr %parameters, i64 %items, i64 %ranges,
    i64 %helpers) nounwind {
  %all = alloca %share, align 8
  %w0 = insertvalue %share poison, ptr %entry, 0
  %w1 = insertvalue %share %w0, ptr %buffers, 1
  %w2 = insertvalue %share %w1, ptr %parameters, 2
  %w3 = insertvalue %share %w2, i64 %items, 3
  %w4 = insertvalue %share %w3, i64 %ranges, 4
  store %share %w4, ptr %all, align 8
  call void @weft.run(ptr %team, ptr @range, ptr %all, i64 %ranges, i64 %helpers)
  ret void
}

define internal void @range(ptr %all, i64 %number) {
  %own = load %share, ptr %all, align 8
  %entry = extractvalue %share %own, 0
  %buffers = extractvalue %share %own, 1
  %parameters = extractvalue %share %own, 2
  %items = extractvalue %share %own, 3
  %ranges = extractvalue %share %own, 4
  %following = add i64 %number, 1
  %low = call i64 @bound(i64 %number, i64 %items, i64 %ranges)
  %high = call i64 @bound(i64 %following, i64 %items, i64 %ranges)
  call void %entry(ptr %buffers, ptr %parameters, i64 %low, i64 %high)
  ret void
}

define internal i64 @bound(i64 %number, i64 %items, i64 %ranges) {
  %product = mul i64 %items, %number
  %exact = udiv i64 %product, %ranges
  %even = and i64 %exact, -64
  %small = icmp slt i64 %items, 1024
  %last = icmp eq i64 %number, %ranges
  %kept = or i1 %small, %last
  %found = select i1 %kept, i64 %exact, i64 %even
  ret i64 %found
}
"""


def source() -> str:
    """Return the IR of a team for this system."""
    pause, declared = PAUSES.get(platform.machine().lower(), ("", ""))
    text = find().source + _SERVE + _RUN + _REST + _SPREAD
    for name, offset in WORDS.items():
        text = text.replace(f"@{name}@", f"\n  %{name} = getelementptr i8, ptr %team, i64 {offset}")
    return declared + text.replace("@LINE@", str(LINE)).replace("@pause@", pause)

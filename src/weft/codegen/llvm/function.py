"""``FunctionWriter``: the control flow of one IR function (labels, loops, conditions, variables in memory).

Variables that change in loops are allocas, which LLVM turns into registers; loop counters are phi nodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from weft.expr.llvm_text import Lines


@dataclass
class FunctionWriter(Lines):
    """The lines of a function, and the name of the basic block that is being written."""

    allocas: list[str] = field(default_factory=list)
    block: str = "entry"

    def label(self, name: str) -> None:
        """Begin the block ``name``."""
        self.text.append(f"{name}:")
        self.block = name

    def local(self, kind: str) -> str:
        """Allocate a variable of an IR type and return its address."""
        name = f"%{self.fresh('a')}"
        self.allocas.append(f"  {name} = alloca {kind}")
        return name

    @contextmanager
    def loop(self, start: str, stop: str, step: int = 1, hint: str = "") -> Iterator[str]:
        """Write ``for (i = start; i < stop; i += step)`` around what is written in the context.

        The context's value is the name of the i64 counter. ``hint`` names the module's loop metadata, such as ``!0``.
        """
        number = self.fresh("")
        head, body, latch, done = (f"{part}{number}" for part in ("loop", "body", "next", "done"))
        before = self.block
        self.do(f"br label %{head}")
        self.label(head)
        self.do(f"%i{number} = phi i64 [ {start}, %{before} ], [ %n{number}, %{latch} ]")
        more = self.let(f"icmp slt i64 %i{number}, {stop}")
        self.do(f"br i1 {more}, label %{body}, label %{done}")
        self.label(body)
        yield f"%i{number}"
        self.do(f"br label %{latch}")
        self.label(latch)
        self.do(f"%n{number} = add nuw nsw i64 %i{number}, {step}")
        self.do(f"br label %{head}" + (f", !llvm.loop {hint}" if hint else ""))
        self.label(done)

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """Write ``if (condition)``, an i1, around what is written in the context."""
        number = self.fresh("")
        self.do(f"br i1 {condition}, label %then{number}, label %end{number}")
        self.label(f"then{number}")
        yield
        self.do(f"br label %end{number}")
        self.label(f"end{number}")

    def function(self, head: str) -> str:
        """Return the definition under its head line, ``define void @f(…)``."""
        return "\n".join([f"{head} {{", "entry:", *self.allocas, *self.text, "  ret void", "}"])

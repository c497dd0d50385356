"""Detect loops of users' WGSL that a software driver aborts.

A software driver leaves all loops of an invocation after 65,535 iterations in total, and continues behind the loop
without an error. So each loop is instrumented: its condition and each ``break`` set ``weft_left``, and code behind the
loop reports a loop that ended otherwise. Line numbers do not change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from weft.errors import KernelError

HELPERS = """var<private> weft_left: bool = false;
fn weft_goes(go: bool) -> bool { weft_left = !go; return go; }
fn weft_ends(end: bool) -> bool { weft_left = end; return end; }
"""
"""Functions that the instrumented text calls, besides ``weft_report``."""

_BEHIND = " if (!weft_left) { weft_report(0); } weft_left = false;"
_LEAVE = "{ weft_left = true; break; }"
_TOKEN = re.compile(r"[A-Za-z_]\w*|->|[{}()\[\];]")
_LOOP = re.compile(r"\b(?:for|while|loop)\b")


@dataclass
class _Block:
    """An open pair of braces: its kind, whether a loop has an exit, and whether a function returns a value."""

    kind: str
    ends: bool = False
    gives: bool = False


@dataclass
class _Rewriting:
    """The state of instrumentation: the text without comments, the position, the open blocks, and the edits."""

    name: str
    plain: str
    at: int = 0
    blocks: list[_Block] = field(default_factory=list)
    edits: list[tuple[int, int, str]] = field(default_factory=list)

    def run(self) -> None:
        waiting = _Block("block")
        while (token := _TOKEN.search(self.plain, self.at)) is not None:
            self.at = token.end()
            match token[0]:
                case "fn":
                    waiting = _Block("function", gives="->" in self.plain[self.at : self._opening()])
                case "for":
                    waiting = _Block("loop", ends=self._header())
                case "while":
                    self._wrap("weft_goes", self.at, self._opening())
                    waiting = _Block("loop", ends=True)
                case "loop":
                    waiting = _Block("loop")
                case "switch":
                    waiting = _Block("switch")
                case "break":
                    self._break(token.start())
                case "{":
                    self.blocks.append(waiting)
                    waiting = _Block("block")
                case "}" if self.blocks:
                    self._close(self.blocks.pop())
                case _:
                    pass

    def _opening(self) -> int:
        """Return the position of the next opening brace, or the end of the text, for which the compiler reports."""
        found = self.plain.find("{", self.at)
        return len(self.plain) if found < 0 else found

    def _wrap(self, function: str, start: int, end: int) -> None:
        self.edits += [(start, 0, f" {function}("), (end, 0, ")")]

    def _header(self) -> bool:
        """Skip the header of a ``for``, and return whether it has a condition, which is then instrumented."""
        start = self.plain.find("(", self.at)
        parts, depth = [start], 0
        for at in range(max(start, 0), len(self.plain)):
            depth += (self.plain[at] in "([") - (self.plain[at] in ")]")
            if self.plain[at] == ";" and depth == 1:
                parts.append(at)
            if depth == 0:
                self.at = at + 1
                break
        if len(parts) != 3 or not self.plain[parts[1] + 1 : parts[2]].strip():
            return False
        self._wrap("weft_goes", parts[1] + 1, parts[2])
        return True

    def _break(self, start: int) -> None:
        around = next((block for block in reversed(self.blocks) if block.kind in ("loop", "switch")), None)
        condition = re.compile(r"\s*if\b").match(self.plain, self.at)
        if around is None or around.kind == "switch" and condition is None:
            return
        if condition is not None:
            around = next((block for block in reversed(self.blocks) if block.kind == "loop"), around)
            end = self.plain.find(";", self.at)
            self._wrap("weft_ends", condition.end(), len(self.plain) if end < 0 else end)
        else:
            self.edits.append((start, len("break"), _LEAVE))
        around.ends = True

    def _close(self, block: _Block) -> None:
        if block.kind != "loop":
            return
        gives = next((outer.gives for outer in reversed(self.blocks) if outer.kind == "function"), False)
        if gives and not block.ends:
            raise KernelError(
                f"{self.name}: a loop in a function with a result ends only by return, expected a condition or break, "
                f"since a software driver would silently abort the loop after 65,535 iterations; end it by break"
            )
        self.edits.append((self.at, 0, _BEHIND))


def has_loops(plain: str) -> bool:
    """Return whether text without comments has a loop."""
    return _LOOP.search(plain) is not None


def watched(name: str, text: str, plain: str) -> str:
    """Return the text with every loop instrumented.

    Args:
        name: the kernel's, for errors.
        text: the user's WGSL.
        plain: the same with its comments as spaces.

    Raises:
        KernelError: a loop cannot be instrumented.
    """
    rewriting = _Rewriting(name, plain)
    rewriting.run()
    for start, count, inserted in sorted(rewriting.edits, key=lambda edit: edit[0], reverse=True):
        text = text[:start] + inserted + text[start + count :]
    return text

"""Loops of users' WGSL that a driver ends before their condition does are found and reported.

A software driver leaves every loop of an invocation once they have taken 65,535 turns together, and goes on behind it
as if nothing had happened. Each loop is therefore rewritten to note how it ended: its condition and its ``break``
set ``weft_left``, and what stands behind the loop reports where neither did. Line numbers stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from weft.errors import KernelError

HELPERS = """var<private> weft_left: bool = false;
fn weft_goes(go: bool) -> bool { weft_left = !go; return go; }
fn weft_ends(end: bool) -> bool { weft_left = end; return end; }
"""
"""What the rewritten text calls, besides ``weft_report``."""

_BEHIND = " if (!weft_left) { weft_report(0); } weft_left = false;"
_LEAVE = "{ weft_left = true; break; }"
_TOKEN = re.compile(r"[A-Za-z_]\w*|->|[{}()\[\];]")
_LOOP = re.compile(r"\b(?:for|while|loop)\b")


@dataclass
class _Block:
    """A pair of braces: what it belongs to, whether a loop can end by itself, whether a function gives a value."""

    kind: str
    ends: bool = False
    gives: bool = False


@dataclass
class _Rewriting:
    """The text without comments, where the next token begins, the open blocks, and what is to be inserted where."""

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
        """Where the next brace opens; the end of the text where none does, which the compiler will say."""
        found = self.plain.find("{", self.at)
        return len(self.plain) if found < 0 else found

    def _wrap(self, function: str, start: int, end: int) -> None:
        self.edits += [(start, 0, f" {function}("), (end, 0, ")")]

    def _header(self) -> bool:
        """The parentheses of a ``for``; whether they have a condition. What stands in them is no statement."""
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
                f"{self.name}: a loop that only return ends, in a function with a result, cannot be watched on a "
                f"software driver, which would end it in silence after 65,535 turns; end it with break"
            )
        self.edits.append((self.at, 0, _BEHIND))


def has_loops(plain: str) -> bool:
    """Return whether text without comments has a loop."""
    return _LOOP.search(plain) is not None


def watched(name: str, text: str, plain: str) -> str:
    """Return the text with every loop noting how it ended.

    Args:
        name: the kernel's, for errors.
        text: the user's WGSL.
        plain: the same with its comments as spaces.

    Raises:
        KernelError: for a loop that cannot be watched.
    """
    rewriting = _Rewriting(name, plain)
    rewriting.run()
    for start, count, inserted in sorted(rewriting.edits, key=lambda edit: edit[0], reverse=True):
        text = text[:start] + inserted + text[start + count :]
    return text

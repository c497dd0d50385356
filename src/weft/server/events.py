"""Events of an answer's text (content, reasoning, tool calls)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Content:
    """Text for the reader of the answer."""

    text: str


@dataclass(frozen=True)
class Reasoning:
    """Text of the model's reasoning before its answer."""

    text: str


@dataclass(frozen=True)
class ToolStart:
    """The start of a tool call; ``index`` counts the calls of an answer from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True)
class ToolArguments:
    """A piece of a call's arguments; the pieces of a complete call add up to the JSON text of an object."""

    index: int
    text: str


@dataclass(frozen=True)
class ToolEnd:
    """The end of a tool call. ``problem`` says why the call is incomplete; None where it is complete."""

    index: int
    problem: str | None = None


Event = Content | Reasoning | ToolStart | ToolArguments | ToolEnd

"""Events of an answer's text (content, reasoning, tool calls), and the message that they add up to."""

from __future__ import annotations

from collections.abc import Iterable
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


@dataclass(frozen=True)
class ToolCall:
    """A tool call: ``arguments`` is the JSON text of an object, unless ``problem`` says what is wrong with it."""

    id: str
    name: str
    arguments: str
    problem: str | None = None


@dataclass(frozen=True)
class Message:
    """An answer in its parts."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


def message(events: Iterable[Event]) -> Message:
    """Return the message that events add up to.

    >>> message([Reasoning("Blue?"), Content("It is "), Content("blue.")])
    Message(content='It is blue.', reasoning='Blue?', tool_calls=())
    """
    content: list[str] = []
    reasoning: list[str] = []
    starts: list[ToolStart] = []
    arguments: list[str] = []
    problems: list[str | None] = []
    for event in events:
        match event:
            case Content(text):
                content.append(text)
            case Reasoning(text):
                reasoning.append(text)
            case ToolStart():
                starts.append(event)
                arguments.append("")
                problems.append("the call has not ended")
            case ToolArguments(index, text):
                arguments[index] += text
            case ToolEnd(index, problem):
                problems[index] = problem
    calls = tuple(
        ToolCall(start.id, start.name, text, problem)
        for start, text, problem in zip(starts, arguments, problems, strict=True)
    )
    return Message("".join(content), "".join(reasoning), calls)

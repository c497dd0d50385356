"""Events of an answer's text (interim)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Content:
    text: str


@dataclass(frozen=True)
class Reasoning:
    text: str


@dataclass(frozen=True)
class ToolStart:
    index: int
    id: str
    name: str


@dataclass(frozen=True)
class ToolArguments:
    index: int
    text: str


@dataclass(frozen=True)
class ToolEnd:
    index: int


Event = Content | Reasoning | ToolStart | ToolArguments | ToolEnd

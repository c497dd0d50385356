"""Parsers of answers: reasoning and tool calls out of the text that a model writes, in the format of its family.

A text goes through ``parser`` (the choice of the format, markers) to the reader of the format: ``objects`` (JSON),
``tags`` (XML), ``pythonic``, ``harmony``. Readers pull characters from ``source`` and put events into ``output``.
"""

from weft.engine.parsing.events import (
    Content,
    Event,
    Message,
    Reasoning,
    ToolArguments,
    ToolCall,
    ToolEnd,
    ToolStart,
    message,
)
from weft.engine.parsing.parser import OutputParser, output_parser

__all__ = [
    "Content",
    "Event",
    "Message",
    "OutputParser",
    "Reasoning",
    "ToolArguments",
    "ToolCall",
    "ToolEnd",
    "ToolStart",
    "message",
    "output_parser",
]

"""Harmony, the format of gpt_oss: messages on channels, ``<|channel|>analysis<|message|>…<|end|>``.

The channel ``analysis`` is reasoning, ``final`` and ``commentary`` are content, and a message to ``functions.NAME``
is a call of that tool.
"""

from __future__ import annotations

import re

from weft.engine.parsing.objects import read_arguments
from weft.engine.parsing.output import Output
from weft.engine.parsing.source import Malformed, Markers, Reader, Source

START, CHANNEL, MESSAGE, CONSTRAIN = "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"
ENDS = ("<|end|>", "<|call|>", "<|return|>")
CONTROLS = frozenset({START, CHANNEL, MESSAGE, CONSTRAIN, *ENDS})
END_OF_HEADER = Markers([MESSAGE, *ENDS])
END_OF_BODY = Markers([START, CHANNEL, *ENDS])
HEADER = re.compile(
    r"(?:<\|start\|>)?(?:assistant)?\s*(?:to=(?P<first>[^\s<]+))?\s*(?:<\|channel\|>\s*(?P<channel>\w+))?"
    r"\s*(?:to=(?P<second>[^\s<]+))?\s*(?:<\|constrain\|>)?\s*\w*\s*"
)
SPACE = re.compile(r"\s+")
FUNCTIONS, REASONING = "functions.", "analysis"


def read_harmony(source: Source, output: Output) -> Reader[None]:
    """Read the messages of an answer, of which the first begins behind ``<|start|>assistant``."""
    last = ""
    while True:
        space = yield from source.matching(SPACE)
        if last not in (START, CHANNEL) and not (yield from _header_begins(source)):
            output.content(space)
            last = yield from END_OF_BODY.find(source, output.content)  # text without a header
            if not last:
                return
            continue
        header = [CHANNEL] if last == CHANNEL else []
        last = yield from END_OF_HEADER.find(source, header.append)
        text = "".join(header)
        if last != MESSAGE:
            output.content(text)  # a header without a message
            if not last:
                return
            continue
        found = HEADER.fullmatch(text)
        if found is None:
            output.content(text)
        recipient = (found["first"] or found["second"] or "") if found else ""
        if recipient.startswith(FUNCTIONS) or recipient in output.tools:
            yield from _call(source, output, recipient.removeprefix(FUNCTIONS))
        output.separate()
        emit = output.reasoning if found and found["channel"] == REASONING else output.content
        last = yield from END_OF_BODY.find(source, emit)
        if not last:
            return


def _header_begins(source: Source) -> Reader[bool]:
    ahead = yield from source.ahead(3)
    return ahead == "to=" or ahead.startswith("<|")


def _call(source: Source, output: Output, name: str) -> Reader[None]:
    """Read a call's arguments; what follows them, or makes them no arguments, is left to the message's channel."""
    problem = None
    source.hold()
    try:
        output.start(name)
        yield from read_arguments(source, output.arguments)
    except Malformed as error:
        problem = str(error)
        source.rewind()
    if output.open:
        output.end(problem)
    source.release()

"""``OutputParser``: an answer's text to events, piece by piece; and the choice of the format by a model's template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from weft.engine.parsing.events import Event
from weft.engine.parsing.formats import FORMATS, PLAIN, Body, Format, format_of
from weft.engine.parsing.output import Output
from weft.engine.parsing.source import Malformed, Markers, Reader, Source
from weft.errors import ArgumentError, UnsupportedError, mistake

Tags = tuple[str, str]


class OutputParser:
    """Takes an answer's text in pieces and gives its events: content, reasoning and tool calls.

    Every cutting of a text gives the same events, apart from where neighbouring texts are cut. No text is lost: what
    begins as a call and is none becomes content; a call that ends too early has a ``problem`` in its ``ToolEnd``.

    >>> parser = output_parser("qwen3", [{"name": "weather"}])
    >>> parser.push("<think>Rain?</think>Let me see. <tool")
    [Reasoning(text='Rain?'), Content(text='Let me see.')]
    >>> start, arguments = parser.push('_call>{"name": "weather", "arguments": {"city": "Pa')
    >>> start.name, arguments.text
    ('weather', '{"city": "Pa')
    >>> parser.push('ris"}}</tool_call>'), parser.finish()
    ([ToolArguments(index=0, text='ris"}'), ToolEnd(index=0, problem=None)], [])

    Attributes:
        format: the format's name.
        controls: texts of control tokens that the parser needs: a stream of tokens keeps these, and drops others.
    """

    def __init__(
        self, format: Format, tools: Mapping[str, Any], reasoning: Tags | None = None, *, thinking: bool = False
    ) -> None:  # fmt: skip
        calls = {} if not tools else format.calls
        closes = {format.close[start] for start in calls if start in format.close}
        self.format = format.name
        self.controls = frozenset({*calls, *closes, *(reasoning or ()), *format.controls})
        self._source = Source()
        self._output = Output(self._source, tools, format.new_id)
        if format.whole is not None:
            self._reader = format.whole(self._source, self._output)
        else:
            self._reader = _answer(self._source, self._output, format, calls, reasoning, thinking)
        self._ended = False

    def push(self, text: str) -> list[Event]:
        """Take a piece of the text; return the events that are certain."""
        if self._ended:
            raise ArgumentError("OutputParser.push: the text has ended; make a parser for each answer")
        self._source.feed(text)
        with suppress(StopIteration):
            next(self._reader)
        return self._output.take()

    def finish(self) -> list[Event]:
        """End the text; return the last events. A call that is still open ends with a problem."""
        if not self._ended:
            self._ended = True
            self._source.end()
            with suppress(StopIteration):
                next(self._reader)
            self._output.finish()
        return self._output.take()


def output_parser(
    template: str | None, tools: Iterable[Mapping[str, Any]] | None = None, *, prompt: str = "",
    objects: bool = False,
) -> OutputParser:  # fmt: skip
    """Return the parser for a model's answers.

    Args:
        template: the source of the model's chat template, or the name of its family.
        tools: the tools of the request, in OpenAI's form or as the function's object alone. Without tools nothing is
            taken for a call, except in formats whose messages name their recipient.
        prompt: the end of the prompt's text: where the template has opened the reasoning, the answer begins in it.
        objects: calls are JSON objects without markers, as a grammar makes them, whatever the template's format.

    Raises:
        UnsupportedError: for tools, where the template has none of the known formats.
        ArgumentError: for a tool without a name.
    """
    known = _tools(tools)
    format, reasoning = format_of(template or "")
    if objects:
        format = next(row for row in FORMATS if row.name == "llama3")
    if known and format is PLAIN:
        names = ", ".join(row.name for row in FORMATS)
        raise UnsupportedError(
            mistake("tools", "the chat template", "of no known format", f"the format of one of {names}")
        )
    thinking = reasoning is not None and prompt.rstrip().endswith(reasoning[0])
    return OutputParser(format, known, reasoning, thinking=thinking)


def _tools(tools: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    """Return the schemas of the tools' parameters by name."""
    found: dict[str, Any] = {}
    for tool in tools or ():
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ArgumentError(mistake("tools", "a tool", repr(tool)[:80], "an object with a name"))
        found[name] = function.get("parameters", function.get("input_schema"))
    return found


def _answer(
    source: Source, output: Output, format: Format, calls: Mapping[str, Body], reasoning: Tags | None, thinking: bool
) -> Reader[None]:  # fmt: skip
    """Read an answer in which markers begin reasoning and calls."""
    starts = [*calls, *([reasoning[0]] if reasoning else [])]
    plain = Markers(starts)
    bare = format.bare if output.tools else {}
    if thinking and reasoning:
        yield from _reason(source, output, reasoning)
    close = ""
    while True:
        if bare and output.fresh and not output.calls:
            yield from _bare(source, output, bare)
        markers = Markers([*starts, close]) if close else plain
        marker = yield from markers.find(source, output.content)
        if not marker:
            return
        if marker == close:
            close = ""
        elif reasoning and marker == reasoning[0]:
            if output.fresh:
                yield from _reason(source, output, reasoning)
            else:
                output.content(marker)
        else:
            close = yield from _call(source, output, marker, calls[marker], format.close.get(marker, ""))


def _reason(source: Source, output: Output, tags: Tags) -> Reader[None]:
    """Read reasoning up to its closing marker. A model may repeat the marker with which the template opened it."""
    output.mark("reasoning")
    yield from source.space()
    if (yield from source.ahead(len(tags[0]))) == tags[0]:
        source.skip(len(tags[0]))
    if (yield from Markers([tags[1]]).find(source, output.reasoning)):
        output.mark("reasoning")


def _bare(source: Source, output: Output, bodies: Mapping[str, Body]) -> Reader[None]:
    """Read calls that begin an answer without a marker, if there are any."""
    source.hold()
    body = bodies.get((yield from source.space()))
    if body is None:
        source.rewind()
    else:
        yield from _attempt(source, output, body)


def _call(source: Source, output: Output, marker: str, body: Body, close: str) -> Reader[str]:
    """Read the calls after a marker; return the closing marker, if it has not come yet."""
    source.hold()
    before = output.calls
    complete = yield from _attempt(source, output, body)
    if output.calls == before:
        output.content(marker)  # no call: the text after the marker is read again
        return ""
    if complete and close:
        source.hold()
        yield from source.space()
        if (yield from source.ahead(len(close))) == close:
            source.skip(len(close))
            source.release()
            return ""
        source.rewind()
    return close


def _attempt(source: Source, output: Output, body: Body) -> Reader[bool]:
    """Read calls; return whether all of them are complete. Text that belongs to no call is left to be read again."""
    problem = None
    try:
        yield from body(source, output)
    except Malformed as error:
        problem = str(error)
        source.rewind()
        if output.open:
            output.end(problem)
    source.release()
    return problem is None

"""The formats in which models write tool calls and reasoning, one row each, and which of them a model uses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from weft.engine.parsing.harmony import CONTROLS, read_harmony
from weft.engine.parsing.objects import ARGS, CALL_ID, read_mistral, read_objects
from weft.engine.parsing.output import Output, random_id, short_id
from weft.engine.parsing.pythonic import read_calls
from weft.engine.parsing.source import Reader, Source
from weft.engine.parsing.tags import FUNCTION, read_function

Call = tuple[str, Mapping[str, Any]]
"""The name of a tool and its arguments."""
Body = Callable[[Source, Output], Reader[None]]
THINK, THINK_BRACKETS = ("<think>", "</think>"), ("[THINK]", "[/THINK]")
REASONING = (THINK, THINK_BRACKETS)
"""Markers around reasoning. A template that contains the second of them makes a model that reasons."""


@dataclass(frozen=True)
class Format:
    """How calls are written.

    Attributes:
        name: of the format.
        sign: matches in the templates of the format.
        families: families whose models use the format.
        calls: what reads the calls after a marker.
        close: the marker that ends calls, by the one that begins them.
        bare: what reads calls without a marker at the beginning of an answer, by their first character.
        whole: what reads a whole answer, where the format has messages instead of markers.
        controls: control tokens of the format besides its markers.
        new_id: makes the id of a call.
        write: writes calls, for templates that leave them out of earlier answers.
    """

    name: str
    sign: re.Pattern[str] | None
    families: tuple[str, ...] = ()
    calls: Mapping[str, Body] = field(default_factory=dict)
    close: Mapping[str, str] = field(default_factory=dict)
    bare: Mapping[str, Body] = field(default_factory=dict)
    whole: Body | None = None
    controls: frozenset[str] = frozenset()
    new_id: Callable[[], str] = random_id
    write: Callable[[Sequence[Call]], str] | None = None


def _tagged(source: Source, output: Output) -> Reader[None]:
    """Read the inside of ``<tool_call>``: objects, or a function with parameters."""
    if (yield from source.space()) == "<":
        yield from source.expect(FUNCTION)
        yield from read_function(source, output)
    else:
        yield from read_objects(source, output)


def _write_lfm2(calls: Sequence[Call]) -> str:
    def written(value: Any) -> str:
        return (
            json.dumps(value, ensure_ascii=False) if isinstance(value, str | list | Mapping) else str(value)
        )

    parts = (
        f"{name}({', '.join(f'{key}={written(value)}' for key, value in given.items())})"
        for name, given in calls
    )
    return f"<|tool_call_start|>[{', '.join(parts)}]<|tool_call_end|>"


def _write_granite(calls: Sequence[Call]) -> str:
    objects = [{"name": name, "arguments": given} for name, given in calls]
    return "<|tool_call|>" + json.dumps(objects, ensure_ascii=False)


def _objects(start: str, end: str) -> tuple[dict[str, Body], dict[str, str]]:
    return {start: read_objects}, {start: end}


TOOL_CALL = {"<tool_call>": _tagged}
END_TOOL_CALL = {"<tool_call>": "</tool_call>", FUNCTION: "</tool_call>"}
KNOWN_OBJECTS, KNOWN_CALLS = partial(read_objects, known=True), partial(read_calls, known=True)

FORMATS = (
    Format("harmony", re.compile(r"<\|channel\|>"), ("gpt_oss",), whole=read_harmony, controls=CONTROLS),
    Format(
        "tags", re.compile(r"<function=(?s:.)*<parameter="), ("qwen3_5",),
        {**TOOL_CALL, FUNCTION: read_function}, END_TOOL_CALL,
    ),
    Format(
        "lfm2", re.compile(r"<\|tool_(?:list|call)_start\|>|List of tools: \["), ("lfm2",),
        {"<|tool_call_start|>": read_calls}, {"<|tool_call_start|>": "<|tool_call_end|>"}, write=_write_lfm2,
    ),
    Format(
        "olmo3", re.compile(r"<function_calls>"), ("olmo3",),
        {"<function_calls>": read_calls}, {"<function_calls>": "</function_calls>"},
    ),
    Format(
        "mistral", re.compile(r"\[TOOL_CALLS\]"), ("mistral", "mixtral", "ministral3"),
        {"[TOOL_CALLS]": read_mistral}, controls=frozenset({ARGS, CALL_ID}), new_id=short_id,
    ),
    Format("tool_calls", re.compile(r"<tool_calls>"), (), *_objects("<tool_calls>", "</tool_calls>")),
    Format("toolcall", re.compile(r"<TOOLCALL>"), (), *_objects("<TOOLCALL>", "</TOOLCALL>")),
    Format(
        "hermes", re.compile(r"<tool_call>(?!(?s:.)*<arg_key>)"), ("qwen2", "qwen3", "qwen3_moe", "smollm3"),
        TOOL_CALL, END_TOOL_CALL,
    ),
    Format(
        "granite", re.compile(r"<\|tool_call\|>"), ("granite", "phi3"),
        {"<|tool_call|>": read_objects}, {"<|tool_call|>": "<|/tool_call|>"}, write=_write_granite,
    ),
    Format(
        "llama4", re.compile(r"<\|header_start\|>"), (),
        {"<|python_start|>": read_calls}, {"<|python_start|>": "<|python_end|>"}, {"[": KNOWN_CALLS},
    ),
    Format(
        "llama3", re.compile(r"<\|start_header_id\|>(?s:.)*\"parameters\""), ("llama",),
        {"<|python_tag|>": read_objects}, {}, {"{": KNOWN_OBJECTS},
    ),
)  # fmt: skip
"""Formats in the order in which a template is searched for their signs."""
PLAIN = Format("plain", None)
"""The format of models that call no tools."""


def format_of(template: str) -> tuple[Format, tuple[str, str] | None]:
    """Return the format of a template or family, and its markers of reasoning."""
    for format in FORMATS:
        if template in format.families:
            return format, THINK
    if "{" not in template:
        return PLAIN, THINK if template else None
    found = (row for row in FORMATS if row.sign is not None and row.sign.search(template))
    return next(found, PLAIN), next((tags for tags in REASONING if tags[1] in template), None)

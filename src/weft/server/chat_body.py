"""The body of OpenAI's chat completions: messages, tools, formats of the answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from weft.server.fields import Body, JSONObject, SamplingFields

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")]


class TextPart(Body):
    """A piece of text; other kinds of content are not served."""

    type: Literal["text"]
    text: str


Text = str | list[TextPart]


class SystemMessage(Body):
    """Instructions; ``developer`` means the same as ``system``."""

    role: Literal["system", "developer"]
    content: Text
    name: str | None = None


class UserMessage(Body):
    """A turn of the user."""

    role: Literal["user"]
    content: Text
    name: str | None = None


class FunctionCall(Body):
    """A call's function, and its arguments as JSON text."""

    name: str
    arguments: str


class ToolCallPart(Body):
    """A call of a tool in an earlier answer."""

    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class AssistantMessage(Body):
    """An earlier answer, as the server gave it."""

    role: Literal["assistant"]
    content: Text | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCallPart] | None = None
    name: str | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: Annotated[list[JSONObject], Field(max_length=0)] | None = None


class ToolMessage(Body):
    """What a tool returned."""

    role: Literal["tool"]
    content: Text
    tool_call_id: str
    name: str | None = None


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]


class Function(Body):
    """A function that the model may call; ``parameters`` is a JSON Schema."""

    name: Name
    description: str | None = None
    parameters: JSONObject | None = None
    strict: bool | None = None


class Tool(Body):
    """A tool."""

    type: Literal["function"]
    function: Function


class NamedFunction(Body):
    """The name of a function."""

    name: str


class NamedTool(Body):
    """The tool that must be called."""

    type: Literal["function"]
    function: NamedFunction


class TextFormat(Body):
    """Any text."""

    type: Literal["text"]


class ObjectFormat(Body):
    """A JSON object."""

    type: Literal["json_object"]


class Schema(Body):
    """A JSON Schema with its name."""

    name: Name
    description: str | None = None
    schema_: Annotated[JSONObject | None, Field(alias="schema")] = None
    strict: bool | None = None


class SchemaFormat(Body):
    """JSON of a schema."""

    type: Literal["json_schema"]
    json_schema: Schema


ResponseFormat = Annotated[TextFormat | ObjectFormat | SchemaFormat, Field(discriminator="type")]


class ChatBody(SamplingFields):
    """A request for chat completions."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, lt=2**31)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[Tool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None
    chat_template_kwargs: JSONObject | None = None
    metadata: dict[str, str] | None = None
    store: Literal[False] | None = None
    service_tier: Literal["auto", "default"] | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

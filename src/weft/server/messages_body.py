"""The bodies of Anthropic's messages: blocks of content, tools, thinking."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from weft.server.fields import Body, JSONObject, StopText


class CacheControl(Body):
    """Where Anthropic's API caches prompts; weft's engine finds what it has by itself."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Cached(Body):
    """A part that may say where a prompt is cached."""

    cache_control: CacheControl | None = None


class TextBlock(Cached):
    """A text."""

    type: Literal["text"]
    text: str
    citations: None = None


class ThinkingBlock(Body):
    """Reasoning of an earlier answer."""

    type: Literal["thinking"]
    thinking: str
    signature: str = ""


class ToolUseBlock(Cached):
    """A call of a tool in an earlier answer."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: JSONObject


class ToolResultBlock(Cached):
    """What a tool returned."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | list[TextBlock] | None = None
    is_error: bool | None = None


UserBlock = Annotated[TextBlock | ToolResultBlock, Field(discriminator="type")]
AssistantBlock = Annotated[TextBlock | ThinkingBlock | ToolUseBlock, Field(discriminator="type")]


class UserTurn(Body):
    """A turn of the user."""

    role: Literal["user"]
    content: str | list[UserBlock]


class AssistantTurn(Body):
    """An earlier answer; at the end of the messages, the beginning of the answer that is wanted."""

    role: Literal["assistant"]
    content: str | list[AssistantBlock]


Turn = Annotated[UserTurn | AssistantTurn, Field(discriminator="role")]


class ToolDefinition(Cached):
    """A tool that the model may call."""

    type: Literal["custom"] | None = None
    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[a-zA-Z0-9_-]+$")]
    description: str | None = None
    input_schema: JSONObject
    strict: bool | None = None


class AutoChoice(Body):
    """The model decides, or must call any tool."""

    type: Literal["auto", "any"]
    disable_parallel_tool_use: bool = False


class NoChoice(Body):
    """No tool is called."""

    type: Literal["none"]


class NamedChoice(Body):
    """The tool that must be called."""

    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: bool = False


ToolChoice = Annotated[AutoChoice | NoChoice | NamedChoice, Field(discriminator="type")]


class ThinkingOff(Body):
    """No reasoning, where the template can switch it off."""

    type: Literal["disabled"]


class ThinkingOn(Body):
    """Reasoning, where the template can switch it on; the model itself decides how much."""

    type: Literal["enabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1)] | None = None


class JSONFormat(Body):
    """JSON of a schema."""

    type: Literal["json_schema"]
    schema_: Annotated[JSONObject, Field(alias="schema")]


class OutputConfig(Body):
    """The form of the answer."""

    format: JSONFormat | None = None


class Metadata(Body):
    """Who asks; not used."""

    user_id: str | None = None


class CountBody(Body):
    """Messages whose tokens are counted."""

    model: str
    messages: Annotated[list[Turn], Field(min_length=1)]
    system: str | list[TextBlock] | None = None
    tools: Annotated[list[ToolDefinition], Field(max_length=128)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Annotated[ThinkingOff | ThinkingOn, Field(discriminator="type")] | None = None
    output_config: OutputConfig | None = None
    cache_control: CacheControl | None = None


class MessagesBody(CountBody):
    """A request for a message."""

    max_tokens: Annotated[int, Field(ge=1, lt=2**31)]
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    stop_sequences: Annotated[list[StopText], Field(max_length=16)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None

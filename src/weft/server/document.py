"""The OpenAPI document, made from the table of endpoints and the models of their bodies and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

from weft.server.core import Core
from weft.server.serving import Endpoint

PREFIX = "#/components/schemas/"
OPENAI_ERROR: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
ANTHROPIC_ERROR: Mapping[str, Any] = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "request_id": {"type": "string"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}
BODY_ERRORS = {
    400: "a field is unknown, impossible or not supported, or the prompt does not fit the context",
    404: "another model than the server's",
    408: "the body came too slowly",
    413: "the body is too large",
    415: "the body is not application/json",
    429: "all slots are taken and the queue is full",
    503: "the server shuts down, or its device is lost",
    504: "the answer took longer than the server's limit",
}


def document(endpoints: Sequence[Endpoint], core: Core) -> dict[str, Any]:
    """Return the document of a server; the model's name is a constant in it."""
    models: list[tuple[Any, Any]] = [(each.body, "validation") for each in endpoints if each.body is not None]
    models += [(each.answer, "serialization") for each in endpoints if each.answer is not None]
    names, schemas = models_json_schema(models, by_alias=True, ref_template=PREFIX + "{model}")
    definitions = schemas["$defs"]
    for endpoint in endpoints:
        if endpoint.body is not None:
            reference = names[endpoint.body, "validation"]["$ref"].removeprefix(PREFIX)
            definitions[reference]["properties"]["model"] = {"const": core.engine.name}
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, names, core.engine.name, bool(core.settings.api_keys))
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    security = {"bearer": {"type": "http", "scheme": "bearer"}, "key": _key_header()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "weft serve", "version": "1"},
        "paths": paths,
        "components": {
            "schemas": {**definitions, "OpenAIError": OPENAI_ERROR, "AnthropicError": ANTHROPIC_ERROR},
            "securitySchemes": security,
        },
    }


def _key_header() -> dict[str, str]:
    return {"type": "apiKey", "in": "header", "name": "x-api-key"}


def _json(reference: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": PREFIX + reference}}}


def _operation(endpoint: Endpoint, names: Mapping[Any, Any], name: str, keys: bool) -> dict[str, Any]:
    """Return an endpoint's operation: its body, its answers and its errors."""
    error = "AnthropicError" if endpoint.path.startswith("/v1/messages") else "OpenAIError"
    statuses = dict(BODY_ERRORS) if endpoint.body is not None else {}
    if "{" in endpoint.path:
        statuses[404] = BODY_ERRORS[404]
    if endpoint.guarded and keys:
        statuses[401] = "no API key of the server"
    content: dict[str, Any] = {endpoint.media: {}}
    if endpoint.answer is not None:
        content = {"application/json": {"schema": names[endpoint.answer, "serialization"]}}
    if endpoint.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    responses = {
        str(status): {"description": text, "content": _json(error)} for status, text in statuses.items()
    }
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": endpoint.handle.__name__,
        "responses": {"200": {"description": endpoint.summary, "content": content}, **responses},
    }
    if endpoint.path == "/health":
        operation["responses"]["503"] = {"description": "the server shuts down", "content": content}
    if endpoint.body is not None:
        schema = names[endpoint.body, "validation"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if "{model}" in endpoint.path:
        operation["parameters"] = [
            {"name": "model", "in": "path", "required": True, "schema": {"const": name}}
        ]
    if endpoint.guarded and keys:
        operation["security"] = [{"bearer": []}, {"key": []}]
    return operation

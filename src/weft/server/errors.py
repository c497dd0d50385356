"""``ServerError``: a mistake or failure that a client is told, in the shape of the protocol that it speaks."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from weft.errors import (
    ArgumentError,
    ArgumentTypeError,
    DeviceError,
    FormatError,
    OutOfMemoryError,
    UnsupportedError,
    WeftError,
)

log = logging.getLogger("weft.server")


class ServerError(WeftError):
    """An answer that is an error: its status, its message, the field that it is about, a code for programs."""

    def __init__(
        self,
        status: int,
        message: str,
        parameter: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.parameter, self.code = status, message, parameter, code
        self.headers = dict(headers or {})


KINDS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    404: ("not_found_error", "not_found_error"),
    405: ("invalid_request_error", "invalid_request_error"),
    408: ("timeout_error", "timeout_error"),
    413: ("invalid_request_error", "request_too_large"),
    415: ("invalid_request_error", "invalid_request_error"),
    429: ("rate_limit_error", "rate_limit_error"),
    499: ("client_closed_request", "api_error"),
    500: ("server_error", "api_error"),
    503: ("server_error", "overloaded_error"),
    504: ("timeout_error", "timeout_error"),
}
"""The ``type`` of an error by status: OpenAI's name for it, and Anthropic's."""

STATUSES: Sequence[tuple[type[WeftError], int]] = (
    (OutOfMemoryError, 503),
    (DeviceError, 503),
    (ArgumentError, 400),
    (ArgumentTypeError, 400),
    (FormatError, 400),
    (UnsupportedError, 400),
)
"""Statuses of the engine's errors; the first class that fits counts. Any other error is a 500."""


def from_exception(error: Exception) -> ServerError:
    """Return what a client is told about an exception; an unforeseen one is logged and not shown."""
    if isinstance(error, ServerError):
        return error
    if isinstance(error, ValidationError):
        return from_validation(error)
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    if status >= 500:
        log.error("a request failed", exc_info=error)
    if isinstance(error, WeftError):
        return ServerError(status, str(error))
    return ServerError(500, "internal error; the server's log says more")


def from_validation(error: ValidationError) -> ServerError:
    """Return the first mistakes in a body as one error that names the fields."""
    mistakes = error.errors(include_url=False, include_input=False, include_context=False)
    if mistakes[0]["type"] == "json_invalid":
        return ServerError(400, f"the body is not JSON: {mistakes[0]['msg']}")
    unknown = sorted({_place(entry["loc"]) for entry in mistakes if entry["type"] == "extra_forbidden"})
    if unknown:
        names = ", ".join(repr(name) for name in unknown[:8])
        fields = "field" if len(unknown) == 1 else "fields"
        message = f"unknown or unsupported {fields} {names}; docs/server.md and /openapi.json list the fields"
        return ServerError(400, message, unknown[0], "unknown_field")
    texts = [f"{_place(entry['loc']) or 'body'}: {entry['msg']}" for entry in mistakes[:4]]
    return ServerError(400, "; ".join(texts), _place(mistakes[0]["loc"]) or None)


def _place(location: Sequence[str | int]) -> str:
    """Return a field's path; the names that tagged unions add are left out."""
    return ".".join(str(part) for part in location)[:200]


def openai_error(error: ServerError) -> dict[str, Any]:
    """Return the body of an error in OpenAI's shape."""
    kind = KINDS.get(error.status, KINDS[500])[0]
    return {"error": {"message": error.message, "type": kind, "param": error.parameter, "code": error.code}}


def anthropic_error(error: ServerError, request_id: str) -> dict[str, Any]:
    """Return the body of an error in Anthropic's shape."""
    kind = KINDS.get(error.status, KINDS[500])[1]
    return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}

"""Requests made from the server's OpenAPI document, by schemathesis; and what the document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi import checks as openapi

from tests.server.running import NAME, Served, load, serving
from weft.server.app import ENDPOINTS
from weft.server.messages_body import CountBody
from weft.server.serving import Endpoint

KEY = "a-secret-key-1"
HEADERS = {"Authorization": f"Bearer {KEY}"}
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
    openapi.unsupported_method,
]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("document")
    with (
        load(folder, context=64) as engine,
        serving(engine, pooling="last", api_keys=(KEY,), timeout=5) as running,
    ):
        yield running


# Wrong bodies are made where there is a body; those of count_tokens are a part of those of messages.
CASES = [(endpoint, GenerationMode.POSITIVE) for endpoint in ENDPOINTS] + [
    (endpoint, GenerationMode.NEGATIVE)
    for endpoint in ENDPOINTS
    if endpoint.body is not None and endpoint.body is not CountBody
]


@pytest.mark.parametrize(
    ("endpoint", "mode"), CASES, ids=[f"{endpoint.path}-{mode.value}" for endpoint, mode in CASES]
)
def test_no_request_makes_a_server_error(guarded: Served, endpoint: Endpoint, mode: GenerationMode) -> None:
    described = schemathesis.openapi.from_url(f"{guarded.url}/openapi.json")
    operation = described[endpoint.path][endpoint.method]

    @settings(
        max_examples=24 if endpoint.body is not None else 3, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case: Any) -> None:
        case.call_and_validate(headers=HEADERS, checks=CHECKS, timeout=30)

    check()
    status = "400" if mode is GenerationMode.NEGATIVE else "200"
    assert guarded.metric("weft_http_requests_total", headers=HEADERS, path=endpoint.path, status=status) > 0


def test_every_endpoint_is_described(served: Served) -> None:
    document = served.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for endpoint in ENDPOINTS:
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        assert ("requestBody" in operation) == (endpoint.body is not None)
        assert ("text/event-stream" in operation["responses"]["200"]["content"]) == endpoint.streams
    body = document["components"]["schemas"]["ChatBody"]
    assert body["additionalProperties"] is False
    assert body["properties"]["model"] == {"const": NAME}
    assert {"messages", "model"} == set(body["required"])

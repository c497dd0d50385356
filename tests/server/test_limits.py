"""Keys, origins, sizes, the queue, time-outs, health, metrics, paths that are not served, and the end of a server."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.server.running import NAME, SLOTS, Served, serving, until
from weft.engine import Engine
from weft.errors import ArgumentError, DeviceError
from weft.server import Settings

KEY = "a-secret-key-1"
CHAT = "/v1/chat/completions"
BODY: Any = {
    "model": NAME,
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 4,
    "temperature": 0,
}
LONG: Any = {**BODY, "max_tokens": 400, "ignore_eos": True}
LONG_OPENAI: Any = {**BODY, "max_tokens": 400, "extra_body": {"ignore_eos": True}}
MESSAGE: Any = {name: BODY[name] for name in ("model", "messages", "max_tokens")}
MESSAGE_LONG: Any = {**MESSAGE, "max_tokens": 400, "extra_body": {"temperature": 0}}


def test_keys(engine: Engine) -> None:
    with serving(engine, api_keys=("another-key-2", KEY)) as served:
        for path in ("/", "/health", "/openapi.json"):
            assert served.get(path).status_code == 200
        for path in ("/v1/models", "/metrics"):
            assert served.get(path).status_code == 401
        assert served.openai(api_key=KEY).chat.completions.create(**BODY).choices
        assert served.anthropic(api_key=KEY).messages.create(**MESSAGE).content
        with pytest.raises(openai.AuthenticationError, match="wrong API key") as caught:
            served.openai(api_key=KEY + "x").chat.completions.create(**BODY)
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(anthropic.AuthenticationError, match="wrong API key"):
            served.anthropic().messages.create(**MESSAGE)
        assert served.post(CHAT, BODY).json()["error"]["message"].startswith("no API key")


def test_origins(engine: Engine) -> None:
    origin = "https://pages.example"
    ask = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    with serving(engine, cors=(origin,), api_keys=(KEY,)) as served:
        allowed = httpx.options(served.url + CHAT, headers=ask)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == origin
        assert (
            httpx.options(served.url + CHAT, headers={**ask, "Origin": "https://x.example"}).status_code
            == 400
        )
        refused = served.post(CHAT, BODY, headers={"Origin": origin})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)
    with serving(engine) as served:
        assert httpx.options(served.url + CHAT, headers=ask).status_code == 405
        assert (
            "access-control-allow-origin" not in served.post(CHAT, BODY, headers={"Origin": origin}).headers
        )


def test_bodies_of_a_wrong_type_size_or_form(engine: Engine) -> None:
    with serving(engine, max_body=1000) as served:
        url = served.url + CHAT
        plain = httpx.post(url, content=json.dumps(BODY), headers={"Content-Type": "text/plain"})
        assert plain.status_code == 415
        assert "application/json" in plain.json()["error"]["message"]
        large = served.post(CHAT, {**BODY, "user": "x" * 1000})
        assert large.status_code == 413
        assert "1000 bytes" in large.json()["error"]["message"]
        pieces = httpx.post(
            url, content=(b"x" * 300 for _ in range(5)), headers={"Content-Type": "application/json"}
        )
        assert pieces.status_code == 413
        for data in (b"", b"{", b"\xff", b"[]", b'{"model": "\\ud800"}', b"[" * 900):
            wrong = httpx.post(url, content=data, headers={"Content-Type": "application/json"})
            assert wrong.status_code == 400, data
            assert set(wrong.json()["error"]) == {"message", "type", "param", "code"}


def test_a_body_that_does_not_arrive(engine: Engine) -> None:
    with serving(engine, body_timeout=0.2) as served, served.connection() as client:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{{"
        client.sendall(head.encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 408")
        until(lambda: served.core.places == 0)


def test_paths_and_methods_that_are_not_served(served: Served) -> None:
    missing = served.get("/v1/nothing")
    assert missing.status_code == 404
    assert "/v1/nothing" in missing.json()["error"]["message"]
    method = served.get(CHAT)
    assert (method.status_code, method.headers["allow"]) == (405, "POST")
    assert served.get("/v1/messages/nothing").json()["type"] == "error"


def test_every_answer_has_an_id(served: Served) -> None:
    answers = [served.post(CHAT, BODY), served.post(CHAT, {}), served.get("/health")]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 3


def test_a_full_queue_is_told(engine: Engine) -> None:
    with serving(engine, queue=1) as served:
        client = served.openai(timeout=60)
        streams = [client.chat.completions.create(**LONG_OPENAI, stream=True) for _ in range(SLOTS + 1)]
        with pytest.raises(openai.RateLimitError, match=rf"{SLOTS + 1}") as caught:
            client.chat.completions.create(**BODY)
        assert caught.value.response.headers["retry-after"] == "1"
        assert caught.value.code == "queue_full"
        for stream in streams:
            stream.close()
        until(lambda: served.core.places == 0)
        assert client.chat.completions.create(**BODY).choices
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(**BODY, n=SLOTS + 2)
        assert client.chat.completions.create(**BODY, n=SLOTS + 1).choices
        assert served.metric("weft_http_requests_total", path=CHAT, status="429") == 2


def test_an_answer_that_takes_too_long(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = engine.driver.scheduler.runner
    step = runner.step

    def slow(*arguments: Any) -> Any:
        time.sleep(0.04)
        return step(*arguments)

    monkeypatch.setattr(runner, "step", slow)
    with serving(engine, timeout=0.05) as served:
        late = served.post(CHAT, LONG)
        assert (late.status_code, late.json()["error"]["code"]) == (504, "timeout")
        with pytest.raises(openai.APIError, match=r"0\.05 s"):
            list(served.openai().chat.completions.create(**LONG_OPENAI, stream=True))
        with pytest.raises(anthropic.APIStatusError, match=r"0\.05 s"):
            list(served.anthropic().messages.create(**MESSAGE_LONG, stream=True))
        until(lambda: engine.stats().running == 0, 1.0)
        assert served.core.places == 0


def test_a_device_that_is_lost_ends_all_answers_with_an_error(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = engine.driver.scheduler.runner
    step, steps = runner.step, iter(range(1000))

    def lost(*arguments: Any) -> Any:
        if next(steps) == 5:
            raise DeviceError("the adapter is lost")
        return step(*arguments)

    with serving(engine) as served:
        monkeypatch.setattr(runner, "step", lost)
        streams = [served.openai().chat.completions.create(**LONG_OPENAI, stream=True)]
        streams += [served.anthropic().messages.create(**MESSAGE_LONG, stream=True)]
        for stream, kind in zip(streams, (openai.APIError, anthropic.APIStatusError), strict=True):
            with pytest.raises(kind, match="the adapter is lost"):
                list(stream)
            steps = iter(range(1000))
        whole = served.post(CHAT, LONG)
        assert (whole.status_code, whole.json()["error"]["message"]) == (503, "the adapter is lost")
        monkeypatch.undo()
        until(lambda: served.core.places == engine.stats().running == 0, 1.0)
        assert served.post(CHAT, BODY).status_code == 200
        assert served.metric("weft_engine_pages_free") == served.metric("weft_engine_pages")


def test_health_and_the_engines_figures(served: Served) -> None:
    health = served.get("/health")
    assert health.status_code == 200
    found = health.json()
    assert (found["status"], found["model"], found["slots"]) == ("ok", NAME, SLOTS)
    assert served.metric("weft_engine_slots") == SLOTS
    assert served.metric("weft_engine_running") == 0


def test_counters_agree_with_what_was_sent(engine: Engine) -> None:
    with serving(engine) as served:
        client = served.openai()
        answers = [client.chat.completions.create(**BODY, n=count) for count in (1, 2, 3)]
        answers += [
            list(client.chat.completions.create(**BODY, stream=True, stream_options={"include_usage": True}))[
                -1
            ]
        ]
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**{**BODY, "temperature": -1})
        usages = [answer.usage for answer in answers if answer.usage]
        assert len(usages) == 4
        until(lambda: served.core.places == 0)
        assert served.metric("weft_prompt_tokens_total") == sum(usage.prompt_tokens for usage in usages)
        assert served.metric("weft_completion_tokens_total") == sum(
            usage.completion_tokens for usage in usages
        )
        assert served.metric("weft_http_requests_total", path=CHAT, status="200") == 4
        assert served.metric("weft_http_requests_total", path=CHAT, status="400") == 1
        assert served.metric("weft_http_request_seconds_count", path=CHAT) == 5
        assert served.metric("weft_first_token_seconds_count", path=CHAT) == 5


def test_a_server_that_stops_lets_answers_end(engine: Engine) -> None:
    given = {**LONG_OPENAI, "max_tokens": 60}
    with serving(engine, drain=20.0) as served:
        stream = iter(served.openai().chat.completions.create(**given, stream=True))
        next(stream)
        served.server.should_exit = True
        assert [*stream][-1].choices[0].finish_reason == "length"


def test_answers_end_with_an_error_after_the_drain(engine: Engine) -> None:
    with serving(engine, drain=0.0) as served:
        stream = iter(served.openai().chat.completions.create(**LONG_OPENAI, stream=True))
        whole: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: whole.append(served.post(CHAT, LONG)))
        thread.start()
        next(stream)
        until(lambda: engine.stats().running == 2)
        served.server.should_exit = True
        with pytest.raises(openai.APIError, match="shutting down"):
            list(stream)
        thread.join(10)
        assert (whole[0].status_code, whole[0].json()["error"]["code"]) == (503, "shutting_down")
    until(lambda: engine.stats().running == 0, 1.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("queue", -1),
        ("timeout", 0.0),
        ("max_body", 0),
        ("pooling", "sum"),
        ("api_keys", ("short",)),
        ("drain", -1.0),
    ],
)
def test_impossible_settings_are_named(name: str, value: Any) -> None:
    with pytest.raises(ArgumentError, match=name):
        Settings(**{name: value})

"""A load of 32 clients that stream, wait, or leave in prefill and in decoding: nothing is lost, mixed or stuck."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server.running import CONTEXT, NAME, SLOTS, Served, load, serving, until

CLIENTS, ROUNDS = 32, 3
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("load")
    with load(folder) as engine, serving(engine, queue=2 * CLIENTS, timeout=120) as running:
        yield running


def body(number: int, protocol: str, stream: bool) -> dict[str, Any]:
    """Return a client's request; its prompt and its length are its own."""
    text = f"client {number} " * (1 + number % 12)
    more: Any = {"ignore_eos": True} if protocol == "openai" else {}
    return {
        "model": NAME, "messages": [{"role": "user", "content": text}], "temperature": 0,
        "max_tokens": 8 + number % 17, "stream": stream, **more,
    }  # fmt: skip


def text_of(protocol: str, answer: Any) -> str:
    """Return the text of a whole answer."""
    if protocol == "openai":
        return str(answer["choices"][0]["message"]["content"])
    return "".join(block["text"] for block in answer["content"])


def new_text(protocol: str, data: str) -> str:
    """Return the text of an event."""
    if data == "[DONE]":
        return ""
    event = json.loads(data)
    assert "error" not in event, event
    if protocol == "openai":
        return "".join(choice["delta"].get("content") or "" for choice in event["choices"])
    return str(event["delta"]["text"]) if event["type"] == "content_block_delta" else ""


async def client(
    served: Served, http: httpx.AsyncClient, number: int, kind: str
) -> tuple[int, str, str | None]:
    """Send a request; return its number, protocol and text, which is None where the client left."""
    protocol = ("openai", "anthropic")[number % 2]
    url, stream = served.url + PATHS[protocol], kind != "whole"
    given = body(number, protocol, stream)
    if kind == "leaves early":
        with pytest.raises(httpx.TimeoutException):
            await http.post(url, json={**given, "max_tokens": 300}, timeout=httpx.Timeout(60, read=0.03))
        return number, protocol, None
    if kind == "whole":
        answer = await http.post(url, json=given)
        assert answer.status_code == 200, answer.text
        return number, protocol, text_of(protocol, answer.json())
    text, ended, lines = "", False, 0
    async with http.stream("POST", url, json=given) as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                text += new_text(protocol, line[6:])
                ended = ended or line.endswith(("[DONE]", '"message_stop"}'))
                lines += 1
                if kind == "leaves late" and lines == 3:
                    return number, protocol, None
    assert ended
    return number, protocol, text


def test_nothing_is_lost_mixed_or_stuck(served: Served) -> None:
    kinds = random.Random(0).choices(
        ("stream", "whole", "leaves early", "leaves late"), (4, 2, 1, 2), k=CLIENTS * ROUNDS
    )

    async def all_clients() -> list[tuple[int, str, str | None]]:
        limits = httpx.Limits(max_connections=CLIENTS)
        async with httpx.AsyncClient(timeout=60, limits=limits) as http:
            gate = asyncio.Semaphore(CLIENTS)

            async def limited_client(number: int, kind: str) -> tuple[int, str, str | None]:
                async with gate:
                    return await client(served, http, number, kind)

            work = (limited_client(number, kind) for number, kind in enumerate(kinds))
            return await asyncio.wait_for(asyncio.gather(*work), 100)

    found = asyncio.run(all_clients())
    until(lambda: served.engine.stats().running + served.engine.stats().waiting == 0, 1.0)
    assert served.core.places == 0
    for number, protocol, text in found:
        assert (text is None) == kinds[number].startswith("leaves")
        if text is not None:
            given = body(number, protocol, False)
            options: Any = {"max_tokens": given["max_tokens"], "ignore_eos": protocol == "openai"}
            assert text == served.engine.chat(given["messages"], **options).text
    answered = sum(not kind.startswith("leaves") for kind in kinds)
    late = kinds.count("leaves late")
    early = kinds.count("leaves early")

    def count(status: str) -> float:
        return sum(
            served.metric("weft_http_requests_total", path=path, status=status) for path in PATHS.values()
        )

    # an early client may have been gone before the first byte of a stream's answer, or after it
    assert count("200") + count("499") == answered + late + early
    assert count("200") >= answered + late
    left = sum(served.metric("weft_http_disconnects_total", path=path) for path in PATHS.values())
    assert early <= left <= early + late
    assert served.metric("weft_engine_running") == served.metric("weft_engine_waiting") == 0
    assert served.metric("weft_engine_pages") == served.metric("weft_engine_pages_free")


def left_after(served: Served, wanted: dict[str, Any], wait: bool) -> None:
    """Send a request on a raw connection, close it (after the first byte with ``wait``), and see the slot free."""
    data = json.dumps(wanted).encode()
    head = f"POST {PATHS['openai']} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2]))) as connection:
        connection.sendall(head.encode() + data)
        until(lambda: served.engine.stats().running == 1)
        if wait:
            received = b""
            while b"data: " not in received:
                received += connection.recv(4096)
    assert until(lambda: served.engine.stats().running == 0, 1.0) < 1.0
    until(lambda: served.core.places == 0, 1.0)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_in_prefill_frees_its_slot(
    served: Served, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    runner = served.engine.driver.scheduler.runner
    prefill = runner.prefill

    def slow(*arguments: Any) -> None:
        time.sleep(0.2)  # so that the client leaves while a chunk is read
        prefill(*arguments)

    monkeypatch.setattr(runner, "prefill", slow)
    before = served.engine.stats()
    text = str(stream) + "x" * (CONTEXT - 60)  # several chunks of prefill, and none of them in the cache
    wanted = {**body(0, "openai", stream), "messages": [{"role": "user", "content": text}], "max_tokens": 40}
    left_after(served, wanted, wait=False)
    after = served.engine.stats()
    assert after.cancelled == before.cancelled + 1
    assert after.completion_tokens == before.completion_tokens
    assert after.pages_free == before.pages_free


def test_a_client_that_leaves_in_decoding_frees_its_slot(served: Served) -> None:
    wanted = {**body(0, "openai", True), "max_tokens": CONTEXT - 60}
    for _ in range(SLOTS + 1):
        before = served.engine.stats()
        left_after(served, wanted, wait=True)
        after = served.engine.stats()
        assert after.cancelled == before.cancelled + 1
        assert after.completion_tokens - before.completion_tokens < CONTEXT - 60

"""``weft serve`` as a process: it says where it listens, answers, and ends by a signal; mistakes in a single line."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import pytest

from tests.cli.running import SOURCE, weft
from tests.engine.demo import needs_demo_model
from tests.server.running import NAME, load

BODY = {"model": NAME, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    load(folder).close()
    return folder / f"{NAME}.gguf"


@contextmanager
def process(*words: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """Run the command on a free port; yield the process, its first line and the server's address."""
    command = [sys.executable, "-m", "weft.cli", "serve", "--port", "0", *map(str, words)]
    given = {**os.environ, "PYTHONPATH": SOURCE, **environment}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=given
    ) as running:
        try:
            assert running.stdout is not None
            line = running.stdout.readline()
            found = re.search(r"http://[\d.]+:\d+", line)
            assert found is not None, line + (running.stderr.read() if running.stderr else "")
            yield running, line, found[0]
        finally:
            running.kill()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_listens_answers_and_ends(path: Path, ending: signal.Signals) -> None:
    key = "secret-from-outside"
    with process("--model", path, "--name", "mine", "--cors", "*", WEFT_API_KEY=key) as (running, line, url):
        assert "mine" in line
        head = {"Authorization": f"Bearer {key}", "Origin": "http://page.example"}
        answer = httpx.post(
            f"{url}/v1/chat/completions", json={**BODY, "model": "mine"}, headers=head, timeout=30
        )
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
        assert httpx.get(f"{url}/v1/models").status_code == 401
        running.send_signal(ending)
        _, err = running.communicate(timeout=30)
        assert running.returncode == 0
        assert "Traceback" not in err
        assert key not in err


@needs_demo_model
def test_the_demo_model_answers_over_http() -> None:
    with (
        process("--context", 256, "--slots", 2) as (running, _, url),
        openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client,
    ):
        (model,) = client.models.list().data
        assert "SmolLM2" in model.id
        question = "Name three primary colours."
        stream = client.chat.completions.create(
            model=model.id,
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=32,
            stream=True,
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        assert "red" in text.lower()
        running.terminate()
        assert running.wait(30) == 0


def test_a_taken_port_and_impossible_values(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = weft(capsys, "serve", "--model", path, "--port", port)
    assert (done.status, done.out) == (1, "")
    assert "in use" in done.err
    for words, part in (
        (("--port", 70000), "--port"),
        (("--api-key", "short"), "api_keys"),
        (("--slots", 0), "slots"),
        (("--timeout", 0), "timeout"),
        (("--host", "no.such.host.invalid"), "no.such.host.invalid"),
    ):
        done = weft(capsys, "serve", "--port", 0, "--model", path, *words)
        assert (done.status, done.out, len(done.err.splitlines())) == (1, "", 1)
        assert part in done.err


def test_help_shows_endpoints_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        weft(capsys, "serve", "--help")
    text = capsys.readouterr().out
    for part in ("/v1/chat/completions", "/v1/messages", "/metrics", "--slots", "--cors", "WEFT_API_KEY"):
        assert part in text

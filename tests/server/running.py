"""A server over a tiny random model in a thread, and clients of it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai

from tests.engine import byte_vocabulary
from tests.models.checkpoints import Case, model, write
from weft.engine import Engine
from weft.server import Settings
from weft.server.running import Server, bind

CONTEXT, SLOTS = 512, 4
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
NAME = "tiny"


def load(folder: Path, template: str = TEMPLATE, positions: int = CONTEXT, **options: Any) -> Engine:
    """Return an engine of a random model with the vocabulary of bytes."""
    path = folder / f"{NAME}.gguf"
    if not path.exists():
        sizes = {"vocab_size": len(byte_vocabulary.TOKENS), "max_position_embeddings": positions}
        extra = {**byte_vocabulary.metadata(), "tokenizer.chat_template": template}
        write(path, model(Case("llama", sizes)), extra=extra)
    return Engine.load(path, **{"slots": SLOTS, "cache_tokens": SLOTS * positions, **options})


@dataclass
class Served:
    """A server that runs."""

    engine: Engine
    server: Server
    url: str
    clients: list[Any] = field(default_factory=list)

    @property
    def core(self) -> Any:
        """The server's core."""
        return self.server.core

    def openai(self, **options: Any) -> Any:
        """Return OpenAI's client."""
        given = {"base_url": f"{self.url}/v1", "api_key": "none", "max_retries": 0, **options}
        self.clients.append(openai.OpenAI(**given))
        return self.clients[-1]

    def anthropic(self, **options: Any) -> Any:
        """Return Anthropic's client."""
        given = {"base_url": self.url, "api_key": "none", "max_retries": 0, **options}
        self.clients.append(anthropic.Anthropic(**given))
        return self.clients[-1]

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Get a path."""
        return httpx.get(self.url + path, timeout=30, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """Post JSON to a path."""
        return httpx.post(self.url + path, json=body, timeout=60, **options)

    def connection(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", int(self.url.rpartition(":")[2])), 10)

    def metric(self, name: str, *, headers: Mapping[str, str] | None = None, **labels: str) -> float:
        """Return the value of a metric, 0 where it has none; values of further labels are added up."""
        total = 0.0
        for line in self.get("/metrics", headers=headers).text.splitlines():
            start, _, value = line.rpartition(" ")
            key, _, rest = start.partition("{")
            if key == name and all(f'{label}="{text}"' in rest for label, text in labels.items()):
                total += float(value)
        return total


@contextmanager
def serving(engine: Engine, **settings: Any) -> Iterator[Served]:
    """Serve an engine on a free port."""
    bound, listens = bind("127.0.0.1", 0), threading.Event()
    server = Server(engine, Settings(**{"drain": 1.0, **settings}), listens.set)
    served = Served(engine, server, f"http://127.0.0.1:{bound.getsockname()[1]}")
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        assert listens.wait(20)
        yield served
    finally:
        for client in served.clients:
            client.close()
        server.should_exit = True
        thread.join(30)
        bound.close()
        assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Wait for a condition; return the seconds that it took."""
    start = time.perf_counter()
    while not condition():
        assert time.perf_counter() - start < seconds, "the condition did not come true"
        time.sleep(0.005)
    return time.perf_counter() - start

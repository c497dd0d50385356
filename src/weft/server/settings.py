"""``Settings``: what an operator chooses about a server, as validated data."""

from __future__ import annotations

from dataclasses import dataclass

from weft.engine.embedding import POOLINGS
from weft.errors import ArgumentError, mistake


@dataclass(frozen=True)
class Settings:
    """How a server treats its clients.

    Args:
        api_keys: keys of which a client must send one; none lets everybody in.
        cors: origins whose pages may call the server, or ``"*"``.
        queue: requests that may wait for a slot; a request beyond them is answered with 429.
        max_body: most bytes of a request's body; 413 beyond.
        timeout: seconds until the end of an answer; 504, or an error event in a stream, beyond.
        body_timeout: seconds for the arrival of a request's body; 408 beyond.
        drain: seconds that running answers get when the server is told to stop.
        keep_alive: seconds of silence in a stream after which a comment is sent, so that no proxy closes it.
        pooling: how hidden states become an embedding, ``"mean"`` or ``"last"``; None refuses embeddings.

    >>> Settings(queue=16).timeout
    600.0
    """

    api_keys: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    queue: int = 64
    max_body: int = 8 << 20
    timeout: float = 600.0
    body_timeout: float = 30.0
    drain: float = 30.0
    keep_alive: float = 15.0
    pooling: str | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        for name, least in (("queue", 0), ("max_body", 1), ("drain", 0)):
            self._check(name, getattr(self, name) >= least, f"a number from {least} on")
        for name in ("timeout", "body_timeout", "keep_alive"):
            self._check(name, getattr(self, name) > 0, "a number of seconds above 0")
        self._check("pooling", self.pooling in (None, *POOLINGS), f"None or one of {', '.join(POOLINGS)}")
        for key in self.api_keys:
            if len(key) < 8 or not key.isascii() or not key.isprintable() or " " in key:
                expected = "8 printable ASCII characters or more, without spaces"
                raise ArgumentError(mistake("Settings", "api_keys", "a key of another kind", expected))

    def _check(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            raise ArgumentError(mistake("Settings", name, repr(getattr(self, name))[:60], expected))

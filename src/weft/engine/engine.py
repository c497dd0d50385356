"""``Engine``: a language model that answers: loading, prompts, streams of text, figures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from weft import dtypes
from weft.dtypes import DType
from weft.engine.directory import read_tokenizer
from weft.engine.runner import Runner
from weft.engine.sampling import Sampling
from weft.engine.stopping import StopTexts
from weft.engine.template import ChatTemplate
from weft.engine.tokenizer import Tokenizer, from_gguf
from weft.errors import ArgumentError, UnsupportedError, mistake
from weft.models import Decoder
from weft.models import load as load_model
from weft.models.directory import counting
from weft.models.gguf import GGUFFile, load_gguf
from weft.models.quant.integers import QUANTIZE

Message = Mapping[str, Any]
MOST_CONTEXT = 8192
"""Tokens of the cache where the caller names no context and the model would take more."""


@dataclass
class Completion:
    """An answer. ``finish_reason`` is ``stop`` (an end token or a stop text), ``length``, or None while it runs.

    ``prompt_seconds`` run until the first token is there, ``seconds`` from then on.
    """

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    prompt_tokens: int = 0
    finish_reason: str | None = None
    prompt_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens after the first, by the time that they took."""
        return (len(self.tokens) - 1) / self.seconds if self.seconds and len(self.tokens) > 1 else 0.0


class Engine:
    """A loaded model with its tokenizer and template, for one text at a time.

    >>> engine = Engine.load("model.gguf")  # doctest: +SKIP
    >>> engine.chat([{"role": "user", "content": "Name three primary colours."}]).text  # doctest: +SKIP
    'The three primary colours are red, blue and yellow.'
    """

    def __init__(
        self, model: Decoder, tokenizer: Tokenizer, template: ChatTemplate | None = None, *,
        context: int | None = None, device: str = "cpu", name: str = "model",
    ) -> None:  # fmt: skip
        most = model.config.max_positions
        if context is not None and not 0 < context <= most:
            raise ArgumentError(
                mistake("Engine", "context", context, f"1 to {most}, what the model was trained for")
            )
        if tokenizer.size > model.config.vocab_size:
            raise ArgumentError(
                mistake(
                    "Engine",
                    "tokenizer",
                    f"{tokenizer.size} tokens",
                    f"at most {model.config.vocab_size}, the model's vocabulary",
                )
            )
        self.model, self.tokenizer, self.template, self.name = model, tokenizer, template, name
        self.runner = Runner(model, context or min(most, MOST_CONTEXT), device)
        self._running: object = None

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, device: str = "cpu", dtype: DType = dtypes.float32,
        context: int | None = None, quantize: str | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Engine:  # fmt: skip
        """Load a GGUF file, or a directory with ``config.json``, safetensors and ``tokenizer.json``.

        Args:
            path: the file or the directory.
            device: where the model runs.
            dtype: the type of weights and activations.
            context: most tokens of prompt and answer together; None takes the model's, up to 8,192.
            quantize: ``"int8"`` or ``"int4"`` quantises the matrices that a GGUF file holds as floats; those that the
                file holds quantised stay as they are, as do those whose columns are no multiple of 32.
            progress: is told name, number and total of the tensors that are read.

        Raises:
            ArgumentError: where ``quantize`` is not known.
            MissingFileError: where there is no file.
            FormatError: where the file is damaged, or its weights do not fit its configuration.
            UnsupportedError: where its architecture, or a part of it, is not covered.
        """
        if quantize is not None and quantize not in QUANTIZE:
            expected = f"None or one of {', '.join(map(repr, QUANTIZE))}"
            raise ArgumentError(mistake("Engine.load", "quantize", repr(quantize), expected))
        form = None if quantize is None else QUANTIZE[quantize]
        if Path(path).is_dir():
            if form is not None:
                expected, fix = "None for a directory", "weft quantises GGUF files only"
                raise UnsupportedError(mistake("Engine.load", "quantize", repr(quantize), expected, fix))
            model = load_model(path, dtype=dtype, device=device, progress=progress)
            tokenizer, template = read_tokenizer(Path(path), model.config.eos)
            return cls(model, tokenizer, template, context=context, device=device, name=Path(path).name)
        if Path(path).suffix.lower() != ".gguf":
            raise UnsupportedError(
                mistake("Engine.load", "path", repr(str(path)), "a .gguf file or a directory")
            )
        with GGUFFile(path) as file:
            model = load_gguf(
                file, dtype, device, quantize=form, progress=counting(progress, len(file.tensors))
            )
            tokenizer = from_gguf(file.metadata, str(path))
            source = file.metadata.get("tokenizer.chat_template")
            names = [
                tokenizer.text_of(file.metadata.get(f"tokenizer.ggml.{kind}_token_id", -1)) or ""
                for kind in ("bos", "eos")
            ]
            template = ChatTemplate(source, *names) if isinstance(source, str) else None
        return cls(model, tokenizer, template, context=context, device=device, name=Path(path).stem)

    def generate(
        self, prompt: str | Sequence[int], sampling: Sampling | None = None, **options: Any
    ) -> Completion:
        """Continue a text or token ids; ``options`` are fields of ``Sampling``."""
        return _drain(self.stream(prompt, sampling, **options))

    def chat(
        self, messages: Sequence[Message], sampling: Sampling | None = None, **options: Any
    ) -> Completion:
        """Answer messages (``role`` and ``content``), by the model's template; ``options`` as for ``generate``."""
        return _drain(self.stream_chat(messages, sampling, **options))

    def stream_chat(
        self, messages: Sequence[Message], sampling: Sampling | None = None, **options: Any
    ) -> Iterator[tuple[str, Completion]]:
        """``stream`` for messages."""
        if self.template is None:
            raise UnsupportedError(f"chat: the model {self.name!r} carries no chat template; use generate")
        return self.stream(self.template.tokens(messages, self.tokenizer), sampling, **options)

    def stream(
        self, prompt: str | Sequence[int], sampling: Sampling | None = None, **options: Any
    ) -> Iterator[tuple[str, Completion]]:
        """Yield new text and the answer so far, piece by piece; never half a character or the start of a stop text."""
        sampling = Sampling(**options) if sampling is None else replace(sampling, **options)
        ids = self._ids(prompt)
        room = self.runner.context - len(ids)
        if room < 1:
            raise ArgumentError(
                f"prompt: {len(ids)} tokens leave no room in the context of {self.runner.context}; shorten the "
                "prompt or load the engine with a larger context"
            )
        return self._stream(ids, sampling, room)

    def _ids(self, prompt: str | Sequence[int]) -> list[int]:
        if not isinstance(prompt, str):
            ids = [int(token) for token in prompt]
            if not all(0 <= token < self.model.config.vocab_size for token in ids):
                raise ArgumentError(
                    mistake(
                        "prompt",
                        "token ids",
                        "one outside of the vocabulary",
                        f"0 to {self.model.config.vocab_size - 1}",
                    )
                )
        else:
            start = [] if self.tokenizer.bos is None else [self.tokenizer.bos]
            ids = start + self.tokenizer.encode(prompt)
        if not ids:
            raise ArgumentError(mistake("prompt", "text", "an empty one", "at least one token"))
        return ids

    def _stream(self, ids: list[int], sampling: Sampling, room: int) -> Iterator[tuple[str, Completion]]:
        answer = Completion(prompt_tokens=len(ids))
        decode, stops = self.tokenizer.stream(), StopTexts(sampling.stop)
        numbers = np.random.Generator(np.random.Philox(sampling.seed))
        runner, start = self.runner, time.perf_counter()
        mine = self._running = object()
        runner.sample(sampling)
        runner.begin(ids)
        first = 0.0
        while answer.finish_reason is None:
            if self._running is not mine:
                raise ArgumentError(
                    "stream: another text was begun on this engine, which holds a single text at a time; read one "
                    "stream to its end first, or load a second engine"
                )
            token = int(runner.step(float(numbers.random(dtype=np.float32))).item())
            now = time.perf_counter()
            if not answer.tokens:
                first, answer.prompt_seconds = now, now - start
            answer.seconds = now - first
            answer.tokens.append(token)
            if token in self.tokenizer.eos and not sampling.ignore_eos:
                answer.finish_reason = "stop"
                text = stops.finish()
            else:
                text = stops.push(decode(token) or "")
                if stops.found is not None:
                    answer.finish_reason = "stop"
                elif len(answer.tokens) >= min(sampling.max_tokens, room):
                    answer.finish_reason = "length"
                    text += stops.finish()
            answer.text += text
            if text or answer.finish_reason is not None:
                yield text, answer


def _drain(stream: Iterator[tuple[str, Completion]]) -> Completion:
    """The whole answer."""
    answer = Completion()
    for _, last in stream:
        answer = last
    return answer

"""``Engine``: a language model that answers: loading, prompts, requests, figures."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from weft import devices, dtypes
from weft.dtypes import DType
from weft.engine.directory import read_tokenizer
from weft.engine.driver import Driver
from weft.engine.grammar import Grammar, json_grammar, read_answer
from weft.engine.graph import ModelGraph, model_graph
from weft.engine.hub import locate
from weft.engine.parsing import OutputParser, output_parser
from weft.engine.parsing.formats import format_of
from weft.engine.request import Completion, Delta, Request
from weft.engine.runner import ROWS, Runner
from weft.engine.sampling import Sampling
from weft.engine.scheduler import Scheduler, Stats
from weft.engine.scoring import Score, Scorer
from weft.engine.template import ChatTemplate
from weft.engine.tokenizer import Tokenizer
from weft.engine.vocabulary import from_gguf
from weft.errors import ArgumentError, DeviceError, UnsupportedError, mistake
from weft.models import Decoder
from weft.models import load as load_model
from weft.models.directory import counting
from weft.models.gguf import GGUFFile, load_gguf
from weft.models.quant.integers import QUANTIZE

Message = Mapping[str, Any]
MOST_CONTEXT = 8192
"""Tokens of the cache where the caller names no context and the model would take more."""


class Engine:
    """A loaded model with its tokenizer and template; many requests are answered together.

    >>> engine = Engine.load("model.gguf")  # doctest: +SKIP
    >>> engine.chat([{"role": "user", "content": "Name three primary colours."}]).text  # doctest: +SKIP
    'The three primary colours are red, blue and yellow.'
    """

    def __init__(
        self, model: Decoder, tokenizer: Tokenizer, template: ChatTemplate | None = None, *,
        context: int | None = None, slots: int = 16, cache_tokens: int | None = None,
        cache_dtype: DType | None = None, name: str = "model",
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
        self.context = context or min(most, MOST_CONTEXT)
        if not 0 < slots <= ROWS[-1]:
            raise ArgumentError(mistake("Engine", "slots", slots, f"1 to {ROWS[-1]}"))
        if cache_tokens is not None and cache_tokens < self.context:
            expected = f"at least the context, {self.context}"
            raise ArgumentError(mistake("Engine", "cache_tokens", cache_tokens, expected))
        self.driver = Driver(Scheduler(Runner(model, slots, self.context, cache_tokens, cache_dtype)))
        self._device = devices.open(self.driver.scheduler.runner.device)

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, device: str = "cpu", dtype: DType = dtypes.float32,
        context: int | None = None, slots: int = 16, cache_tokens: int | None = None,
        cache_dtype: DType | None = None, quantize: str | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Engine:  # fmt: skip
        """Load a GGUF file, or a directory with ``config.json``, safetensors and ``tokenizer.json``.

        Args:
            path: the file or the directory, or an id on the Hugging Face Hub, ``owner/name`` (see ``locate``).
            device: where the model runs.
            dtype: the type of weights and activations.
            context: most tokens of prompt and answer together; None takes the model's, up to 8,192.
            slots: requests that run together; further ones wait.
            cache_tokens: tokens of all running requests together that the cache holds, the context at least; None for
                that. What running requests leave free keeps the beginnings of earlier ones.
            cache_dtype: the type of keys and values; None takes ``dtype``.
            quantize: ``"int8"`` or ``"int4"`` quantises the matrices that the files hold as floats; those that they
                hold quantised stay as they are, as do those whose columns are no multiple of 32.
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
        sizes: dict[str, Any] = {
            "context": context, "slots": slots, "cache_tokens": cache_tokens, "cache_dtype": cache_dtype,
        }  # fmt: skip
        path = locate(path)
        if path.is_dir():
            model = load_model(path, dtype=dtype, device=device, quantize=form, progress=progress)
            tokenizer, template = read_tokenizer(path, model.config.eos)
            return cls(model, tokenizer, template, **sizes, name=path.name)
        if path.suffix.lower() != ".gguf":
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
        return cls(model, tokenizer, template, **sizes, name=path.stem)

    def submit(
        self, prompt: str | Sequence[int], sampling: Sampling | None = None, *, constraint: Any = None,
        parser: OutputParser | None = None, **options: Any,
    ) -> Request:  # fmt: skip
        """Begin to answer a text or token ids, from any thread; requests run together.

        Args:
            prompt: a text, or token ids.
            sampling: how tokens are chosen and when the answer ends.
            constraint: the grammar that the answer keeps to.
            parser: takes the text apart for the request's ``events``; its control tokens stay in the text.
            options: fields of ``Sampling``, which change ``sampling``.

        Raises:
            ArgumentError: where the prompt leaves no room in the context, or a value is impossible.
        """
        self._check_open("submit")
        sampling = Sampling(**options) if sampling is None else replace(sampling, **options)
        sampling.check_vocabulary(self.model.config.vocab_size)
        if sampling.n > 1:
            fix = "submit each of sampling.answers()"
            raise ArgumentError(
                mistake("submit", "n", sampling.n, "1, because a request has one answer", fix)
            )
        ids = self._ids(prompt)
        room = self.context - len(ids)
        if room < 1:
            raise ArgumentError(
                f"prompt: {len(ids)} tokens leave no room in the context of {self.context}; shorten the "
                "prompt or load the engine with a larger context"
            )
        most = min(sampling.max_tokens, room)
        request = Request(ids, sampling, most, self.tokenizer, self.driver, constraint, parser)
        self.driver.add(request)
        return request

    def submit_chat(
        self, messages: Sequence[Message], sampling: Sampling | None = None, *,
        tools: Sequence[Mapping[str, Any]] | None = None, variables: Mapping[str, Any] | None = None, **options: Any,
    ) -> Request:  # fmt: skip
        """``submit`` for messages (``role`` and ``content``), by the model's template.

        Args:
            messages: in OpenAI's form, also with tool calls, results of tools and reasoning.
            sampling: how tokens are chosen and when the answer ends.
            tools: that the model may call, in OpenAI's form.
            variables: further arguments of ``ChatTemplate.render``, and variables of the template.
            options: as for ``submit``.

        Raises:
            ArgumentError: where the template refuses the messages; as ``submit``.
            UnsupportedError: where the model has no template, or its template has no known form of tool calls.
        """
        if self.template is None:
            raise UnsupportedError(f"chat: the model {self.name!r} carries no chat template; use generate")
        prompt = self.template.prompt(messages, self.tokenizer, tools=tools, **(variables or {}))
        parser = output_parser(self.template.source, tools, prompt=prompt.text)
        return self.submit(prompt.ids, sampling, parser=parser, **options)

    def generate(
        self, prompt: str | Sequence[int], sampling: Sampling | None = None, **options: Any
    ) -> Completion:
        """Continue a text or token ids; arguments as for ``submit``."""
        return self.submit(prompt, sampling, **options).result()

    def chat(
        self, messages: Sequence[Message], sampling: Sampling | None = None, **options: Any
    ) -> Completion:
        """Answer messages; arguments as for ``submit_chat``."""
        return self.submit_chat(messages, sampling, **options).result()

    async def agenerate(
        self, prompt: str | Sequence[int], sampling: Sampling | None = None, **options: Any
    ) -> Completion:
        """``generate``, without blocking the event loop."""
        return await self.submit(prompt, sampling, **options).aresult()

    async def achat(
        self, messages: Sequence[Message], sampling: Sampling | None = None, **options: Any
    ) -> Completion:
        """``chat``, without blocking the event loop."""
        return await self.submit_chat(messages, sampling, **options).aresult()

    def astream(
        self, prompt: str | Sequence[int], sampling: Sampling | None = None, **options: Any
    ) -> AsyncIterator[Delta]:
        """``stream`` for ``async for``."""
        return aiter(self.submit(prompt, sampling, **options))

    def astream_chat(
        self, messages: Sequence[Message], sampling: Sampling | None = None, **options: Any
    ) -> AsyncIterator[Delta]:
        """``stream_chat`` for ``async for``."""
        return aiter(self.submit_chat(messages, sampling, **options))

    def stream(
        self, prompt: str | Sequence[int], sampling: Sampling | None = None, **options: Any
    ) -> Iterator[Delta]:
        """Yield the answer piece by piece; never half a character or the start of a stop text."""
        return iter(self.submit(prompt, sampling, **options))

    def stream_chat(
        self, messages: Sequence[Message], sampling: Sampling | None = None, **options: Any
    ) -> Iterator[Delta]:
        """``stream`` for messages."""
        return iter(self.submit_chat(messages, sampling, **options))

    def score(self, prompt: str | Sequence[int]) -> Score:
        """Return the log-probability of each token of a text or of token ids, after those before it.

        A text longer than the context is read in windows that overlap by half.
        """
        self._check_open("score")
        ids = self._ids(prompt)
        with self.driver.paused():
            return self._scorer.score(ids)

    def graph(self, tokens: int = 1) -> ModelGraph:
        """Return the traced graph of a call of ``tokens`` tokens, as data for readers; nothing is computed."""
        if not 0 < tokens <= self.context:
            raise ArgumentError(mistake("graph", "tokens", tokens, f"1 to {self.context}, the context"))
        cache = self.driver.scheduler.runner.cache
        with self.driver.paused():
            return model_graph(self.model, cache, tokens, self.context, self.capabilities)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What the model can be asked for."""
        template = self.template
        found = {
            "chat": template is not None,
            "tools": template is not None and template.takes_tools and template.format.name != "plain",
            "reasoning": template is not None and format_of(template.source)[1] is not None,
        }
        return ("generate", "score", *(name for name, has in found.items() if has))

    @cached_property
    def _scorer(self) -> Scorer:
        return Scorer(self.model, self.context)

    def generate_object(
        self, prompt: str | Sequence[int] | Sequence[Message], schema: Any, sampling: Sampling | None = None, *,
        after: str | None = None, **options: Any,
    ) -> Any:  # fmt: skip
        """Answer with a value that a schema allows; no other answer is possible.

        Args:
            prompt: a text, token ids or messages.
            schema: a JSON Schema (a dictionary), or a model of pydantic, of which an instance is returned.
            sampling: how tokens are chosen; where it is None, ``max_tokens`` is what the context has room for.
            after: the text that ends the thinking of a reasoning model, such as ``"</think>"``.
            options: as for ``submit`` or ``submit_chat``.

        Raises:
            ArgumentError: for a schema that ``llguidance`` does not support whole, before anything is generated; where
                ``max_tokens`` or the context cut the answer.
        """
        grammar, request = self._submit_object(prompt, schema, sampling, after, options)
        return read_answer(grammar, schema, request.result())

    async def agenerate_object(
        self, prompt: str | Sequence[int] | Sequence[Message], schema: Any, sampling: Sampling | None = None, *,
        after: str | None = None, **options: Any,
    ) -> Any:  # fmt: skip
        """``generate_object``, without blocking the event loop."""
        grammar, request = self._submit_object(prompt, schema, sampling, after, options)
        return read_answer(grammar, schema, await request.aresult())

    def _submit_object(
        self, prompt: Any, schema: Any, sampling: Sampling | None, after: str | None, options: dict[str, Any]
    ) -> tuple[Grammar, Request]:
        grammar = json_grammar(schema, self.tokenizer, after)
        chat = not isinstance(prompt, str) and len(prompt) > 0 and isinstance(prompt[0], Mapping)
        if sampling is None:
            options = {"max_tokens": self.context, **options}
        submit: Callable[..., Request] = self.submit_chat if chat else self.submit
        return grammar, submit(prompt, sampling, constraint=grammar.start(), **options)

    def stats(self) -> Stats:
        """Return what runs and waits now, and totals since the engine was loaded."""
        return self.driver.scheduler.stats()

    def close(self) -> None:
        """End all requests, and give back the thread that answers them."""
        self.driver.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _check_open(self, where: str) -> None:
        """Raise an error where the engine was closed, or its device was lost since it was loaded."""
        if self.driver.closed:
            raise ArgumentError(f"{where}: the engine was closed")
        if devices.open(self._device.name) is not self._device:
            raise DeviceError(
                f"{where}: the device {self._device.name} was lost, and the model with it; load the engine again"
            )

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

"""``Tokenizer``: text to token ids and back, with control tokens recognised only where the caller allows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from weft.engine.packages import required
from weft.errors import FormatError, mistake

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library


class Tokenizer:
    """A vocabulary with its rules, over the ``tokenizers`` library.

    ``bos`` begins a sequence where the model wants that; ``eos`` are the tokens that end one.
    """

    def __init__(
        self, library: Library, control: Iterable[str], eos: Iterable[int], bos: int | None = None
    ) -> None:
        self._library = library
        self.eos, self.bos = frozenset(eos), bos
        self.control: dict[str, int] = {}
        for text in control:
            token = library.token_to_id(text)
            if token is None:
                raise FormatError(mistake("Tokenizer", "control", repr(text), "a token of the vocabulary"))
            self.control[text] = token
        library.encode_special_tokens = True  # control tokens are found here, not there
        longest_first = sorted(self.control, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @property
    def size(self) -> int:
        """Tokens in the vocabulary, added ones included."""
        return int(self._library.get_vocab_size())

    def encode(self, text: str, control: bool = False) -> list[int]:
        """Token ids of a text. With ``control``, text that spells a control token becomes that token.

        No token is put before or after.
        """
        if not control or self._pattern is None:
            return list(self._library.encode(text, add_special_tokens=False).ids)
        ids: list[int] = []
        at = 0
        for found in self._pattern.finditer(text):
            ids += self.encode(text[at : found.start()]) if found.start() > at else []
            ids.append(self.control[found[0]])
            at = found.end()
        return ids + (self.encode(text[at:]) if at < len(text) else [])

    def mark_control(self, text: str, mark: str) -> str:
        """Put ``mark`` into each spelling of a control token, so that ``encode`` does not find it."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: found[0][0] + mark + found[0][1:], text)

    def encode_marked(self, text: str, mark: str) -> list[int]:
        """Token ids of a text; a ``mark`` keeps the spelling of a control token from being it, and is dropped."""
        if self._pattern is None:
            return self.encode(text.replace(mark, ""))
        ids: list[int] = []
        at = 0
        for found in [*self._pattern.finditer(text), None]:
            between = text[at : len(text) if found is None else found.start()].replace(mark, "")
            ids += self.encode(between) if between else []
            if found is not None:
                ids.append(self.control[found[0]])
                at = found.end()
        return ids

    def decode(self, ids: Sequence[int], control: bool = False) -> str:
        """The text of ids; control tokens are left out unless asked for."""
        return str(self._library.decode(list(ids), skip_special_tokens=not control))

    def text_of(self, token: int) -> str | None:
        """How a token is spelled in the vocabulary; None where there is no such token."""
        found = self._library.id_to_token(token) if 0 <= token < 2**32 else None
        return None if found is None else str(found)

    def to_json(self) -> str:
        """The vocabulary and its rules as a ``tokenizer.json``."""
        return str(self._library.to_str())

    def stream(self, keep: Collection[str] = ()) -> Callable[[int], str | None]:
        """A function that takes the ids of a text one by one and returns what is complete: never half a character.

        Control tokens are left out, apart from those of ``keep``, which become their text.
        """
        decoders = required("tokenizers", "tokenizing").decoders
        state, library = decoders.DecodeStream(skip_special_tokens=not keep), self._library
        dropped = {token for text, token in self.control.items() if text not in keep}
        return lambda token: "" if token in dropped else state.step(library, token)


def from_json(text: str, eos: Iterable[int], bos: int | None = None) -> Tokenizer:
    """The tokenizer of a ``tokenizer.json``."""
    library = required("tokenizers", "tokenizing").Tokenizer.from_str(text)
    added = [token.content for token in library.get_added_tokens_decoder().values() if token.special]
    return Tokenizer(library, added, eos, bos)

"""``TokenTexts``: the bytes of single tokens, also of those that are a part of a character."""

from __future__ import annotations

import re

from weft.engine import Tokenizer

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
"""How vocabularies of SentencePiece spell a byte."""


def _letters() -> dict[str, int]:
    """Return the byte of each letter in which byte-level vocabularies spell bytes (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + number): byte for number, byte in enumerate(others)}


LETTERS = _letters()


class TokenTexts:
    """The texts of single tokens, remembered."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._before = tokenizer.encode("a")
        self._start = len(tokenizer.decode(self._before))
        self._known: dict[int, bytes] = {}

    def spelling(self, token: int) -> bytes:
        """Return the bytes of a token; those of a control token are its name."""
        if token not in self._known:
            self._known[token] = self._bytes(token)
        return self._known[token]

    def text(self, token: int) -> str:
        """Return the text of a token; parts of characters are replaced."""
        return self.spelling(token).decode("utf-8", "replace")

    def _bytes(self, token: int) -> bytes:
        # after a letter, because decoders drop a space at the start of a text
        text = self._tokenizer.decode([*self._before, token], control=True)[self._start :]
        if REPLACEMENT not in text:
            return text.encode()
        spelled = self._tokenizer.text_of(token) or ""
        found = BYTE.fullmatch(spelled)
        if found is not None:
            return bytes([int(found[1], 16)])
        return (
            bytes(LETTERS[letter] for letter in spelled) if set(spelled) <= LETTERS.keys() else text.encode()
        )

"""The tokenizer and the template of a checkpoint directory.

Read are ``tokenizer.json``, ``tokenizer_config.json`` and ``chat_template.jinja``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from weft.engine.packages import required
from weft.engine.template import ChatTemplate
from weft.engine.tokenizer import Tokenizer, from_json
from weft.errors import FormatError
from weft.models.directory import read_json, read_text

TOKENIZER, SETTINGS, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"


def read_tokenizer(folder: Path, eos: Iterable[int] = ()) -> tuple[Tokenizer, ChatTemplate | None]:
    """Return the tokenizer and the template, if there is one; ``eos`` are joined with the tokenizer's end token."""
    path = folder / TOKENIZER
    settings = read_json(folder / SETTINGS) if (folder / SETTINGS).exists() else {}
    text = read_text(path)
    try:
        library = required("tokenizers", "tokenizing").Tokenizer.from_str(text)
    except Exception as error:  # the library raises no narrower class
        raise FormatError(f"{str(path)!r} is not a tokenizer ({error})") from error
    names = {kind: _text(settings.get(f"{kind}_token")) for kind in ("bos", "eos")}
    ids = {kind: library.token_to_id(name) if name else None for kind, name in names.items()}
    ends = {*eos, *([] if ids["eos"] is None else [ids["eos"]])}
    bos = ids["bos"] if _begins(library, settings, ids["bos"]) else None
    source = _template(folder, settings)
    template = None if source is None else ChatTemplate(source, names["bos"], names["eos"])
    return from_json(text, ends, bos), template


def _text(token: Any) -> str:
    """Return the text of a special token, given as a text or as an object; an empty one where there is none."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else ""


def _begins(library: Any, settings: dict[str, Any], bos: int | None) -> bool:
    """Return whether a sequence begins with BOS: as the settings say, or as the tokenizer itself does it."""
    chosen = settings.get("add_bos_token")
    if isinstance(chosen, bool):
        return chosen
    return bos is not None and library.encode("a").ids[:1] == [bos]


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    """Return the source of the chat template; of several by name, ``default``."""
    if (folder / TEMPLATE).is_file():
        return read_text(folder / TEMPLATE)
    given = settings.get("chat_template")
    if isinstance(given, list):
        named = {entry.get("name"): entry.get("template") for entry in given if isinstance(entry, dict)}
        given = named.get("default")
    return given if isinstance(given, str) else None

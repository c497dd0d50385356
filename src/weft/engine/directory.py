"""The tokenizer and the template of a checkpoint directory.

Read are ``tokenizer.json``, ``tokenizer_config.json`` and ``chat_template.jinja``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from weft.engine.packages import required
from weft.engine.template import ChatTemplate
from weft.engine.tokenizer import Tokenizer, from_json
from weft.errors import FormatError
from weft.models.directory import GENERATION, read_json, read_text

TOKENIZER, SETTINGS, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
CARRIED = (
    TOKENIZER, SETTINGS, TEMPLATE, GENERATION, "special_tokens_map.json", "added_tokens.json", "tokenizer.model",
    "vocab.json", "merges.txt",
)  # fmt: skip
"""The files of a checkpoint that a quantised one needs too."""


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


def copy_tokenizer(source: Path, target: Path) -> None:
    """Copy what tells tokenizer, template and end tokens from a checkpoint directory to another."""
    for name in CARRIED:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def write_tokenizer(
    target: Path, tokenizer: Tokenizer, template: str | None, metadata: Mapping[str, Any]
) -> None:
    """Write the tokenizer and template of a GGUF file as ``read_tokenizer`` reads them."""
    names = {
        f"{kind}_token": tokenizer.text_of(metadata.get(f"tokenizer.ggml.{kind}_token_id", -1))
        for kind in ("bos", "eos")
    }
    settings = {**names, "add_bos_token": tokenizer.bos is not None}
    (target / TOKENIZER).write_text(tokenizer.to_json(), "utf-8")
    (target / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    (target / GENERATION).write_text(json.dumps({"eos_token_id": sorted(tokenizer.eos)}) + "\n", "utf-8")
    if template is not None:
        (target / TEMPLATE).write_text(template, "utf-8")


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

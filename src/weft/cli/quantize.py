"""``weft quantize``: read a GGUF file or a checkpoint directory, quantise its matrices, write a directory."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from weft import models
from weft.cli.answering import loading
from weft.cli.files import size
from weft.engine.directory import copy_tokenizer, write_tokenizer
from weft.engine.vocabulary import from_gguf
from weft.errors import ArgumentError, MissingFileError, mistake
from weft.models.directory import counting
from weft.models.gguf import GGUFFile, load_gguf
from weft.models.quant.format import QuantFormat
from weft.models.quant.integers import INTEGERS, name_of
from weft.models.quant.projection import QuantizedMatrix

BITS, GROUPS = (4, 8), (32, 64, 128)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("source", help="a .gguf file or a checkpoint directory")
    parser.add_argument("target", help="the directory to write, which must not exist")
    parser.add_argument("--bits", type=int, choices=BITS, default=4, help="of an element (default: 4)")
    parser.add_argument(
        "--group-size", type=int, choices=GROUPS, default=32, help="columns that share a scale (default: 32)"
    )
    parser.add_argument(
        "--symmetric", action="store_true", help="no minima: smaller, and less exact with 4 bits"
    )
    parser.add_argument(
        "--requantize",
        action="store_true",
        help="also quantise matrices that a GGUF file holds quantised, from their numbers",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(arguments: argparse.Namespace) -> int:
    """Write the directory under another name and rename it at the end, so that none is left half written."""
    source, target = Path(arguments.source), Path(arguments.target)
    if not source.exists():
        raise MissingFileError(
            mistake("quantize", "source", repr(str(source)), "a directory or a .gguf file")
        )
    if target.exists() or target.is_symlink():
        raise ArgumentError(f"quantize: {str(target)!r} is there already; name a new directory")
    if not target.absolute().parent.is_dir():
        raise MissingFileError(
            mistake("quantize", "target", repr(str(target)), "a name in a directory that is there")
        )
    form = INTEGERS[name_of(arguments.bits, arguments.group_size, not arguments.symmetric)]
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.absolute().parent))
    try:
        model = _write(source, made, form, arguments.requantize)
        made.chmod(0o777 & ~_umask())
        os.rename(made, target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    _report(model, source, target, form, arguments.json)
    return 0


def _write(source: Path, made: Path, form: QuantFormat, requantize: bool) -> models.Decoder:
    """Quantise and write the model with its tokenizer and template."""
    with loading() as progress:
        if source.is_dir():
            model = models.load(source, quantize=form, progress=progress)
            models.save(model, made)
            copy_tokenizer(source, made)
            return model
        with GGUFFile(source) as file:
            model = load_gguf(
                file, quantized=not requantize, quantize=form, progress=counting(progress, len(file.tensors))
            )
            models.save(model, made)
            template = file.metadata.get("tokenizer.chat_template")
            write_tokenizer(
                made, from_gguf(file.metadata, str(source)), template if isinstance(template, str) else None,
                file.metadata,
            )  # fmt: skip
            return model


def _report(model: models.Decoder, source: Path, target: Path, form: QuantFormat, as_json: bool) -> None:
    """Print how many matrices have which format, and the sizes."""
    formats = Counter(part.format for part in model.modules() if isinstance(part, QuantizedMatrix))
    before, after = _bytes(source), _bytes(target)
    if as_json:
        print(
            json.dumps(
                {
                    "path": str(target),
                    "format": form.name,
                    "matrices": formats,
                    "bytes_before": before,
                    "bytes_after": after,
                }
            )
        )
        return
    listed = ", ".join(f"{count} {name}" for name, count in sorted(formats.items())) or "none"
    kept = sum(count for name, count in formats.items() if name != form.name)
    hint = f" ({kept} keep the source's quants; --requantize quantises those of a GGUF file)" if kept else ""
    print(f"matrices: {listed}{hint}; {size(before)} to {size(after)}, {str(target)!r}")


def _bytes(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _umask() -> int:
    mask = os.umask(0o22)
    os.umask(mask)
    return mask

"""``load`` and ``save``: a model as a directory with ``config.json`` and safetensors, as Hugging Face has it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weft import dtypes
from weft import metatensor as mt
from weft.dtypes import DType
from weft.errors import ArgumentError, FormatError, MissingFileError, UnsupportedError, mistake
from weft.io import shards
from weft.metatensor.atomic import replacing
from weft.metatensor.scalars import TENSORS
from weft.models.decoder import Decoder
from weft.models.families import FAMILIES, config_from, config_to, end_tokens
from weft.models.families.layout import Place, Places, joined
from weft.models.gguf import GGUFFile, load_gguf
from weft.models.loading import Ledger, LoadingSource
from weft.models.quant.format import QuantFormat
from weft.models.quant.projection import QuantizedMatrix
from weft.models.quant.tensors import StoredMatrix
from weft.models.schemes import Scheme, scheme_of, weft_config
from weft.tensors.creation import zeros
from weft.tensors.tensor import Tensor

WEIGHTS, CONFIG, GENERATION = "model.safetensors", "config.json", "generation_config.json"
FLOATS = ("float32", "float16", "bfloat16", "float64")
MOST_TEXT = 200_000_000
"""Bytes of the longest text file that is read."""


def read_text(path: Path) -> str:
    """Return the text of a file of a checkpoint; ``FormatError`` names a file that is no text, or too long."""
    if not path.is_file():
        raise MissingFileError(mistake("load", "path", repr(str(path)), "a file that is there"))
    if path.stat().st_size > MOST_TEXT:
        raise FormatError(mistake(repr(str(path)), "size", path.stat().st_size, f"at most {MOST_TEXT} bytes"))
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{str(path)!r} is no text in UTF-8 ({error})") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; ``FormatError`` names a file that holds none."""
    text = read_text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{str(path)!r} is not JSON ({error})") from error
    if not isinstance(found, dict):
        raise FormatError(mistake(repr(str(path)), "content", f"a {type(found).__name__}", "an object"))
    return found


@dataclass(frozen=True)
class Stored:
    """The open files of a checkpoint by the names of their tensors, where weights lie, and how it is quantised."""

    files: Mapping[str, mt.File]
    places: Places
    scheme: Scheme | None = None

    def array(self, name: str) -> Any:
        """A tensor as a view of its file, in the file's type."""
        return self.files[name][name]

    def shape(self, name: str) -> tuple[int, ...] | None:
        """A tensor's shape; None where no file has it."""
        file = self.files.get(name)
        return None if file is None else tuple(file.kinds[name].shape)  # type: ignore[attr-defined]

    def dtype(self, name: str) -> str | None:
        """The name of a tensor's type."""
        return TENSORS.get(self.files[name].kinds[name].name)  # type: ignore[attr-defined]


class DirectorySource(LoadingSource):
    """Weights of open safetensors files, at the places that the family's layout says."""

    def __init__(
        self, stored: Stored, ledger: Ledger, dtype: DType, device: str, quantize: QuantFormat | None = None,
        prefix: str = "",
    ) -> None:  # fmt: skip
        super().__init__(ledger, dtype, device, prefix, quantize)
        self.stored = stored

    def __truediv__(self, name: str) -> DirectorySource:
        prefix = f"{self.prefix}{name}."
        return DirectorySource(self.stored, self.ledger, self.dtype, self.device, self.quantize, prefix)

    def names(self) -> Sequence[str]:
        """Every name in the files but those that are not read."""
        ignores = self.stored.places.ignores
        return [name for name in self.stored.files if not (ignores(name) or self._is_zero_bias(name))]

    def placed(self, name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """Return the files' name of the tensor that holds a weight, and the shape that it must have."""
        place = self.stored.places.of(name)
        return place.name, place.shape(shape)

    def _is_zero_bias(self, name: str) -> bool:
        """Whether a name is that of a bias of zeros beside a quantised matrix, as some writers add to every layer."""
        scheme, module = self.stored.scheme, name.removesuffix("bias")
        return (
            scheme is not None
            and scheme.zero_biases
            and name.endswith(".bias")
            and module + "qweight" in self.stored.files
            and not self.stored.array(name).any()
        )

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """The shape of the tensor that holds a weight."""
        return self.stored.shape(self.stored.places.of(name).name)

    def read(self, name: str, start: int, stop: int) -> Any:
        """Rows of a weight, in the file's type."""
        place = self.stored.places.of(name)
        return place.rows_of(self.stored.array(place.name), start, stop)

    def weight(self, rows: int, columns: int) -> Tensor | QuantizedMatrix:
        """The matrix of this part, with the files' own quants where they have them."""
        scheme, files = self.stored.scheme, self.stored.files
        name = self.prefix + "weight"
        place = Place(name) if scheme is not None and scheme.own_names else self.stored.places.of(name)
        prefix = place.name.removesuffix("weight")
        if scheme is None or prefix + "scales" not in files:
            return super().weight(rows, columns)
        if place.groups > 1:
            self.ledger.note(
                f"{prefix}scales: quantised weights that are shared out by heads are not covered"
            )
            return zeros(0, device=self.device)
        whole = place.total or rows
        form = scheme.of(prefix.rstrip("."))
        shapes: dict[str, tuple[int, ...]] = {**form.shapes(whole, columns)}
        if form.order and prefix + form.order in files:
            shapes[form.order] = (columns,)
        wrong = [
            suffix
            for suffix, shape in shapes.items()
            if not self._fits(prefix + suffix, shape, form.dtypes(suffix))
        ]
        if wrong:
            return zeros(0, device=self.device)
        arrays = {suffix: self.stored.array(prefix + suffix) for suffix in shapes}
        found = StoredMatrix(form, arrays, rows, columns, prefix.rstrip("."), place.start)
        if found.suits:
            return QuantizedMatrix.of_stored(found, self.device)
        return self.filled((rows, columns), found.dequantize)

    def has(self, name: str, shape: Sequence[int]) -> bool:
        """Whether the files have the tensor in this shape, as floating-point numbers; a problem is noted if not."""
        full, expected = self.placed(self.prefix + name, tuple(shape))
        return self._fits(full, expected, FLOATS)

    def _fits(self, full: str, shape: tuple[int, ...], kinds: Sequence[str]) -> bool:
        """Whether the files have a tensor of this shape and of one of these types; a problem is noted if not."""
        if not self.present(full, self.stored.shape(full), shape):
            return False
        if (kind := self.stored.dtype(full)) not in kinds:
            self.ledger.note(f"{full} is {kind}, expected {' or '.join(kinds)}")
            return False
        return True


def load(
    path: str | os.PathLike[str], *, dtype: DType = dtypes.float32, device: str = "cpu",
    quantize: QuantFormat | None = None, progress: Callable[[str, int, int], None] | None = None,
) -> Decoder:  # fmt: skip
    """Load a model: a directory with ``config.json`` and safetensors (in shards too), or a GGUF file.

    Files are mapped into memory and uploaded tensor by tensor.

    Args:
        path: the directory or the file.
        dtype: the type of weights and activations.
        device: where the model runs.
        quantize: the format, one of weft's own, to which the matrices are quantised that the file holds as floats and
            whose columns are a multiple of its group.
        progress: is told name, number and total of the tensors that are read.

    Raises:
        MissingFileError: where a file is not there.
        FormatError: for a damaged file, and for weights that are missing, misshapen or unexpected, all named.
        UnsupportedError: for an unknown ``model_type``, or fields that the family's row does not cover.

    >>> import tempfile, weft as wf
    >>> from weft import models
    >>> config = models.families.config_from({"model_type": "llama", "vocab_size": 11, "hidden_size": 8,
    ...     "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}, "config.json")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     models.save(models.Decoder(config), folder)
    ...     tuple(models.load(folder)(wf.tensor([[1, 2, 3]])).shape)
    (1, 3, 11)
    """
    source = Path(path)
    if not source.exists():
        raise MissingFileError(mistake("load", "path", repr(str(path)), "a directory or a .gguf file"))
    if source.is_dir():
        return _load_directory(source, dtype, device, quantize, progress)
    if source.suffix.lower() != ".gguf":
        raise UnsupportedError(mistake("load", "path", repr(str(path)), "a directory or a .gguf file"))
    with GGUFFile(source) as file:
        return load_gguf(
            file, dtype, device, quantize=quantize, progress=counting(progress, len(file.tensors))
        )


def counting(told: Callable[[str, int, int], None] | None, total: int) -> Callable[[str], None]:
    """Return a function of a name that tells name, number and total."""
    count = 0

    def tell(name: str) -> None:
        nonlocal count
        count += 1
        if told is not None:
            told(name, count, total)

    return tell


def _load_directory(
    folder: Path, dtype: DType, device: str, quantize: QuantFormat | None,
    progress: Callable[[str, int, int], None] | None,
) -> Decoder:  # fmt: skip
    scheme, given = scheme_of(read_json(folder / CONFIG), str(folder / CONFIG))
    config = config_from(given, str(folder / CONFIG))
    if (folder / GENERATION).exists():
        ends = end_tokens(read_json(folder / GENERATION), str(folder / GENERATION))
        config = replace(config, eos=tuple(dict.fromkeys([*config.eos, *ends])))
    with shards.read(folder / WEIGHTS) as (files, _):
        tensors = {name: file for file in files for name in file.kinds}
        stored = Stored(tensors, Places.found(FAMILIES[config.family].layout, config, tensors), scheme)
        ledger = Ledger(counting(progress, len(stored.files)))
        source = DirectorySource(stored, ledger, dtype, device, quantize)
        model = Decoder(config, source)
        source.finish(str(folder))
    return model


def stored_weights(model: Decoder) -> dict[str, Tensor]:
    """Return the weights by the model's names; a module with ``stored()`` says itself what checkpoints hold of it."""
    found: dict[str, Tensor] = {}
    for prefix, module in model.named_modules():
        own = module.stored() if hasattr(module, "stored") else module.named_parameters(recurse=False)
        found |= {f"{prefix}.{name}": weight for name, weight in dict(own).items()}
    return found


def save(model: Decoder, path: str | os.PathLike[str], *, max_shard_size: int | str | None = "5GB") -> None:
    """Write a model as a directory that ``load`` reads, and transformers' ``from_pretrained`` where none is quantised.

    Writes ``config.json`` and ``model.safetensors``, in shards of at most ``max_shard_size`` bytes. Quantised matrices
    keep their quants: of each, ``weight``, ``scales`` and ``minima`` are written, and ``quantization_config`` says how
    they are read.

    Raises:
        UnsupportedError: for a configuration that its family's ``config.json`` cannot say.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(mistake("save", "path", repr(str(path)), "a directory"))
    config = config_to(model.config)
    weights = stored_weights(model)
    config["dtype"] = next(iter(weights.values())).dtype.name
    matrices = {
        name.removesuffix(".matrix"): part
        for name, part in model.named_modules()
        if isinstance(part, QuantizedMatrix)
    }
    if matrices:
        config["quantization_config"] = weft_config({name: part.form for name, part in matrices.items()})
    places = Places(FAMILIES[model.config.family].layout, model.config)
    parts: dict[tuple[str, ...], Any] = {
        (name,): tensor.pending() for name, tensor in joined(places, weights).items()
    }
    for name, part in matrices.items():  # quantised matrices keep the model's names
        parts |= {(f"{name}.{suffix}",): tensor for suffix, tensor in part.tensors().items()}
    folder.mkdir(parents=True, exist_ok=True)
    limit = None if max_shard_size is None else shards.size_of(max_shard_size)
    shards.write(folder / WEIGHTS, parts, {"format": "pt"}, {}, limit)
    with replacing(folder / CONFIG) as file:
        file.write((json.dumps(config, indent=2) + "\n").encode())

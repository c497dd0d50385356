"""``scheme_of``: how the matrices of a checkpoint directory are quantised, as its ``config.json`` says.

A row of ``SCHEMES`` reads one ``quant_method``. Fields that a row does not read are an error that names them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.errors import FormatError, UnsupportedError, mistake
from weft.models.families.fields import Fields
from weft.models.quant.tensors import TensorFormat, awq, gptq, mlx, weft

KEY, MLX_KEY = "quantization_config", "quantization"
GROUPS = (32, 64, 128)


@dataclass(frozen=True)
class Scheme:
    """The format of a checkpoint's quantised matrices; ``modules`` are those that differ, by their names.

    A module is quantised where the file has the format's tensors. ``zero_biases`` says that linear layers without a
    bias may have one of zeros in the file, ``own_names`` that matrices have the model's names, not those that the
    family's layout gives them.
    """

    form: TensorFormat
    modules: Mapping[str, TensorFormat] = field(default_factory=dict)
    zero_biases: bool = False
    own_names: bool = False

    def of(self, module: str) -> TensorFormat:
        """Return the format of a module."""
        return self.modules.get(module, self.form)


def _among(fields: Fields, name: str, known: tuple[Any, ...], default: Any) -> Any:
    value = fields(name, type(known[0]), default)
    if value not in known:
        raise fields.error(name, repr(value)[:60], f"one of {', '.join(map(str, known))}", UnsupportedError)
    return value


def _group(fields: Fields) -> int:
    """Return the columns that share a scale; 0 where the file says -1, all of a row."""
    if fields.given.get("group_size") == -1:
        fields.read.add("group_size")
        return 0
    return int(fields("group_size", int, 128))


def _mlx_form(fields: Fields) -> TensorFormat:
    _among(fields, "mode", ("affine",), "affine")
    return mlx(_among(fields, "bits", (4, 8), 4), _among(fields, "group_size", GROUPS, 64))


def _mlx(fields: Fields) -> Scheme:
    form = _mlx_form(fields)
    modules = {}
    for name, given in fields.given.items():
        if name in fields.read or given is None:
            continue
        fields.read.add(name)
        if isinstance(given, dict):
            own = Fields(given, fields.path, (), f"{fields.prefix}{name}.")
            modules[name] = _mlx_form(own)
            own.finish()
        elif not isinstance(given, bool):
            raise fields.error(name, repr(given)[:60], "true, false or an object with bits and group_size")
    return Scheme(form, modules)


_GPTQ_INERT = frozenset(
    "backend batch_size block_name_to_quantize cache_block_outputs damp_auto_increment damp_percent dataset desc_act "
    "exllama_config max_input_length meta model_file_base_name model_name_or_path model_seqlen "
    "module_name_preceding_first_block modules_in_block_to_quantize mse pad_token_id quantizer static_groups sym "
    "tokenizer true_sequential use_cuda_fp16 use_exllama lm_head act_group_aware offload_to_disk".split()
)
"""Fields that say how the file was made; what they change in it, the tensors say themselves."""


def _gptq(fields: Fields) -> Scheme:
    fields.read |= _GPTQ_INERT
    if fields.given.get("dynamic"):
        raise fields.error("dynamic", repr(fields.given["dynamic"])[:60], "none", UnsupportedError)
    if fields.given.get("is_marlin_format"):
        raise fields.error("is_marlin_format", "true", "false", UnsupportedError)
    fields.read |= {"dynamic", "is_marlin_format"}
    _among(fields, "pack_dtype", ("int32",), "int32")
    versions = {"gptq": 1, "gptq_v2": 2}
    alias = _among(fields, "format", tuple(versions), "gptq")
    version = versions[_among(fields, "checkpoint_format", tuple(versions), alias)]
    form = gptq(_among(fields, "bits", (4, 8), 4), _group(fields), version)
    return Scheme(form, zero_biases=True)


def _awq(fields: Fields) -> Scheme:
    fields.read |= {
        "modules_to_not_convert",
        "backend",
        "do_fuse",
        "fuse_max_seq_len",
        "modules_to_fuse",
        "exllama_config",
    }
    version = fields("version", str, "gemm")
    if version.lower() != "gemm":
        raise fields.error("version", repr(version)[:60], "'gemm'", UnsupportedError)
    if fields("zero_point", bool, True) is not True:
        raise fields.error("zero_point", "false", "true", UnsupportedError)
    _among(fields, "bits", (4,), 4)
    return Scheme(awq(_group(fields)))


def weft_config(forms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``quantization_config`` of weft's own files: the commonest form, and the modules of other forms.

    A form has ``bits``, ``group_size``, ``zero`` and ``minima``.
    """
    counts = Counter(tuple(form.items()) for form in forms.values())
    common = dict(counts.most_common(1)[0][0])
    others = {name: dict(form) for name, form in forms.items() if dict(form) != common}
    return {"quant_method": "weft", **common, **({"modules": others} if others else {})}


def _weft_form(fields: Fields) -> TensorFormat:
    bits, group = _among(fields, "bits", (4, 8), 4), fields("group_size", int)
    zero = fields.given.get("zero")
    fields.read.add("zero")
    if type(zero) is not int or not 0 <= zero <= 255:
        raise fields.error("zero", repr(zero)[:60], "0 to 255")
    return weft(bits, group, zero, fields("minima", bool))


def _weft(fields: Fields) -> Scheme:
    form, modules = _weft_form(fields), {}
    for name, given in fields("modules", dict, {}).items():
        if not isinstance(given, dict):
            raise fields.error(f"modules.{name}", repr(given)[:60], "an object")
        own = Fields(given, fields.path, (), f"{fields.prefix}modules.{name}.")
        modules[name] = _weft_form(own)
        own.finish()
    return Scheme(form, modules, own_names=True)


SCHEMES: Mapping[str, Callable[[Fields], Scheme]] = {"mlx": _mlx, "gptq": _gptq, "awq": _awq, "weft": _weft}
"""By ``quant_method``; MLX writes none, and has a field of its own."""


def scheme_of(config: Mapping[str, Any], path: str) -> tuple[Scheme | None, dict[str, Any]]:
    """Return how a checkpoint is quantised, None if it is not, and the ``config.json`` without these fields.

    Raises:
        UnsupportedError: for a ``quant_method`` that weft lacks, and fields or values that it does not cover.
        FormatError: for a value of the wrong kind.
    """
    rest = {name: value for name, value in config.items() if name not in (KEY, MLX_KEY)}
    key = MLX_KEY if config.get(MLX_KEY) is not None else KEY
    given = config.get(key)
    if given is None:
        return None, rest
    if not isinstance(given, dict):
        raise FormatError(mistake(repr(path), key, repr(given)[:60], "an object"))
    fields = Fields(given, path, (), f"{key}.")
    method = given.get("quant_method", "mlx" if key == MLX_KEY else None)
    if not isinstance(method, str) or method not in SCHEMES:
        known = ", ".join(SCHEMES)
        raise fields.error("quant_method", repr(method)[:60], f"one of {known}", UnsupportedError)
    fields.read.add("quant_method")
    scheme = SCHEMES[method](fields)
    fields.finish()
    return scheme, rest

"""MLX, GPTQ and AWQ: words computed by hand, numbers, products, whole checkpoints, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import weft as wf
from tests.models.checkpoints import Case, model
from tests.models.stored_formats import WAYS, Array, Way, gptq, mlx, quantised
from tests.models.test_decoder import cached
from weft.devices.base import Device
from weft.errors import FormatError, UnsupportedError
from weft.models import load, save
from weft.models import upload as runs_of
from weft.models.quant import FORMATS
from weft.models.quant import tensors as forms
from weft.models.quant.projection import QuantizedMatrix
from weft.models.quant.tensors import StoredMatrix, TensorFormat
from weft.models.schemes import SCHEMES, scheme_of

EVERY = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))
ROWS, COLUMNS = 40, 256
SIZES = {
    "hidden_size": 128, "intermediate_size": 256, "vocab_size": 131, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "num_hidden_layers": 2,
}  # fmt: skip


def form_of(way: Way) -> TensorFormat:
    scheme, _ = scheme_of(way.config, "config.json")
    assert scheme is not None
    return scheme.form


def stored(way: Way, rows: int = ROWS, columns: int = COLUMNS) -> tuple[StoredMatrix, Array]:
    tensors, meant = way.make(np.random.default_rng(0), rows, columns)
    form = form_of(way)
    shapes = form.shapes(rows, columns)
    assert {suffix: tensors[suffix].shape for suffix in shapes} == shapes
    return StoredMatrix(form, tensors, rows, columns, "matrix"), meant


def test_a_word_of_each_format_by_hand() -> None:
    word = np.array([[0x76543210]], np.uint32)
    half = np.array([[0.5]], np.float16)
    mlx_tensors = {"weight": word, "scales": half, "biases": np.array([[-1.0]], np.float16)}
    found = StoredMatrix(forms.mlx(4, 8), mlx_tensors, 1, 8, "w").dequantize(0, 1)
    assert found.tolist() == [[-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5]]
    # eight rows of a single column: zero points 8 for all, stored as 7
    column = {"scales": np.full((1, 8), 0.5, np.float16), "qzeros": np.array([[0x77777777]], np.uint32)}
    column["qweight"] = word.repeat(8, 1)
    found = StoredMatrix(forms.gptq(4, 0), column, 8, 8, "w").dequantize(0, 8)
    assert found[3].tolist() == [-4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5]
    found = StoredMatrix(forms.gptq(4, 0, version=2), column, 8, 8, "w").dequantize(0, 8)
    assert found[3, 0] == (0 - 7) * 0.5
    # AWQ: the bits from the lowest on are those of rows 0, 2, 4, 6, 1, 3, 5, 7
    awq = {"qweight": np.array([[0x75316420]], np.uint32), "scales": np.full((1, 8), 2.0, np.float16)}
    awq["qzeros"] = np.zeros((1, 1), np.uint32)
    found = StoredMatrix(forms.awq(0), awq, 8, 1, "w").dequantize(0, 8)
    assert found[:, 0].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]


@EVERY
def test_numbers_are_those_of_the_definition(way: Way) -> None:
    matrix, meant = stored(way)
    np.testing.assert_allclose(matrix.dequantize(0, ROWS), meant, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(matrix.dequantize(16, 27), matrix.dequantize(0, ROWS)[16:27])


@EVERY
@pytest.mark.parametrize("count", [1, 5])
def test_products_are_those_of_the_definition(
    device: Device, way: Way, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_of, "RUN", 16 * COLUMNS)  # several runs of rows
    found, meant = stored(way)
    assert found.suits
    matrix = QuantizedMatrix.of_stored(found, device.name)
    assert (matrix.rows, matrix.columns) == (ROWS, COLUMNS)
    # whole numbers with 127 in every 16 columns are unchanged by rounding to 8 bits, in any order of the groups
    x = (
        np.random.default_rng(1)
        .choice([-127.0, -64.0, 0.0, 31.0, 127.0], (count, COLUMNS))
        .astype(np.float32)
    )
    x[:, : COLUMNS // 2] = 127
    product = matrix.multiply(wf.tensor(x, device=device.name)).numpy()
    assert (np.abs(product - x @ meant.T) <= 1e-3 * (np.abs(x) @ np.abs(meant.T))).all()
    rows = np.array([ROWS - 1, 0, 2])
    taken = matrix.take(wf.tensor(rows, device=device.name)).numpy()
    np.testing.assert_allclose(taken, meant[rows], rtol=2e-6, atol=1e-6)


def test_zero_points_that_are_equal_take_no_minima_and_float16_scales_stay() -> None:
    symmetric = QuantizedMatrix.of_stored(stored(WAYS["gptq-4-32-symmetric"])[0], "cpu")
    assert (symmetric.zero, symmetric.minima, symmetric.scales.dtype) == (8, None, wf.float16)
    differing = QuantizedMatrix.of_stored(stored(WAYS["gptq-4-64"])[0], "cpu")
    assert differing.minima is not None
    assert differing.scales.dtype is wf.float32  # a product of scale and zero point needs more than 11 bits
    plain = QuantizedMatrix.of_stored(stored(WAYS["mlx-4-64"])[0], "cpu")
    assert plain.nbytes == 48 * COLUMNS // 2 + 2 * 2 * 48 * COLUMNS // 64


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    made = model(Case("llama", SIZES))
    path = tmp_path_factory.mktemp("float") / "llama"
    made.save_pretrained(path)
    return path, made


@EVERY
def test_checkpoints_give_the_logits_of_their_dequantised_weights(
    source: tuple[Path, Any], tmp_path: Path, device: Device, way: Way
) -> None:
    path, made = source
    meant = quantised(path, tmp_path / "q", way, keep=lambda name: "layers.1.mlp.up_proj" in name)
    found = load(tmp_path / "q", device=device.name)
    matrices = [part for part in found.modules() if isinstance(part, QuantizedMatrix)]
    assert len(matrices) == 13 + 2 * way.embeddings
    before = {name: weight.detach().clone() for name, weight in made.state_dict().items()}
    made.load_state_dict({name: torch.from_numpy(np.array(weight)) for name, weight in meant.items()})
    ids = np.arange(12)[None] * 7 % 131
    with torch.no_grad():
        expected = made(torch.from_numpy(ids)).logits.numpy()
    made.load_state_dict(before)
    error = np.abs(cached(found, ids, device.name, [12]) - expected).max() / np.abs(expected).max()
    assert error < (0.05 if device.name == "cpu" else 1e-3), error


def test_groups_of_unequal_size_and_widths_that_no_kernel_takes_are_dequantised() -> None:
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, 4, 128))
    for tensors, meant, columns in (
        (*gptq(rng, 16, 128, 4, 32, groups=groups), 128),
        (*gptq(rng, 16, 72, 4, 32), 72),
    ):
        matrix = StoredMatrix(forms.gptq(4, 32), tensors, 16, columns, "w")
        assert not matrix.suits
        np.testing.assert_allclose(matrix.dequantize(0, 16), meant, rtol=1e-6, atol=1e-7)


def edited(folder: Path, **changed: Any) -> None:
    """Replace tensors of a checkpoint; None removes one. Names have ``__`` for dots."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name, value in changed.items():
        key = name.replace("__", ".")
        if value is None:
            del tensors[key]
        else:
            tensors[key] = value(tensors.get(key))
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, file)


def configured(folder: Path, key: str = "quantization_config", **changed: Any) -> None:
    """Change fields of how a checkpoint is quantised."""
    file = folder / "config.json"
    config = json.loads(file.read_text())
    config[key] = {**config.get(key, {}), **changed}
    file.write_text(json.dumps(config))


def test_zero_biases_that_the_model_lacks_are_passed_over_and_others_are_not(
    source: tuple[Path, Any], tmp_path: Path
) -> None:
    quantised(source[0], tmp_path / "q", WAYS["gptq-4-32-symmetric"])
    name = "model__layers__0__self_attn__o_proj__bias"
    edited(tmp_path / "q", **{name: lambda old: np.zeros(128, np.float16)})
    load(tmp_path / "q")
    edited(tmp_path / "q", **{name: lambda old: old + np.float16(1)})
    with pytest.raises(FormatError, match=r"layers\.0\.self_attn\.o_proj\.bias is unexpected"):
        load(tmp_path / "q")


def test_modules_of_mlx_may_differ(source: tuple[Path, Any], tmp_path: Path) -> None:
    meant = quantised(source[0], tmp_path / "q", WAYS["mlx-4-64"])
    tensors, numbers = mlx(np.random.default_rng(9), 131, 128, 8, 32)
    edited(tmp_path / "q", **{f"lm_head__{name}": lambda old, new=new: new for name, new in tensors.items()})
    with pytest.raises(FormatError, match=r"lm_head\.weight is \(131, 32\), expected \(131, 16\)"):
        load(tmp_path / "q")
    configured(tmp_path / "q", "quantization", lm_head={"bits": 8, "group_size": 32})
    configured(tmp_path / "q", "quantization", **{"model.layers.0.mlp.gate": False})
    head = load(tmp_path / "q").lm_head
    assert head is not None
    x = np.full((1, 128), 127.0, np.float32)
    np.testing.assert_allclose(head(wf.tensor(x)).numpy(), x @ numbers.T, rtol=1e-3)
    assert meant["lm_head.weight"].shape == numbers.shape


@pytest.mark.parametrize(
    ("way", "changed", "named"),
    [
        ("gptq-4-64", {"quant_method": "bitsandbytes"}, "quant_method is 'bitsandbytes', expected one of .*gptq"),
        ("gptq-4-64", {"quant_method": 7}, "quant_method is 7"),
        ("gptq-4-64", {"bits": 3}, "quantization_config.bits is 3, expected one of 4, 8"),
        ("gptq-4-64", {"group_size": 0}, "group_size"),
        ("gptq-4-64", {"checkpoint_format": "marlin"}, "checkpoint_format is 'marlin'"),
        ("gptq-4-64", {"is_marlin_format": True}, "is_marlin_format"),
        ("gptq-4-64", {"dynamic": {"+:lm_head": {"bits": 8}}}, "dynamic"),
        ("gptq-4-64", {"rotation": "hadamard"}, "rotation = 'hadamard'"),
        ("awq-128", {"version": "gemv"}, "version is 'gemv'"),
        ("awq-128", {"zero_point": False}, "zero_point"),
        ("awq-128", {"bits": 8}, "bits is 8"),
        ("mlx-4-64", {"bits": 3}, "quantization.bits is 3"),
        ("mlx-4-64", {"group_size": 16}, "quantization.group_size is 16"),
        ("mlx-4-64", {"mode": "mxfp4"}, "quantization.mode is 'mxfp4'"),
        ("mlx-4-64", {"lm_head": {"bits": 4, "kind": "nf4"}}, "quantization.lm_head.kind = 'nf4'"),
        ("mlx-4-64", {"lm_head": 4}, "quantization.lm_head"),
    ],
)  # fmt: skip
def test_what_is_not_covered_is_named(
    source: tuple[Path, Any], tmp_path: Path, way: str, changed: dict[str, Any], named: str
) -> None:
    quantised(source[0], tmp_path / "q", WAYS[way])
    configured(tmp_path / "q", "quantization" if way.startswith("mlx") else "quantization_config", **changed)
    with pytest.raises((UnsupportedError, FormatError), match=named) as raised:
        load(tmp_path / "q")
    assert "config.json" in str(raised.value)


@pytest.mark.parametrize(
    ("suffix", "change", "named"),
    [
        ("scales", None, "o_proj.weight is missing"),
        ("qzeros", None, "o_proj.qzeros is missing"),
        ("qweight", lambda old: old[:-1], r"o_proj.qweight is \(15, 128\), expected \(16, 128\)"),
        ("qweight", lambda old: old.view(np.float32), "o_proj.qweight is float32, expected int32 or uint32"),
        ("scales", lambda old: old.astype(np.int16), "o_proj.scales is int16"),
        ("g_idx", lambda old: old + 3, r"o_proj: g_idx is 3 to 4, expected groups from 0 to 1"),
        ("g_idx", lambda old: old[:7], "o_proj.g_idx is"),
    ],
)
def test_damaged_matrices_are_named(
    source: tuple[Path, Any], tmp_path: Path, suffix: str, change: Callable[[Array], Array], named: str
) -> None:
    quantised(source[0], tmp_path / "q", WAYS["gptq-4-64"])
    edited(tmp_path / "q", **{f"model__layers__0__self_attn__o_proj__{suffix}": change})
    with pytest.raises(FormatError, match=named):
        load(tmp_path / "q")


def test_every_scheme_has_a_case() -> None:
    covered = {way.config.get("quantization_config", {}).get("quant_method", "mlx") for way in WAYS.values()}
    assert covered == set(SCHEMES) - {"weft"}


def test_the_page_names_every_format() -> None:
    page = (Path(__file__).parents[2] / "docs" / "quantised-formats.md").read_text()
    table = page[page.index("| format |") : page.index("\n\n`quantization_config`")]
    for name in (*(form.name for form in FORMATS.values()), *SCHEMES):
        assert name in table, name


@pytest.mark.parametrize("way", ["mlx-4-32", "gptq-4-32-desc_act", "awq-32"])
def test_quantised_tensors_that_hold_several_weights(tmp_path: Path, way: str) -> None:
    sizes = {name: value for name, value in SIZES.items() if name != "head_dim"}
    made = model(Case("phi3", sizes))
    made.save_pretrained(tmp_path / "a")
    meant = quantised(tmp_path / "a", tmp_path / "q", WAYS[way])
    found = load(tmp_path / "q")
    matrices = [part for part in found.modules() if isinstance(part, QuantizedMatrix)]
    assert len(matrices) == 2 * 7 + 2 * WAYS[way].embeddings
    made.load_state_dict({name: torch.from_numpy(np.array(weight)) for name, weight in meant.items()})
    ids = np.arange(12)[None] * 7 % 131
    with torch.no_grad():
        expected = made(torch.from_numpy(ids)).logits.numpy()
    error = np.abs(cached(found, ids, "cpu", [12]) - expected).max() / np.abs(expected).max()
    assert error < 0.05, error
    save(found, tmp_path / "again")
    np.testing.assert_array_equal(
        cached(load(tmp_path / "again"), ids, "cpu", [12]), cached(found, ids, "cpu", [12])
    )

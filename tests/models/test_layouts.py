"""Where families' checkpoints hold weights: fused tensors, names of their own, parts of other models."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import weft as wf
from tests.models.checkpoints import Case, model
from tests.models.test_family_configs import least
from weft.errors import FormatError, UnsupportedError
from weft.models import load, save
from weft.models.families import FAMILIES, config_from
from weft.models.families.layout import Place, Places

Array = np.ndarray[Any, Any]
FUSED = ["phi3", "gpt2", "gpt_neox"]
HEADS = {"gpt_neox": "embed_out.weight"}


@lru_cache(maxsize=None)
def reference(family: str, tied: bool = False) -> tuple[Any, Array, Array]:
    """Return a model of transformers, tokens (B, T), and its logits (B, T, vocab)."""
    rotary = {"rotary_pct": 0.34} if family == "gpt_neox" else {}
    made = model(Case(family, {"tie_word_embeddings": tied, "num_hidden_layers": 2, **rotary}))
    ids = np.random.default_rng(1).integers(0, made.config.vocab_size, (2, 9))
    with torch.no_grad():
        return made, ids, made(torch.from_numpy(ids)).logits.numpy()


def checkpoint(folder: Path, family: str, tied: bool = False, **changed: Any) -> Path:
    """Return a directory of a family; ``changed`` are tensors, by names with ``__`` for a dot; None removes one."""
    reference(family, tied)[0].save_pretrained(folder)
    weights: dict[str, Any] = dict(wf.load(folder / "model.safetensors", device="cpu"))
    weights |= {name.replace("__", "."): value for name, value in changed.items()}
    kept = {name: value for name, value in weights.items() if value is not None}
    wf.save(kept, folder / "model.safetensors")
    return folder


def check(path: Path, family: str, tied: bool = False) -> None:
    """Compare the logits of a directory with transformers'."""
    _, ids, logits = reference(family, tied)
    with wf.no_grad():
        found = load(path)(wf.tensor(ids)).numpy()
    assert np.abs(found - logits).max() < 1e-3 * np.abs(logits).max()


@pytest.mark.parametrize("family", FUSED)
def test_tensors_are_written_under_the_names_and_in_the_form_of_transformers(
    tmp_path: Path, family: str
) -> None:
    path = checkpoint(tmp_path / "a", family)
    save(load(path), tmp_path / "b")
    theirs, ours = (wf.load(tmp_path / part / "model.safetensors", device="cpu") for part in "ab")
    assert set(ours) == set(theirs)
    for name, weight in theirs.items():
        np.testing.assert_array_equal(ours[name].numpy(), weight.numpy(), err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_of_all_layers_and_parts_have_different_places(family: str) -> None:
    places = Places(FAMILIES[family].layout, config_from(least(family), "config.json"))
    parts = (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.o_proj",
        "input_layernorm",
    )
    names = [f"model.layers.{layer}.{part}.weight" for layer in (0, 1, 11) for part in parts]
    found = [places.of(name) for name in [*names, "model.embed_tokens.weight", "lm_head.weight"]]
    assert len(set(found)) == len(found)


def test_rows_of_a_stacked_tensor_are_views_and_rows_by_head_are_copied_alone() -> None:
    tensor = np.arange(36 * 5, dtype=np.float32).reshape(36, 5)
    stacked = Place("a", start=12, rows=12, total=36)
    np.testing.assert_array_equal(stacked.rows_of(tensor, 2, 7), tensor[14:19])
    assert np.shares_memory(stacked.rows_of(tensor, 2, 7), tensor)
    turned = Place("a", start=12, rows=12, total=36, transposed=True)
    np.testing.assert_array_equal(turned.rows_of(tensor.T.copy(), 2, 7), tensor[14:19])
    assert np.shares_memory(turned.rows_of(tensor.T, 2, 7), tensor)
    by_head = Place("a", groups=3, start=4, rows=4, total=12)
    expected = tensor.reshape(3, 3, 4, 5)[:, 1].reshape(12, 5)
    np.testing.assert_array_equal(by_head.rows_of(tensor, 0, 12), expected)
    part = by_head.rows_of(tensor, 3, 6)
    np.testing.assert_array_equal(part, expected[3:6])
    assert part.base is None or part.base.nbytes <= part.nbytes


def test_a_fused_tensor_that_does_not_fit_is_named_once(tmp_path: Path) -> None:
    wrong = {
        "model__layers__0__self_attn__qkv_proj__weight": wf.zeros(59, 36),
        "model__layers__1__mlp__gate_up_proj__weight": None,
    }
    with pytest.raises(FormatError) as raised:
        load(checkpoint(tmp_path, "phi3", **wrong))
    message = str(raised.value)
    assert "model.layers.0.self_attn.qkv_proj.weight is (59, 36), expected (60, 36)" in message
    assert "model.layers.1.mlp.gate_up_proj.weight is missing" in message
    assert message.count(";") == 1


def test_names_without_the_base_and_stored_masks_are_read(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "gpt2", tied=True)
    weights = wf.load(path / "model.safetensors", device="cpu")
    older = {name.removeprefix("transformer."): weight for name, weight in weights.items()}
    older |= {f"h.{layer}.attn.bias": wf.ones(1, 1, 96, 96) for layer in range(2)}
    older |= {"h.0.attn.masked_bias": wf.tensor(-1e4)}
    assert set(older) & set(weights) == set()
    wf.save(older, path / "model.safetensors")
    check(path, "gpt2", tied=True)


@pytest.mark.parametrize("family", ["granite", "gemma2", "gemma3_text", "phi3", "gpt2", "gpt_neox"])
def test_a_missing_output_layer_is_named_and_that_of_a_tied_model_ignored(
    tmp_path: Path, family: str
) -> None:
    head = HEADS.get(family, "lm_head.weight")
    with pytest.raises(FormatError, match=f"{head} is missing"):
        load(checkpoint(tmp_path / "a", family, **{head.replace(".", "__"): None}))
    check(
        checkpoint(tmp_path / "b", family, True, **{head.replace(".", "__"): wf.ones(131, 36)}), family, True
    )


VISION = {
    "hidden_size": 16,
    "intermediate_size": 20,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
WHOLE: dict[str, tuple[Any, Any, str, dict[str, Any]]] = {
    "gemma3": (
        transformers.Gemma3Config, transformers.Gemma3ForConditionalGeneration, "gemma3_text",
        {"mm_tokens_per_image": 4, "image_token_index": 130, "boi_token_index": 128, "eoi_token_index": 129},
    ),
    "mistral3": (
        transformers.Mistral3Config, transformers.Mistral3ForConditionalGeneration, "ministral3",
        {"image_token_index": 130},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_the_language_model_of_a_model_with_images_is_read(tmp_path: Path, name: str) -> None:
    config, kind, family, more = WHOLE[name]
    text = {**reference(family)[0].config.to_dict(), "eos_token_id": 7}
    vision = VISION if name == "gemma3" else {**VISION, "model_type": "pixtral"}
    torch.manual_seed(0)
    made = kind(config(text_config=text, vision_config=vision, **more)).eval().float()
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(0.0, 0.3)
    made.save_pretrained(tmp_path)
    ids = np.random.default_rng(2).integers(0, 128, (2, 9))
    with torch.no_grad():
        logits = made(input_ids=torch.from_numpy(ids)).logits.numpy()
    loaded = load(tmp_path)
    assert (loaded.config.family, loaded.config.eos, loaded.config.tied) == (family, (7,), True)
    with wf.no_grad():
        assert np.abs(loaded(wf.tensor(ids)).numpy() - logits).max() < 1e-3 * np.abs(logits).max()


def test_an_unknown_field_of_either_part_is_named() -> None:
    text = {"model_type": "gemma3_text", "hidden_size": 32, "intermediate_size": 8, "num_hidden_layers": 1}
    for given in ({"twist": 3, "text_config": text}, {"text_config": {**text, "twist": 3}}):
        with pytest.raises(UnsupportedError, match="twist = 3"):
            config_from({"model_type": "gemma3", **given}, "config.json")
    with pytest.raises(FormatError, match="text_config"):
        config_from({"model_type": "gemma3"}, "config.json")

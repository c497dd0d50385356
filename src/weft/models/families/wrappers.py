"""``WRAPPERS``: models of several modalities whose language model is one of the families: its part of ``config.json``.

Such a checkpoint is loaded as its language model alone; the family's layout knows which tensors are of other parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weft.models.families.fields import INERT, Fields

PART = "text_config"
WRAPPERS: Mapping[str, frozenset[str]] = {
    "gemma3": frozenset(
        {"vision_config", "mm_tokens_per_image", "boi_token_index", "eoi_token_index", "image_token_index"}
    ),
    "mistral3": frozenset(
        {
            "vision_config", "image_token_index", "multimodal_projector_bias", "projector_hidden_act",
            "spatial_merge_size", "vision_feature_layer",
        }
    ),
}  # fmt: skip
"""The fields of other parts, by ``model_type``."""


def unwrapped(given: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return the part of a ``config.json`` that says the language model; all of it where there is but one model."""
    name = given.get("model_type")
    if not isinstance(name, str) or name not in WRAPPERS:
        return given
    fields = Fields(given, path, INERT | WRAPPERS[name])
    part: dict[str, Any] = dict(fields(PART, dict))
    part["tie_word_embeddings"] = fields("tie_word_embeddings", bool, True)
    for token in ("bos_token_id", "eos_token_id"):
        if given.get(token) is not None:
            part[token] = given[token]
    fields.finish()
    return part

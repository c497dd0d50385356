"""Rotary positions in a ``config.json``.

Read are ``rope_parameters`` (one, or one for each type of layer) and the older ``rope_scaling`` beside ``rope_theta``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weft.errors import UnsupportedError
from weft.models.config import DecoderConfig, RopeConfig, RopeScaling
from weft.models.families.fields import Fields

LAYER_TYPES = ("full_attention", "sliding_attention")
ORIGINAL, BETA = "original_max_position_embeddings", "llama_4_scaling_beta"
OLDER_NAMES = {"su": "longrope"}


@dataclass(frozen=True)
class Scaling:
    """How a kind of scaling is said: ``read(fields, positions, dims)`` gives attributes of ``RopeConfig``.

    ``write(rope)`` gives the fields that say the same.
    """

    read: Callable[[Fields, int, int], dict[str, Any]]
    write: Callable[[RopeConfig], dict[str, Any]]


def _linear(given: Fields, positions: int, dims: int) -> dict[str, Any]:
    return {"factor": given("factor", float)}


def _dynamic(given: Fields, positions: int, dims: int) -> dict[str, Any]:
    if dims < 4:
        raise given.error("rope_type", "'dynamic'", f"another kind, as {dims} dimensions rotate; it needs 4")
    return {"factor": given("factor", float), "original_positions": positions}


def _llama3(given: Fields, positions: int, dims: int) -> dict[str, Any]:
    return {
        "factor": given("factor", float),
        "low": given("low_freq_factor", float),
        "high": given("high_freq_factor", float),
        "original_positions": given(ORIGINAL, int, positions),
    }


def _write_llama3(rope: RopeConfig) -> dict[str, Any]:
    return {
        "factor": rope.factor,
        "low_freq_factor": rope.low,
        "high_freq_factor": rope.high,
        ORIGINAL: rope.original_positions,
    }


def _magnitude(factor: float, scale: float = 1.0) -> float:
    """Return YaRN's factor of rotated queries and keys."""
    return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0


def _yarn(given: Fields, positions: int, dims: int) -> dict[str, Any]:
    original = given(ORIGINAL, int, positions)
    factor = given("factor", float, positions / original)
    scale, scale_all = given("mscale", float, 0.0), given("mscale_all_dim", float, 0.0)
    usual = _magnitude(factor)
    if scale and scale_all:
        usual = _magnitude(factor, scale) / _magnitude(factor, scale_all)
    return {
        "factor": factor,
        "low": given("beta_slow", float, 1.0),
        "high": given("beta_fast", float, 32.0),
        "original_positions": original,
        "truncate": given("truncate", bool, True),
        "attention_factor": given("attention_factor", float, usual),
    }


def _write_yarn(rope: RopeConfig) -> dict[str, Any]:
    return {
        "factor": rope.factor,
        "beta_slow": rope.low,
        "beta_fast": rope.high,
        ORIGINAL: rope.original_positions,
        "truncate": rope.truncate,
        "attention_factor": rope.attention_factor,
    }


def _longrope(given: Fields, positions: int, dims: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("short", "long"):
        numbers = given(f"{name}_factor", list)
        if len(numbers) != dims // 2 or not all(
            type(x) in (int, float) and 0 < x < math.inf for x in numbers
        ):
            raise given.error(f"{name}_factor", repr(numbers)[:60], f"{dims // 2} numbers above 0")
        found[name] = tuple(map(float, numbers))
    original = given(ORIGINAL, int, positions)
    factor = given("factor", float, positions / original)
    usual = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return {
        **found,
        "original_positions": original,
        "attention_factor": given("attention_factor", float, usual),
    }


def _write_longrope(rope: RopeConfig) -> dict[str, Any]:
    return {
        "short_factor": list(rope.short),
        "long_factor": list(rope.long),
        ORIGINAL: rope.original_positions,
        "attention_factor": rope.attention_factor,
    }


SCALINGS: Mapping[RopeScaling, Scaling] = {
    "default": Scaling(lambda given, positions, dims: {}, lambda rope: {}),
    "linear": Scaling(_linear, lambda rope: {"factor": rope.factor}),
    "dynamic": Scaling(_dynamic, lambda rope: {"factor": rope.factor}),
    "llama3": Scaling(_llama3, _write_llama3),
    "yarn": Scaling(_yarn, _write_yarn),
    "longrope": Scaling(_longrope, _write_longrope),
}
"""The fields of each kind of scaling, by ``rope_type``."""


@dataclass(frozen=True)
class RopeRule:
    """How a family rotates.

    Args:
        theta: the base where the file names none.
        window_theta: that of layers with a window, in families where each type of layer has its rotation.
        partial: the share of each head that rotates where the file names none; None where a family rotates heads whole.
        scalings: the kinds of scaling that the family has.
        original: the original positions, of families that say them outside of the rotation's fields, where the file
            names none.
        query_scale: queries are scaled by their position (``llama_4_scaling_beta``).
        absent: the rotation's fields where the file has none at all.
        inert: the rotation's fields that change nothing for text.
    """

    theta: float = 10000.0
    window_theta: float | None = None
    partial: float | None = None
    scalings: tuple[RopeScaling, ...] = tuple(SCALINGS)
    original: int | None = None
    query_scale: bool = False
    absent: Mapping[str, Any] = field(default_factory=dict)
    inert: frozenset[str] = frozenset()


def read_rope(
    fields: Fields, rule: RopeRule, head_dim: int, positions: int
) -> tuple[RopeConfig, RopeConfig | None]:
    """Return the rotation, and that of layers with a window where it differs."""
    theta = fields("rope_theta", float, rule.theta)
    usual: dict[str, Any] = {
        "theta": theta,
        "partial": fields("partial_rotary_factor", float, 1.0 if rule.partial is None else rule.partial),
        "original": None if rule.original is None else fields(ORIGINAL, int, rule.original),
    }
    scaling: Mapping[str, Any] = fields("rope_scaling", dict, {})
    given: Mapping[str, Any] = fields("rope_parameters", dict, scaling or rule.absent)
    if scaling and given != scaling:
        raise fields.error("rope_scaling", repr(scaling)[:60], "none, or the same, beside rope_parameters")
    if rule.window_theta is not None:
        window_theta = fields("rope_local_base_freq", float, rule.window_theta)
        return _by_type(fields, rule, given, head_dim, positions, usual, window_theta)
    if any(isinstance(given.get(name), dict) for name in LAYER_TYPES):
        raise fields.error("rope_parameters", "one for each type of layer", "one for all", UnsupportedError)
    found = Fields(given, fields.path, rule.inert, prefix=f"{fields.prefix}rope_parameters.")
    return _one(found, rule, head_dim, positions, usual), None


def _by_type(
    fields: Fields, rule: RopeRule, given: Mapping[str, Any], head_dim: int, positions: int,
    usual: dict[str, Any], window_theta: float,
) -> tuple[RopeConfig, RopeConfig | None]:  # fmt: skip
    """Return the rotations of both types of layer; the older ``rope_scaling`` holds for layers without a window."""
    prefix = f"{fields.prefix}rope_parameters."
    if given and "rope_parameters" in fields:
        outer = Fields(given, fields.path, LAYER_TYPES, prefix)
        outer.finish()
        parts = [outer(name, dict, {}) for name in LAYER_TYPES]
    else:
        parts = [given, {}]
    thetas = (usual["theta"], window_theta)
    full, window = (
        _one(Fields(part, fields.path, prefix=f"{prefix}{name}."), rule, head_dim, positions, usual | {"theta": theta})
        for name, part, theta in zip(LAYER_TYPES, parts, thetas, strict=True)
    )  # fmt: skip
    return full, None if window == full else window


def _one(
    given: Fields, rule: RopeRule, head_dim: int, positions: int, usual: Mapping[str, Any]
) -> RopeConfig:
    known = [*rule.scalings, *(name for name, newer in OLDER_NAMES.items() if newer in rule.scalings)]
    older = given.one_of("type", known, "default")
    named = given.one_of("rope_type", known, older)
    if "type" in given and older != named:
        raise given.error("type", repr(older), f"{named!r}, as rope_type")
    kind: Any = OLDER_NAMES.get(named, named)
    dims = int(head_dim * given("partial_rotary_factor", float, usual["partial"]))
    theta = given("rope_theta", float, usual["theta"])
    if dims % 2 or not 0 < dims <= head_dim:
        raise given.error("partial_rotary_factor", dims, f"an even number of dimensions up to {head_dim}")
    if rule.partial is None and dims != head_dim:
        raise given.error(
            "partial_rotary_factor", f"{dims} of {head_dim} dimensions", "1.0", UnsupportedError
        )
    if theta <= 0:
        raise given.error("rope_theta", theta, "a number above 0")
    if usual["original"] is not None:
        given = Fields(
            {**given.given, ORIGINAL: usual["original"]}, given.path, given.read | {ORIGINAL}, given.prefix
        )
    found = SCALINGS[kind].read(given, positions, dims)
    if rule.query_scale:
        given.read.add("max_position_embeddings")
        found["query_beta"] = given(BETA, float)
        found["original_positions"] = given(ORIGINAL, int, positions)
    given.finish()
    return RopeConfig(theta, dims, kind, **found)


def write_rope(config: DecoderConfig, rule: RopeRule) -> dict[str, Any]:
    """Return the fields that say the rotations of a configuration."""
    if config.rope is None:
        return {}
    full = _write_one(config.rope, rule, config.head_dim)
    if rule.window_theta is not None:
        window = _write_one(config.window_rope or config.rope, rule, config.head_dim)
        return {"rope_parameters": dict(zip(LAYER_TYPES, (full, window), strict=True))}
    written: dict[str, Any] = {"rope_parameters": full}
    if rule.original is not None and ORIGINAL in full:
        written[ORIGINAL] = full[ORIGINAL]
    return written


def _write_one(rope: RopeConfig, rule: RopeRule, head_dim: int) -> dict[str, Any]:
    written: dict[str, Any] = {"rope_type": rope.scaling, "rope_theta": rope.theta}
    if rule.partial is not None:
        share = rope.dims / head_dim
        while int(head_dim * share) < rope.dims:
            share = math.nextafter(share, 1)
        written["partial_rotary_factor"] = share
    written |= SCALINGS[rope.scaling].write(rope)
    if rope.query_beta:
        written |= {BETA: rope.query_beta, ORIGINAL: rope.original_positions}
    return written

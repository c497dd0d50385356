"""Rotary positions in a ``config.json``.

Read are ``rope_parameters`` (one, or one for each type of layer) and the older ``rope_scaling`` beside ``rope_theta``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weft.models.config import RopeConfig, RopeScaling
from weft.models.families.fields import Fields

LAYER_TYPES = ("full_attention", "sliding_attention")


def _plain(given: Fields, positions: int) -> dict[str, Any]:
    return {}


def _linear(given: Fields, positions: int) -> dict[str, Any]:
    return {"factor": given("factor", float)}


def _llama3(given: Fields, positions: int) -> dict[str, Any]:
    return {
        "factor": given("factor", float),
        "low": given("low_freq_factor", float),
        "high": given("high_freq_factor", float),
        "original_positions": given("original_max_position_embeddings", int, positions),
    }


SCALINGS: Mapping[RopeScaling, Callable[[Fields, int], dict[str, Any]]] = {
    "default": _plain,
    "linear": _linear,
    "llama3": _llama3,
}
"""The fields of each kind of scaling, by ``rope_type``."""


def read_rope(fields: Fields, head_dim: int, positions: int, theta: float = 10000.0) -> dict[str, RopeConfig]:
    """Return the rotation of each type of layer; one that holds for all has the name ``full_attention``."""
    theta = fields("rope_theta", float, theta)
    part = fields("partial_rotary_factor", float, 1.0)
    scaling: Mapping[str, Any] = fields("rope_scaling", dict, {})
    given: Mapping[str, Any] = fields("rope_parameters", dict, scaling)
    if scaling and given != scaling:
        raise fields.error("rope_scaling", repr(scaling)[:60], "none, or the same, beside rope_parameters")
    nested = [name for name in LAYER_TYPES if isinstance(given.get(name), dict)]
    if not nested:
        found = Fields(given, fields.path, prefix=f"{fields.prefix}rope_parameters.")
        return {"full_attention": _one(found, head_dim, positions, theta, part)}
    outer = Fields(given, fields.path, nested, f"{fields.prefix}rope_parameters.")
    outer.finish()
    return {
        name: _one(
            Fields(given[name], fields.path, prefix=f"{outer.prefix}{name}."),
            head_dim,
            positions,
            theta,
            part,
        )
        for name in nested
    }


def _one(given: Fields, head_dim: int, positions: int, theta: float, part: float) -> RopeConfig:
    older = given.one_of("type", SCALINGS, "default")
    kind: Any = given.one_of("rope_type", SCALINGS, older)
    if "type" in given and older != kind:
        raise given.error("type", repr(older), f"{kind!r}, as rope_type")
    dims = int(head_dim * given("partial_rotary_factor", float, part))
    theta = given("rope_theta", float, theta)
    if dims % 2 or not 0 < dims <= head_dim:
        raise given.error("partial_rotary_factor", dims, f"an even number of dimensions up to {head_dim}")
    if theta <= 0:
        raise given.error("rope_theta", theta, "a number above 0")
    result = RopeConfig(theta, dims, kind, **SCALINGS[kind](given, positions))
    given.finish()
    return result


def write_rope(rope: RopeConfig, head_dim: int) -> dict[str, Any]:
    """Return the ``rope_parameters`` of a rotation."""
    written: dict[str, Any] = {"rope_type": rope.scaling, "rope_theta": rope.theta}
    if rope.dims != head_dim:
        written["partial_rotary_factor"] = rope.dims / head_dim
    if rope.scaling in ("linear", "llama3"):
        written["factor"] = rope.factor
    if rope.scaling == "llama3":
        written |= {
            "low_freq_factor": rope.low,
            "high_freq_factor": rope.high,
            "original_max_position_embeddings": rope.original_positions,
        }
    return written

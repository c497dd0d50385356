"""Windows and rotations from layer to layer: how a ``config.json`` says them, read and written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from weft.models.config import LayerConfig
from weft.models.families.fields import Fields
from weft.models.families.rope import LAYER_TYPES


@dataclass(frozen=True)
class Pattern:
    """``read(fields, count)`` gives the layers, ``write(layers)`` the fields that say the same."""

    read: Callable[[Fields, int], tuple[LayerConfig, ...]]
    write: Callable[[tuple[LayerConfig, ...]], dict[str, Any]]


def alike(layer: LayerConfig) -> Pattern:
    """Return the pattern of layers that are all the same."""
    return Pattern(lambda fields, count: (layer,) * count, lambda layers: {})


def windowed(absent: int | None) -> Pattern:
    """Return the pattern of one window for all layers; ``absent`` is it where the file names none."""

    def read(fields: Fields, count: int) -> tuple[LayerConfig, ...]:
        return (LayerConfig(fields("sliding_window", int, absent, null=None)),) * count

    return Pattern(read, lambda layers: {"sliding_window": layers[0].window})


def mixed(pattern: Pattern) -> Pattern:
    """Return a pattern whose feed-forward parts are mixtures of experts."""

    def read(fields: Fields, count: int) -> tuple[LayerConfig, ...]:
        return tuple(replace(layer, feed_forward="mixture") for layer in pattern.read(fields, count))

    return Pattern(read, pattern.write)


def mixers(kinds: Mapping[str, str], usual: Callable[[Fields, int], list[str]], **constant: Any) -> Pattern:
    """Return the pattern of layers whose ``layer_types`` name mixers by ``kinds``.

    ``usual`` gives the types where the file has none. ``constant`` fields are written too.
    """

    def read(fields: Fields, count: int) -> tuple[LayerConfig, ...]:
        types = read_types(fields, count, usual(fields, count), kinds)
        return tuple(LayerConfig(mixer=kinds[name]) for name in types)

    def write(layers: tuple[LayerConfig, ...]) -> dict[str, Any]:
        names = {mixer: name for name, mixer in kinds.items()}
        return {"layer_types": [names[layer.mixer] for layer in layers], **constant}

    return Pattern(read, write)


def every(interval: int, key: str | None = None, absent: int = 4096) -> Pattern:
    """Return the pattern of layers with a window, but for every ``interval``-th without.

    ``key`` is the older field of the interval. ``absent`` is the window where the file names none.
    """

    def read(fields: Fields, count: int) -> tuple[LayerConfig, ...]:
        step = interval if key is None else fields(key, int, interval)
        usual = [LAYER_TYPES[(index + 1) % step != 0] for index in range(count)]
        window = fields("sliding_window", int, absent, null=None)
        return of_types(fields, read_types(fields, count, usual), window)

    return Pattern(read, types_of)


def read_types(
    fields: Fields, count: int, usual: list[str], known: Collection[str] = LAYER_TYPES
) -> list[str]:
    """Return ``layer_types``, each among the ``known``, or the ``usual`` types where there is none."""
    types: list[str] = fields("layer_types", list, usual)
    if len(types) != count:
        raise fields.error("layer_types", f"{len(types)} entries", f"{count}, one a layer")
    wrong = next((name for name in types if name not in known), None)
    if wrong is not None:
        raise fields.error("layer_types", repr(wrong), f"one of {', '.join(known)}")
    return types


def _switched(fields: Fields, count: int) -> tuple[LayerConfig, ...]:
    """Qwen's: windows from layer ``max_window_layers`` on, only with ``use_sliding_window``."""
    used, window = fields("use_sliding_window", bool, False), fields("sliding_window", int, None)
    window = window if used else None
    fields.read.add("max_window_layers")
    first = fields.given.get("max_window_layers", 28)
    if type(first) is not int:
        raise fields.error("max_window_layers", repr(first)[:60], "an integer")
    usual = [LAYER_TYPES[window is not None and index >= first] for index in range(count)]
    return of_types(fields, read_types(fields, count, usual), window)


def of_types(fields: Fields, types: list[str], window: int | None) -> tuple[LayerConfig, ...]:
    """Return layers of the given types."""
    if window is None and LAYER_TYPES[1] in types:
        raise fields.error("layer_types", repr(LAYER_TYPES[1]), "full_attention, as there is no window")
    return tuple(LayerConfig(window if name == LAYER_TYPES[1] else None) for name in types)


def types_of(layers: tuple[LayerConfig, ...]) -> dict[str, Any]:
    """Return ``layer_types`` and ``sliding_window``."""
    window = next((layer.window for layer in layers if layer.window is not None), None)
    return {
        "layer_types": [LAYER_TYPES[layer.window is not None] for layer in layers],
        "sliding_window": window,
    }


def _write_switched(layers: tuple[LayerConfig, ...]) -> dict[str, Any]:
    written = types_of(layers)
    return {**written, "use_sliding_window": written["sliding_window"] is not None}


def _smollm3(fields: Fields, count: int) -> tuple[LayerConfig, ...]:
    """Layers without rotation, every fourth by default; those have the window where one is used."""
    every = fields("no_rope_layer_interval", int, 4)
    rotates = fields("no_rope_layers", list, [int((index + 1) % every != 0) for index in range(count)])
    if len(rotates) < count or not all(value in (0, 1) for value in rotates):
        raise fields.error("no_rope_layers", repr(rotates)[:60], f"{count} times 0 or 1")
    used, window = fields("use_sliding_window", bool, False), fields("sliding_window", int, None)
    window = window if used else None
    usual = [LAYER_TYPES[window is not None and not rotate] for rotate in rotates[:count]]
    types = read_types(fields, count, usual)
    return tuple(
        LayerConfig(window if name == LAYER_TYPES[1] else None, bool(rotate))
        for name, rotate in zip(types, rotates, strict=False)
    )


def _write_smollm3(layers: tuple[LayerConfig, ...]) -> dict[str, Any]:
    return {**_write_switched(layers), "no_rope_layers": [int(layer.rope) for layer in layers]}


def _qwen3_moe(fields: Fields, count: int) -> tuple[LayerConfig, ...]:
    """Mixtures in every ``decoder_sparse_step``-th layer but in ``mlp_only_layers``; one window for all where used."""
    used, window = fields("use_sliding_window", bool, False), fields("sliding_window", int, 4096, null=None)
    step, plain = fields("decoder_sparse_step", int, 1), fields("mlp_only_layers", list, [])
    if not all(type(index) is int for index in plain):
        raise fields.error("mlp_only_layers", repr(plain)[:60], "a list of layers")
    return tuple(
        LayerConfig(
            window if used else None,
            feed_forward="gated" if index in plain or (index + 1) % step else "mixture",
        )
        for index in range(count)
    )


def _write_qwen3_moe(layers: tuple[LayerConfig, ...]) -> dict[str, Any]:
    window = layers[0].window
    plain = [index for index, layer in enumerate(layers) if layer.feed_forward == "gated"]
    return {"use_sliding_window": window is not None, "sliding_window": window, "mlp_only_layers": plain}


ALIKE = alike(LayerConfig())
SWITCHED = Pattern(_switched, _write_switched)
SMOLLM3 = Pattern(_smollm3, _write_smollm3)
QWEN3_MOE = Pattern(_qwen3_moe, _write_qwen3_moe)

"""Constructors of layers: PyTorch's names, order and defaults; arguments that are not what they seem; NumPy's numbers."""

from __future__ import annotations

import inspect
import typing
import warnings
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf
from tests.replaced import unchanged_process, wrong_outcomes
from weft.devices import Device
from weft.errors import ArgumentTypeError

LAYERS = sorted(
    name
    for name in wf.nn.__all__
    if isinstance(getattr(wf.nn, name), type) and issubclass(getattr(wf.nn, name), wf.nn.Module)
)
APART = {
    "RNNBase": "PyTorch's takes the kind of layer first, which is an attribute of the class here",
    "Module": "PyTorch's takes anything and refuses it",
}
"""Layers whose signature differs from PyTorch's on purpose."""

VALUES: dict[str, Any] = {
    "in_features": 4, "out_features": 6, "in1_features": 2, "in2_features": 3, "in_channels": 4, "out_channels": 6,
    "num_features": 4, "num_groups": 2, "num_channels": 4, "normalized_shape": 4, "kernel_size": 2, "output_size": 2,
    "num_embeddings": 5, "embedding_dim": 3, "input_size": 3, "hidden_size": 2, "embed_dim": 4, "num_heads": 2,
    "d_model": 4, "nhead": 2, "upscale_factor": 2, "downscale_factor": 2, "groups": 2, "size": 3, "padding": 1,
    "value": 0.5, "threshold": 0.5, "norm_type": 2.0, "dim": 1, "unflattened_size": (2, 2), "num_layers": 1,
    "vocab": 5,
}  # fmt: skip
"""Right values of required arguments, by name."""
MADE: dict[str, Any] = {
    "encoder_layer": lambda: wf.nn.TransformerEncoderLayer(4, 2, 4),
    "decoder_layer": lambda: wf.nn.TransformerDecoderLayer(4, 2, 4),
    "module": lambda: wf.nn.Linear(2, 2),
}
"""Those that are made for each call."""
SMALL = {
    "Transformer": {
        "d_model": 4,
        "nhead": 2,
        "dim_feedforward": 4,
        "num_encoder_layers": 1,
        "num_decoder_layers": 1,
    }
}


def parameters_of(layer: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a constructor; of PyTorch's recurrent layers those of the documented overload."""
    overloads = typing.get_overloads(layer.__init__)
    given = inspect.signature(overloads[0] if overloads else layer)
    return {name: each for name, each in given.parameters.items() if name != "self"}


def described(layer: Any) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults; functions by their names."""
    return [
        (name, each.kind, getattr(each.default, "__name__", each.default))
        for name, each in parameters_of(layer).items()
    ]


@pytest.mark.parametrize("name", [name for name in LAYERS if hasattr(torch.nn, name) and name not in APART])
def test_names_order_and_defaults_are_pytorchs(name: str) -> None:
    own, other = getattr(wf.nn, name), getattr(torch.nn, name)
    if other.__init__ is torch.nn.Module.__init__:  # it takes anything and refuses it
        assert described(own) == []
        return
    assert described(own) == described(other)


def replaceable(name: str) -> list[str]:
    """The arguments of a constructor that are given by name."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return [key for key, each in parameters_of(getattr(wf.nn, name)).items() if each.kind in kinds]


def right_values(name: str) -> dict[str, Any]:
    """Arguments with which a layer can be made."""
    if name in SMALL:
        return SMALL[name]
    needed = [
        key for key, each in parameters_of(getattr(wf.nn, name)).items()
        if each.default is each.empty and key in replaceable(name)
    ]  # fmt: skip
    return {key: MADE[key]() if key in MADE else VALUES[key] for key in needed}


def odd_attributes(layer: Any) -> str:
    """What of a layer's own attributes came from NumPy or a tensor without being normalised; empty where nothing did."""
    plain = layer is None or isinstance(layer, wf.nn.ParameterList)  # which keeps any value
    for key, value in [] if plain else vars(layer).items():
        parts = value if isinstance(value, tuple | list) else (value,)
        if any(type(part).__module__ == "numpy" for part in parts):
            return f"the attribute {key} is {value!r}"
    return ""


CHECKED = [name for name in LAYERS if name not in ("Identity", "RNNBase")]
"""``Identity`` takes anything, as PyTorch's; ``RNNBase`` is the base of layers and none itself."""


@pytest.mark.parametrize("name", CHECKED)
def test_replaced_arguments_give_a_layer_or_a_weft_error(name: str, device: Device) -> None:
    layer = getattr(wf.nn, name)
    with wf.device(device.name), unchanged_process(device.name):
        wrong = wrong_outcomes(layer, lambda: right_values(name), replaceable(name), odd_attributes)
    assert not wrong, f"{name}:\n" + "\n".join(wrong)


def as_numpy(value: Any) -> Any:
    """Python's numbers as NumPy's."""
    if isinstance(value, bool):
        return np.bool_(value)
    if isinstance(value, int):
        return np.int32(value)
    if isinstance(value, float):
        return np.float64(value)
    return tuple(map(as_numpy, value)) if isinstance(value, tuple) else value


def as_tensor(value: Any) -> Any:
    """Python's numbers as 0-d tensors."""
    if isinstance(value, bool | int | float):
        return wf.tensor(value, dtype=wf.float64 if isinstance(value, float) else None, device="cpu")
    return value


@pytest.mark.parametrize("form", [as_numpy, as_tensor])
@pytest.mark.parametrize("name", CHECKED)
def test_numbers_of_numpy_and_tensors_are_taken_for_pythons(name: str, form: Any) -> None:
    given = right_values(name)
    for key, each in parameters_of(getattr(wf.nn, name)).items():
        if each.default is not each.empty and each.default is not None:
            given.setdefault(key, each.default)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = getattr(wf.nn, name)(**given)
        other = getattr(wf.nn, name)(**{key: form(value) for key, value in given.items()})
    assert str(other) == str(plain)
    assert not odd_attributes(other)


def test_a_wrong_keyword_names_the_nearest() -> None:
    with pytest.raises(ArgumentTypeError, match=r"Conv2d: arguments is strid=, .*; did you mean stride=\?"):
        wf.nn.Conv2d(1, 2, 3, strid=2)
    with pytest.raises(ArgumentTypeError, match=r"Linear: out_features is missing, expected an int"):
        wf.nn.Linear(3)
    with pytest.raises(ArgumentTypeError, match=r"Tanh: the number of arguments is 1, expected at most 0"):
        wf.nn.Tanh(3)


def test_constructors_of_users_are_called_as_they_are_written() -> None:
    class Own(wf.nn.Linear):
        def __init__(self, width: int, **options: Any) -> None:
            super().__init__(width, width, **options)

    assert Own("3" and 3, bias=False).bias is None  # type: ignore[arg-type]
    with pytest.raises(ArgumentTypeError, match="Own: in_features is 'wide', expected an int"):
        Own("wide")  # type: ignore[arg-type]


DEPRECATED = sorted(name for name in LAYERS if "size_average" in parameters_of(getattr(wf.nn, name)))


@pytest.mark.parametrize("name", DEPRECATED)
@pytest.mark.parametrize(
    "given", [{"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True}]
)
def test_deprecated_arguments_of_losses_mean_what_they_mean_in_pytorch(
    name: str, given: dict[str, bool]
) -> None:
    with pytest.warns(UserWarning, match="size_average and reduce are deprecated") as caught:
        made = getattr(wf.nn, name)(**given)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert made.reduction == getattr(torch.nn, name)(**given).reduction


def test_there_are_losses_with_deprecated_arguments() -> None:
    assert len(DEPRECATED) >= 14

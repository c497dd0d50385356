"""Attention and transformer layers against PyTorch's with the same weights: outputs, weights, gradients, names."""

from __future__ import annotations

from typing import Any

import numpy
import pytest
import torch

import weft as wf
from tests.nn.test_layers import agree, dtypes_of
from tests.peer import OLDER_TORCH
from weft.devices import Device
from weft.errors import ArgumentError, DTypeError, ShapeError

E, H, L, S, N = 8, 2, 4, 5, 3


def same_weights(make: Any, kinds: Any, device: str) -> tuple[Any, Any]:
    theirs = make(torch.nn).to(kinds[1])
    ours = make(wf.nn).to(device, kinds[0])
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_modules()] == [name for name, _ in theirs.named_modules()]
    if not OLDER_TORCH:  # which did not print every option
        assert repr(ours) == repr(theirs)
    return ours, theirs


def tensors(values: Any, kinds: Any, device: str) -> tuple[list[Any], list[Any]]:
    own = [wf.tensor(v, dtype=kinds[0], device=device, requires_grad=True) for v in values]
    return own, [torch.tensor(v, dtype=kinds[1], requires_grad=True) for v in values]


def masks(values: dict[str, Any], kinds: Any, device: str) -> tuple[dict[str, Any], dict[str, Any]]:
    own: dict[str, Any] = {}
    other: dict[str, Any] = {}
    for name, value in values.items():
        boolean = value.dtype == bool
        own[name] = wf.tensor(value, dtype=None if boolean else kinds[0], device=device)
        other[name] = torch.tensor(value) if boolean else torch.tensor(value, dtype=kinds[1])
    return own, other


def check(ours: Any, theirs: Any, own: Any, other: Any, results: Any, tolerance: float) -> None:
    for mine, expected in zip(*results, strict=True):
        assert (mine is None) == (expected is None)
        if mine is not None:
            agree(mine, expected, tolerance)
    for parts in results:
        sum((part * part).sum() for part in parts if part is not None).backward()
    for mine, expected in zip([*own, *ours.parameters()], [*other, *theirs.parameters()], strict=True):
        assert (mine.grad is None) == (expected.grad is None)
        if mine.grad is not None:
            agree(mine.grad, expected.grad, tolerance * 10)


CAUSAL = numpy.triu(numpy.ones((L, S), dtype=bool), 2)
PADDING = numpy.array([[False] * 5, [False, False, True, True, True], [False, True, False, False, False]])
ATTENTION: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}, {}),
    "without weights": ({}, {"need_weights": False}, {}),
    "weights of each head": ({"bias": False}, {"average_attn_weights": False}, {}),
    "batch first, padding": ({"batch_first": True}, {}, {"key_padding_mask": PADDING}),
    "bool mask": ({}, {}, {"attn_mask": CAUSAL}),
    "both masks, without weights": ({}, {"need_weights": False}, {"attn_mask": CAUSAL, "key_padding_mask": PADDING}),
    "added mask a head": ({}, {}, {"attn_mask": numpy.linspace(-2, 2, N * H * L * S).reshape(N * H, L, S)}),
    "other sizes": ({"kdim": 6, "vdim": 7}, {}, {}),
    "extra positions": ({"add_bias_kv": True, "add_zero_attn": True}, {}, {"attn_mask": CAUSAL, "key_padding_mask": PADDING}),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_agrees_with_pytorch(name: str, device: Device) -> None:
    options, call, given = ATTENTION[name]
    draw = numpy.random.default_rng(0).standard_normal
    shapes = [(L, N, E), (S, N, options.get("kdim", E)), (S, N, options.get("vdim", E))]
    if options.get("batch_first"):
        shapes = [(b, a, c) for a, b, c in shapes]
    values = [draw(shape) for shape in shapes]
    for kinds in dtypes_of(device):
        ours, theirs = same_weights(lambda n: n.MultiheadAttention(E, H, **options), kinds, device.name)
        own, other = tensors(values, kinds, device.name)
        own_masks, other_masks = masks(given, kinds, device.name)
        results = ours(*own, **own_masks, **call), theirs(*other, **other_masks, **call)
        check(ours, theirs, own, other, results, kinds[2])


@pytest.mark.parametrize("shape", [(L, E), (L, N, E)])
def test_self_attention_agrees_with_pytorch(shape: tuple[int, ...], device: Device) -> None:
    value = numpy.random.default_rng(1).standard_normal(shape)
    for kinds in dtypes_of(device):
        ours, theirs = same_weights(lambda n: n.MultiheadAttention(E, H), kinds, device.name)
        own, other = tensors([value], kinds, device.name)
        mask = masks({"attn_mask": CAUSAL[:, :L]}, kinds, device.name)
        results = ours(*own * 3, **mask[0]), theirs(*other * 3, **mask[1])
        check(ours, theirs, own, other, results, kinds[2])


LAYERS: dict[str, Any] = {
    "post": {},
    "pre, gelu, batch first": {"norm_first": True, "activation": "gelu", "batch_first": True},
    "without bias": {"bias": False},
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_layers_agree_with_pytorch(name: str, kind: str, device: Device) -> None:
    options = {"dim_feedforward": 12, "dropout": 0.0, **LAYERS[name]}
    draw = numpy.random.default_rng(2).standard_normal
    first = options.get("batch_first")
    shapes = [(N, L, E), (N, S, E)] if first else [(L, N, E), (S, N, E)]
    prefix = "src" if kind == "encoder" else "tgt"
    given = {f"{prefix}_mask": CAUSAL[:, :L], f"{prefix}_key_padding_mask": PADDING[:, :L]}
    given |= {"memory_key_padding_mask": PADDING} if kind == "decoder" else {}
    layer = f"Transformer{kind.title()}Layer"
    for kinds in dtypes_of(device):
        ours, theirs = same_weights(lambda n: getattr(n, layer)(E, H, **options), kinds, device.name)
        values = [draw(shape) for shape in shapes[: 1 if kind == "encoder" else 2]]
        own, other = tensors(values, kinds, device.name)
        own_masks, other_masks = masks(given, kinds, device.name)
        results = [ours(*own, **own_masks)], [theirs(*other, **other_masks)]
        check(ours, theirs, own, other, results, kinds[2])


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_the_model_follows_pytorch_for_twenty_steps() -> None:
    kinds = (wf.float64, torch.float64, 1e-9)

    def make(n: Any) -> Any:
        return n.Transformer(E, H, 2, 2, dim_feedforward=12, dropout=0.0)

    ours, theirs = same_weights(make, kinds, "cpu")
    draw = numpy.random.default_rng(4).standard_normal
    values = [draw((S, N, E)), draw((L, N, E))]
    for lib, model, given in ((wf, ours, kinds[0]), (torch, theirs, kinds[1])):
        src, tgt = (lib.tensor(value, dtype=given, device="cpu") for value in values)
        placed = {"device": "cpu"}
        mask = model.generate_square_subsequent_mask(L, dtype=given, **placed)
        assert mask.tolist() == torch.nn.Transformer.generate_square_subsequent_mask(L).tolist()
        optimizer = lib.optim.AdamW(model.parameters(), lr=0.01)
        for _ in range(20):
            optimizer.zero_grad()
            ((model(src, tgt, tgt_mask=mask) - 0.5) ** 2).mean().backward()
            optimizer.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        agree(mine, other, 1e-7)


def test_dropout_holds_in_training_only() -> None:
    wf.manual_seed(0)
    layer = wf.nn.TransformerEncoderLayer(E, H, 12, dropout=0.5, device="cpu")
    x = wf.ones(L, N, E, device="cpu")
    assert (layer(x) != layer(x)).any()
    layer.eval()
    assert (layer(x) == layer(x)).all()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: wf.nn.MultiheadAttention(8, 3), ArgumentError, "num_heads is 3, expected a divisor of embed_dim, 8"),
        (lambda x: wf.nn.MultiheadAttention(E, H)(x, x, x[:2]), ShapeError, r"value's shape is \(2, 3, 8\)"),
        (lambda x: wf.nn.MultiheadAttention(6, H)(x, x, x), ShapeError, r"query's shape is \(4, 3, 8\), expected \(L, N, 6\)"),
        (lambda x: wf.nn.MultiheadAttention(E, H)(x, x, x, attn_mask=wf.zeros(2, 2)), ShapeError, r"attn_mask's shape is \(2, 2\)"),
        (lambda x: wf.nn.MultiheadAttention(E, H)(x, x, x, wf.zeros(2, 2)), ShapeError, r"key_padding_mask's shape is \(2, 2\), expected \(3, 4\)"),
        (lambda x: wf.nn.MultiheadAttention(E, H)(x, x, x, wf.zeros(3, 4).long()), DTypeError, "key_padding_mask's dtype is int64"),
        (lambda x: wf.nn.MultiheadAttention(E, H)(x, x, x, is_causal=True), ArgumentError, "attn_mask is None"),
        (lambda x: wf.nn.TransformerEncoderLayer(E, H, activation="tanh"), ArgumentError, "activation is 'tanh'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call(wf.zeros(L, N, E))

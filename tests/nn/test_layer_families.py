"""Convolutions, norms, pools, activations, losses and attention against PyTorch: state, print, outputs, gradients."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
import torch.nn.functional as tf

import weft as wf
from tests.peer import OLDER_TORCH
from weft.devices import Device
from weft.errors import ArgumentError, DTypeError, ShapeError, UnsupportedError, WeftError

F = wf.nn.functional
Make = Callable[[Any], Any]
LAYERS: dict[str, tuple[Make, tuple[int, ...]]] = {
    "conv1d": (lambda n: n.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (2, 4, 7)),
    "conv1d, same and uneven": (lambda n: n.Conv1d(2, 3, 4, padding="same"), (2, 2, 7)),
    "conv1d, circular": (lambda n: n.Conv1d(2, 3, 3, padding=2, padding_mode="circular"), (2, 2, 7)),
    "conv2d, reflect": (lambda n: n.Conv2d(2, 3, 3, padding=(1, 2), padding_mode="reflect"), (2, 2, 5, 6)),
    "conv2d, replicate and same": (lambda n: n.Conv2d(2, 3, (3, 2), padding="same", padding_mode="replicate"), (2, 2, 5, 6)),
    "conv3d": (lambda n: n.Conv3d(2, 3, (2, 3, 2), padding=(0, 1, 1), bias=False), (1, 2, 3, 4, 3)),
    "transposed 1d": (lambda n: n.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (2, 4, 5)),
    "transposed 2d": (lambda n: n.ConvTranspose2d(3, 2, (3, 2), stride=(2, 1), dilation=(1, 2)), (2, 3, 4, 3)),
    "transposed 3d": (lambda n: n.ConvTranspose3d(2, 3, 2, stride=2, bias=False), (1, 2, 2, 3, 2)),
    "batch 1d": (lambda n: n.BatchNorm1d(3), (5, 3)),
    "batch 1d of lines": (lambda n: n.BatchNorm1d(3, momentum=0.3), (4, 3, 5)),
    "batch 2d": (lambda n: n.BatchNorm2d(3), (4, 3, 2, 2)),
    "batch 2d, all batches": (lambda n: n.BatchNorm2d(3, momentum=None), (4, 3, 2, 2)),
    "batch 2d, plain": (lambda n: n.BatchNorm2d(3, affine=False, track_running_stats=False), (4, 3, 2, 2)),
    "batch 2d without bias": (lambda n: n.BatchNorm2d(3, bias=False), (4, 3, 2, 2)),
    "group without bias": (lambda n: n.GroupNorm(2, 6, bias=False), (2, 6, 3)),
    "batch 3d": (lambda n: n.BatchNorm3d(2, eps=0.1), (3, 2, 2, 2, 2)),
    "batch 2d in evaluation": (lambda n: n.BatchNorm2d(3).eval(), (4, 3, 2, 2)),
    "instance 1d": (lambda n: n.InstanceNorm1d(3), (2, 3, 6)),
    "instance 2d": (lambda n: n.InstanceNorm2d(3, affine=True, track_running_stats=True), (2, 3, 3, 2)),
    "instance 2d without a batch": (lambda n: n.InstanceNorm2d(3), (3, 3, 2)),
    "instance 3d in evaluation": (lambda n: n.InstanceNorm3d(2, track_running_stats=True).eval(), (2, 2, 2, 2, 3)),
    "layer": (lambda n: n.LayerNorm((3, 4)), (2, 3, 4)), "layer without bias": (lambda n: n.LayerNorm(4, bias=False), (2, 3, 4)),
    "layer, plain": (lambda n: n.LayerNorm(4, elementwise_affine=False), (2, 3, 4)),
    "rms": (lambda n: n.RMSNorm(4), (2, 3, 4)), "rms, plain": (lambda n: n.RMSNorm([3, 4], eps=0.1, elementwise_affine=False), (2, 3, 4)),
    "group": (lambda n: n.GroupNorm(2, 6), (2, 6, 3)), "group, plain": (lambda n: n.GroupNorm(3, 6, affine=False), (2, 6, 3, 2)),
    "max 1d": (lambda n: n.MaxPool1d(2), (2, 3, 7)), "max 3d": (lambda n: n.MaxPool3d(2, 1, 1), (1, 2, 3, 4, 3)),
    "average 1d": (lambda n: n.AvgPool1d(3, 2, 1), (2, 3, 7)), "average 2d": (lambda n: n.AvgPool2d((3, 2), divisor_override=4), (2, 3, 7, 6)),
    "average 3d": (lambda n: n.AvgPool3d(2, count_include_pad=False, padding=1), (1, 2, 3, 4, 3)),
    **{f"adaptive average {k}d": (lambda n, k=k: getattr(n, f"AdaptiveAvgPool{k}d")(3), (1, 2, 5, 4, 7)[: k + 2]) for k in (1, 2, 3)},
    **{f"adaptive max {k}d": (lambda n, k=k: getattr(n, f"AdaptiveMaxPool{k}d")(2), (1, 2, 5, 4, 7)[: k + 2]) for k in (1, 2, 3)},
    "upsample": (lambda n: n.Upsample(scale_factor=2), (1, 2, 3)), "upsample, cubic": (lambda n: n.Upsample((5, 7), mode="bicubic"), (1, 2, 3, 4)),
    "nearest 2d": (lambda n: n.UpsamplingNearest2d(scale_factor=2), (1, 2, 3, 4)), "bilinear 2d": (lambda n: n.UpsamplingBilinear2d(size=(5, 7)), (1, 2, 3, 4)),
    **{name: (lambda n, name=name: getattr(n, name)(), (3, 4)) for name in (
        "ELU", "CELU", "SELU", "GELU", "GLU", "LeakyReLU", "Hardtanh", "Hardsigmoid", "Hardswish", "Hardshrink", "Softshrink", "ReLU6", "Softplus",
        "Softsign", "Tanhshrink", "Mish", "LogSigmoid", "PReLU")},
    "ELU with options": (lambda n: n.Sequential(n.Identity(), n.Linear(4, 4), n.ELU(0.5, inplace=True)), (3, 4)), "GELU, tanh": (lambda n: n.GELU("tanh"), (3, 4)),
    "Threshold": (lambda n: n.Threshold(0.1, 2.0), (3, 4)), "PReLU of channels": (lambda n: n.PReLU(3), (2, 3, 4)),
    "unfold": (lambda n: n.Unfold((2, 3), 2, 1, 2), (2, 3, 5, 6)), "fold": (lambda n: n.Fold((4, 5), (3, 2), padding=(1, 0), stride=(2, 1)), (12, 8)),
    "pixel shuffle": (lambda n: n.PixelShuffle(2), (2, 8, 3, 2)), "pixel unshuffle": (lambda n: n.PixelUnshuffle(2), (2, 3, 4, 6)),
    "channel shuffle": (lambda n: n.ChannelShuffle(2), (2, 4, 3)), "unflatten": (lambda n: n.Unflatten(1, (2, -1)), (2, 6, 3)),
    "local response": (lambda n: n.LocalResponseNorm(3, 0.5, 0.6, 2.0), (2, 5, 3, 2)),
    **{f"{kind} pad {rank}d": (lambda n, kind=kind, rank=rank: getattr(n, f"{kind}Pad{rank}d")(1), (1, 2, 3, 4, 5)[: rank + 2])
       for kind in ("Zero", "Reflection", "Replication", "Circular") for rank in (1, 2, 3)},
    "reflection, uneven": (lambda n: n.ReflectionPad2d((1, 2, 0, 1)), (2, 3, 4)), "zeros, cut": (lambda n: n.ZeroPad2d([1, -1, 0, 2]), (2, 2, 3, 4)),
    **{f"constant pad {rank}d": (lambda n, rank=rank: getattr(n, f"ConstantPad{rank}d")((1, 2, 0, 1, 2, 1)[: 2 * rank], 0.5), (1, 2, 3, 4, 5)[: rank + 2]) for rank in (1, 2, 3)},
    **{f"power pool {rank}d": (lambda n, rank=rank: getattr(n, f"LPPool{rank}d")(2, 2, 1), (1, 2, 3, 4, 3)[: rank + 2]) for rank in (1, 2, 3)},
    "sync batch in evaluation": (lambda n: n.SyncBatchNorm(3).eval(), (4, 3, 2, 2)),
    "RReLU": (lambda n: n.RReLU(0.1, 0.5).eval(), (3, 4)),
    **{f"{kind} in evaluation": (lambda n, kind=kind: getattr(n, kind)(0.4).eval(), (2, 3, 4)) for kind in ("Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")},
    "Softmin": (lambda n: n.Softmin(1), (3, 4)), "Softmax2d": (lambda n: n.Softmax2d(), (2, 3, 2, 2)),
}  # fmt: skip


LATER = ("batch 2d without bias", "group without bias")
"""Options that PyTorch has only since the version that the tests name."""


def tolerance_of(device: Device) -> float:
    return 2e-5 if device.name == "cpu" else 2e-4


def agree(ours: Any, theirs: torch.Tensor, tolerance: float) -> None:
    numpy.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=tolerance, atol=tolerance
    )


@pytest.mark.parametrize("name", LAYERS)
def test_layers_agree_with_pytorch(name: str, device: Device) -> None:
    make, shape = LAYERS[name]
    if name in LATER and OLDER_TORCH:
        pytest.skip(OLDER_TORCH)
    torch.manual_seed(0)
    theirs, ours = make(torch.nn), make(wf.nn).to(device.name)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [tuple(v.shape) for v in ours.state_dict().values()] == [
        tuple(v.shape) for v in theirs.state_dict().values()
    ]
    ours.load_state_dict(theirs.state_dict())
    values = numpy.random.default_rng(1).standard_normal(shape).astype("float32")
    for _ in range(2):  # a second batch moves running statistics again
        x = wf.tensor(values, device=device.name, requires_grad=True)
        t = torch.tensor(values, requires_grad=True)
        with warnings.catch_warnings():  # PyTorch's advice about uneven padding
            warnings.simplefilter("ignore")
            y, expected = ours(x), theirs(t)
        agree(y, expected, tolerance_of(device))
        weights = numpy.random.default_rng(2).standard_normal(tuple(expected.shape)).astype("float32")
        (y * wf.tensor(weights, device=device.name)).sum().backward()
        (expected * torch.tensor(weights)).sum().backward()
        agree(x.grad, t.grad, 5 * tolerance_of(device))
    for (key, own), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert own.grad is not None, key
        agree(own.grad, other.grad, 10 * tolerance_of(device))
    for own, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        agree(own, other, tolerance_of(device))


@pytest.mark.cpu
@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ("nearest 2d", "bilinear 2d", "Softmin")])
def test_layers_print_as_pytorch_prints_them(name: str) -> None:
    make, _ = LAYERS[name]
    assert repr(make(wf.nn)) == repr(make(torch.nn))


SIGNS = numpy.array([1.0, -1.0, 1.0], "float32")
ROWS = numpy.random.default_rng(3).standard_normal((4, 3, 5)).astype("float32")
CHANCES = numpy.random.default_rng(4).uniform(0.1, 0.9, (2, 3, 5)).astype("float32")
LOSSES: dict[str, tuple[Callable[[Any, Any], Any], tuple[Any, ...]]] = {
    "cross entropy, weighted": (lambda n, t: n.CrossEntropyLoss(t(CHANCES[0, 0])), (ROWS[0], numpy.array([0, 4, 2]))),
    "nll, weighted": (lambda n, t: n.NLLLoss(t(CHANCES[0, 0]), ignore_index=4), (ROWS[0], numpy.array([0, 4, 2]))),
    "bce": (lambda n, t: n.BCELoss(t(CHANCES[1, 0])), (CHANCES[0], CHANCES[1])),
    "bce with logits": (lambda n, t: n.BCEWithLogitsLoss(t(CHANCES[1, 0]), pos_weight=t(CHANCES[1, 1] * 3)), (ROWS[0] * 9, CHANCES[1])),
    "l1": (lambda n, t: n.L1Loss(), (ROWS[0], ROWS[1])), "smooth l1": (lambda n, t: n.SmoothL1Loss(beta=0.5), (ROWS[0], ROWS[1])),
    "huber": (lambda n, t: n.HuberLoss(delta=0.5), (ROWS[0], ROWS[1])), "soft margin": (lambda n, t: n.SoftMarginLoss(), (ROWS[0, :, 0], SIGNS)),
    "kl": (lambda n, t: n.KLDivLoss(reduction="batchmean"), (ROWS[0], CHANCES[0])), "kl of logs": (lambda n, t: n.KLDivLoss(reduction="sum", log_target=True), (ROWS[0], ROWS[1])),
    "ranking": (lambda n, t: n.MarginRankingLoss(0.2), (ROWS[0, :, 0], ROWS[1, :, 0], SIGNS)), "hinge": (lambda n, t: n.HingeEmbeddingLoss(0.5), (ROWS[0, :, 0], SIGNS)),
    "cosine": (lambda n, t: n.CosineEmbeddingLoss(0.1), (ROWS[0], ROWS[1], SIGNS)), "triplet": (lambda n, t: n.TripletMarginLoss(0.5, p=1.0, swap=True), (ROWS[0], ROWS[1], ROWS[2])),
    "gaussian": (lambda n, t: n.GaussianNLLLoss(full=True), (ROWS[0], ROWS[1], CHANCES[0])), "poisson": (lambda n, t: n.PoissonNLLLoss(full=True), (ROWS[0], CHANCES[0] * 5)),
    "cosine similarity": (lambda n, t: n.CosineSimilarity(), (ROWS[0], ROWS[1])), "distance": (lambda n, t: n.PairwiseDistance(keepdim=True), (ROWS[0], ROWS[1])),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_losses_agree_with_pytorch(name: str, device: Device) -> None:
    make, arguments = LOSSES[name]
    ours = make(wf.nn, lambda value: wf.tensor(value, device=device.name))
    theirs = make(torch.nn, torch.tensor)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = [wf.tensor(value, device=device.name, requires_grad=at == 0) for at, value in enumerate(arguments)]
    t = [torch.tensor(value, requires_grad=at == 0) for at, value in enumerate(arguments)]
    loss, expected = ours(*x), theirs(*t)
    agree(loss, expected, tolerance_of(device))
    loss.sum().backward()
    expected.sum().backward()
    agree(x[0].grad, t[0].grad, tolerance_of(device))


def test_bilinear_agrees_with_pytorch(device: Device) -> None:
    theirs, ours = torch.nn.Bilinear(3, 2, 4), wf.nn.Bilinear(3, 2, 4).to(device.name)
    ours.load_state_dict(theirs.state_dict())
    a, b = ROWS[0, :, :3], ROWS[1, :, :2]
    y = ours(wf.tensor(a, device=device.name), wf.tensor(b, device=device.name))
    expected = theirs(torch.tensor(a), torch.tensor(b))
    agree(y, expected, tolerance_of(device))
    y.sum().backward()
    expected.sum().backward()
    agree(ours.weight.grad, theirs.weight.grad, tolerance_of(device))


def test_a_transpose_takes_an_output_size(device: Device) -> None:
    layer = wf.nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1).to(device.name)
    x = wf.ones(1, 1, 3, 4, device=device.name)
    assert tuple(layer(x, output_size=(6, 7)).shape) == (1, 1, 6, 7)
    with pytest.raises(ShapeError, match=r"output_size is \(7, 7\), expected from \(5, 7\) to \(6, 8\)"):
        layer(x, output_size=(7, 7))


@pytest.mark.parametrize(
    "options", [{}, {"mode": "sum", "padding_idx": 1}, {"mode": "max", "include_last_offset": True}]
)
def test_bags_of_embeddings_agree_with_pytorch(options: dict[str, Any], device: Device) -> None:
    theirs, ours = torch.nn.EmbeddingBag(5, 3, **options), wf.nn.EmbeddingBag(5, 3, **options).to(device.name)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert repr(ours) == repr(theirs)
    ours.load_state_dict(theirs.state_dict())
    indices, offsets = numpy.array([1, 4, 2, 2, 0, 1]), numpy.array([0, 2, 2, 6])
    if not options.get("include_last_offset"):
        offsets = offsets[:3]
    y = ours(wf.tensor(indices, device=device.name), wf.tensor(offsets, device=device.name))
    expected = theirs(torch.tensor(indices), torch.tensor(offsets))
    agree(y, expected, tolerance_of(device))
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    agree(ours.weight.grad, theirs.weight.grad, tolerance_of(device))


def test_batch_norm_of_one_process_has_nothing_to_synchronise(device: Device) -> None:
    values = numpy.random.default_rng(0).standard_normal((4, 3, 2, 2)).astype("float32")
    alone, sync = wf.nn.BatchNorm2d(3, device=device.name), wf.nn.SyncBatchNorm(3, device=device.name)
    x = wf.tensor(values, device=device.name)
    numpy.testing.assert_array_equal(alone(x).detach().numpy(), sync(x).detach().numpy())
    numpy.testing.assert_array_equal(alone.running_var.numpy(), sync.running_var.numpy())
    with pytest.raises(UnsupportedError, match="SyncBatchNorm: process_group is given, expected None"):
        wf.nn.SyncBatchNorm(3, process_group=1)


# Layers that draw.


@pytest.mark.parametrize(
    ("name", "shape", "own"),
    [("Dropout1d", (40, 30, 4), (40, 30)), ("Dropout1d", (900, 3), (900,)), ("Dropout2d", (40, 30, 2, 2), (40, 30)),
     ("Dropout3d", (900, 2, 1, 2), (900,)), ("Dropout3d", (40, 30, 2, 1, 2), (40, 30))],
)  # fmt: skip
def test_channels_are_dropped_as_a_whole(
    name: str, shape: tuple[int, ...], own: tuple[int, ...], device: Device
) -> None:
    wf.manual_seed(0)
    x = wf.ones(shape, device=device.name, requires_grad=True)
    y = getattr(wf.nn, name)(0.25)(x)
    y.sum().backward()
    values = y.detach().numpy().reshape(*own, -1)
    numpy.testing.assert_array_equal(values, numpy.broadcast_to(values[..., :1], values.shape))
    assert set(numpy.unique(values.round(4))) == {numpy.float32(0), numpy.float32(1.3333)}
    assert abs((values == 0).mean() - 0.25) < 0.06
    numpy.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


@pytest.mark.parametrize("name", ["AlphaDropout", "FeatureAlphaDropout"])
def test_alpha_dropout_keeps_mean_and_variance(name: str, device: Device) -> None:
    """With the values that PyTorch writes in place of what is dropped, and its scale of what is kept."""
    wf.manual_seed(0)
    torch.manual_seed(0)
    x = numpy.ones((60, 50, 2), "float32")
    y = getattr(wf.nn, name)(0.3)(wf.tensor(x, device=device.name)).numpy()
    expected = getattr(torch.nn, name)(0.3)(torch.tensor(x)).numpy()
    numpy.testing.assert_allclose(numpy.unique(y), numpy.unique(expected), rtol=1e-5)
    assert abs((y < 0).mean() - 0.3) < 0.04
    if name == "FeatureAlphaDropout":
        numpy.testing.assert_array_equal(y[..., 0], y[..., 1])


def test_random_slopes_are_uniform(device: Device) -> None:
    wf.manual_seed(0)
    x = wf.tensor(numpy.linspace(-2, 1, 3000, dtype="float32") - 1e-4, device=device.name, requires_grad=True)
    y = wf.nn.RReLU(0.2, 0.4)(x)
    y.sum().backward()
    slopes = (y.detach() / x.detach()).numpy()
    numpy.testing.assert_allclose(x.grad.numpy(), slopes, rtol=1e-5)
    below = slopes[x.detach().numpy() < 0]
    assert (slopes[x.detach().numpy() >= 0] == 1).all()
    assert 0.2 <= below.min() < 0.21 < 0.39 < below.max() <= 0.4
    assert abs(below.mean() - 0.3) < 0.01


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_draws_by_the_logits(hard: bool, device: Device) -> None:
    wf.manual_seed(0)
    logits = wf.tensor([0.1, 0.6, 0.3], device=device.name).log().expand(4000, 3).clone().requires_grad_()
    y = F.gumbel_softmax(logits, tau=0.7, hard=hard)
    numpy.testing.assert_allclose(y.sum(1).detach().numpy(), 1, rtol=1e-5)
    counts = numpy.bincount(y.argmax(1).numpy(), minlength=3) / 4000
    numpy.testing.assert_allclose(counts, [0.1, 0.6, 0.3], atol=0.03)
    if hard:
        assert set(numpy.unique(y.detach().numpy().round(5))) == {0, 1}
    (y * wf.tensor([1.0, 2.0, 3.0], device=device.name)).sum().backward()
    assert (logits.grad.abs().sum(1) > 0).all()


# Attention.

MASK = numpy.random.default_rng(5).integers(0, 2, (4, 6)).astype(bool)
MASK[1] = False  # a query that sees nothing
ATTENTION: dict[str, tuple[tuple[tuple[int, ...], ...], dict[str, Any]]] = {
    "plain": (((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 2)), {}), "causal": (((2, 4, 5), (2, 6, 5), (2, 6, 5)), {"is_causal": True}),
    "bool mask": (((2, 4, 5), (2, 6, 5), (2, 6, 3)), {"attn_mask": MASK}), "scaled": (((4, 5), (6, 5), (6, 5)), {"scale": 0.3}),
    "added mask": (((2, 4, 5), (2, 6, 5), (2, 6, 3)), {"attn_mask": numpy.where(MASK, 0.5, -numpy.inf).astype("float32")}),
    "grouped": (((2, 4, 3, 5), (2, 2, 6, 5), (2, 2, 6, 5)), {"enable_gqa": True}), "grouped and masked": (((2, 4, 4, 5), (2, 2, 6, 5), (2, 1, 6, 5)), {"enable_gqa": True, "attn_mask": MASK}),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_agrees_with_pytorch(name: str, device: Device) -> None:
    shapes, options = ATTENTION[name]
    values = [
        numpy.random.default_rng(at).standard_normal(shape).astype("float32")
        for at, shape in enumerate(shapes)
    ]
    x = [wf.tensor(value, device=device.name, requires_grad=True) for value in values]
    t = [torch.tensor(value, requires_grad=True) for value in values]
    made = {
        k: wf.tensor(v, device=device.name) if isinstance(v, numpy.ndarray) else v for k, v in options.items()
    }
    their = {k: torch.tensor(v) if isinstance(v, numpy.ndarray) else v for k, v in options.items()}
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        expected = tf.scaled_dot_product_attention(*t, **their)
    y = F.scaled_dot_product_attention(*x, **made)
    agree(y, expected, tolerance_of(device))
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    for own, other in zip(x, t, strict=True):
        agree(own.grad, other.grad, tolerance_of(device))


def test_attention_drops_weights(device: Device) -> None:
    wf.manual_seed(0)
    q, k = wf.zeros(1, 50, 2, device=device.name), wf.zeros(1, 40, 2, device=device.name)
    kept = (
        F.scaled_dot_product_attention(q, k, wf.eye(40, device=device.name)[None], dropout_p=0.25).numpy()
        * 40
    )
    assert set(numpy.unique(kept.round(4))) == {numpy.float32(0), numpy.float32(1.3333)}
    assert abs((kept == 0).mean() - 0.25) < 0.04


@pytest.mark.cpu
@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"attn_mask": wf.tensor([[True, False], [False, False]], device="cpu")}],
)
def test_attention_has_second_gradients(options: dict[str, Any]) -> None:
    draw = numpy.random.default_rng(0)
    x = [
        wf.tensor(draw.standard_normal((1, 2, 2)), dtype=wf.float64, device="cpu", requires_grad=True)
        for _ in range(3)
    ]
    assert wf.autograd.gradcheck(lambda *a: F.scaled_dot_product_attention(*a, **options), x)
    assert wf.autograd.gradgradcheck(lambda *a: F.scaled_dot_product_attention(*a, **options), x)


@pytest.mark.cpu
def test_norms_have_third_gradients() -> None:
    draw = numpy.random.default_rng(0)
    x, w = (
        wf.tensor(draw.standard_normal(s), dtype=wf.float64, device="cpu", requires_grad=True)
        for s in ((2, 3), (3,))
    )

    def second(x: Any, w: Any) -> Any:
        (first,) = wf.autograd.grad(F.layer_norm(x, (3,), w).sin().sum(), x, create_graph=True)
        return wf.autograd.grad(first.sin().sum(), x, create_graph=True)[0]

    assert wf.autograd.gradcheck(second, (x, w))


@pytest.mark.parametrize("options", [(2, 1, 1, 2), (3, 2, 1, 1), (2, 2, 0, 1, True)])
def test_windows_of_nothing_but_infinities_keep_their_places(
    options: tuple[Any, ...], device: Device
) -> None:
    values = numpy.array([[[5.0, -numpy.inf, -numpy.inf, -numpy.inf, numpy.nan]]], "float32")
    values_, places = F.max_pool1d(wf.tensor(values, device=device.name), *options, return_indices=True)
    expected, their = tf.max_pool1d(torch.tensor(values), *options, return_indices=True)
    numpy.testing.assert_array_equal(values_.numpy(), expected.numpy())
    numpy.testing.assert_array_equal(places.numpy(), their.numpy())


# Mistakes.

X = wf.ones(2, 3, 4, 4, device="cpu")
MISTAKES: dict[str, tuple[Callable[[], Any], type[WeftError], str]] = {
    "conv1d rank": (lambda: F.conv1d(X, X[0, :, :, :1].reshape(3, 2, 2)), ShapeError, "conv1d: input is 4-dimensional"),
    "conv3d groups": (lambda: F.conv3d(X[None], wf.ones(3, 1, 2, 2, 2, device="cpu"), groups=2), ShapeError, "conv3d: groups is 2, expected a divisor of the 3"),
    "transpose channels": (lambda: F.conv_transpose2d(X, wf.ones(2, 1, 2, 2, device="cpu")), ShapeError, "conv_transpose2d: input's channels is 3, expected 2"),
    "output padding": (lambda: F.conv_transpose2d(X, wf.ones(3, 1, 2, 2, device="cpu"), output_padding=1), ShapeError, r"output_padding is \(1, 1\), expected less than stride"),
    "pool kernel": (lambda: F.avg_pool2d(X, 9), ShapeError, r"avg_pool2d: kernel_size is \(9, 9\), expected at most the padded input"),
    "pool divisor": (lambda: F.avg_pool2d(X, 2, divisor_override=0), ArgumentError, "divisor_override is 0, expected not 0"),
    "pool integers": (lambda: F.avg_pool2d(X.to(wf.int32), 2), DTypeError, "avg_pool2d: input's dtype is int32, expected a floating"),
    "bins": (lambda: F.adaptive_avg_pool2d(X, (1, 2, 3)), ShapeError, "output_size is .*expected an int or two ints"),
    "mode": (lambda: F.interpolate(X, 2, mode="cubic"), ArgumentError, "mode is 'cubic', expected one of 'nearest'"),
    "mode and rank": (lambda: F.interpolate(X, 2, mode="linear"), ShapeError, "mode is 'linear', expected a mode for 4-dimensional"),
    "size and factor": (lambda: F.interpolate(X, 2, 2.0), ArgumentError, "size and scale_factor"),
    "antialias": (lambda: F.interpolate(X, 2, mode="bilinear", antialias=True), UnsupportedError, "antialias is True"),
    "layer shape": (lambda: F.layer_norm(X, (3,)), ShapeError, r"layer_norm: input's shape is \(2, 3, 4, 4\), expected \(\*, 3\)"),
    "layer weight": (lambda: F.layer_norm(X, (4,), X[0, 0]), ShapeError, "layer_norm: weight's shape"),
    "groups": (lambda: F.group_norm(X, 2), ShapeError, "num_groups is 2, expected a divisor of the 3 channels"),
    "batch of one": (lambda: F.batch_norm(X[:1, :, 0, 0], None, None, training=True), ArgumentError, "more than 1 value per channel"),
    "batch statistics": (lambda: F.batch_norm(X, None, None), ArgumentError, "running_mean or running_var is None"),
    "batch weight": (lambda: F.batch_norm(X, None, None, X[0, 0, 0], training=True), ShapeError, r"weight's shape is \(4,\), expected \(3,\)"),
    "batch rank": (lambda: wf.nn.BatchNorm1d(3)(X), ShapeError, "BatchNorm1d: input is 4-dimensional, expected 2-dimensional or 3"),
    "attention sizes": (lambda: F.scaled_dot_product_attention(X, X[..., :2], X), ShapeError, "key's size is 2, expected 4"),
    "attention mask": (lambda: F.scaled_dot_product_attention(X, X, X, X.to(wf.int32)), DTypeError, "attn_mask's dtype is int32"),
    "attention masks": (lambda: F.scaled_dot_product_attention(X, X, X, X > 0, is_causal=True), ArgumentError, "is_causal is True"),
    "class weights": (lambda: F.cross_entropy(X[0, 0], wf.tensor([0, 1, 2, 3], device="cpu"), X[0, :, 0, 0]), ShapeError, r"cross_entropy: weight's shape is \(3,\), expected \(4,\)"),
    "loss shapes": (lambda: F.huber_loss(X, X[0]), ShapeError, "huber_loss: target's shape"),
    "padding index": (lambda: F.embedding(wf.tensor([0], device="cpu"), X[0, 0], padding_idx=4), ArgumentError, "padding_idx is 4, expected within the 4 rows"),
    "max norm": (lambda: F.embedding(wf.tensor([0], device="cpu"), X[0, 0], max_norm=1.0), UnsupportedError, "max_norm is 1.0, expected None"),
    "einsum operands": (lambda: wf.einsum("ij,jk", X[0, 0]), ArgumentError, "subscripts for the 1 operands"),
    "einsum rank": (lambda: wf.einsum("ij->i", X), ShapeError, "operand of subscripts 'ij' is 4-dimensional, expected 2"),
    "einsum sizes": (lambda: wf.einsum("ij,jk", X[0, 0], X[0, :, 0]), ShapeError, "sizes of subscript 'j' is 4 and 3"),
    "einsum output": (lambda: wf.einsum("ij->k", X[0, 0]), ArgumentError, "equation is 'ij->k'"),
    "bmm": (lambda: wf.bmm(X[0], X[1][:2]), ShapeError, r"bmm: mat2's shape is \(2, 4, 4\), expected \(3, 4, m\)"),
    "bool matmul": (lambda: (X[0, 0] > 0) @ (X[0, 0] > 0), DTypeError, "matmul: input's dtype is bool, expected a number type"),
    "dot": (lambda: wf.dot(X[0, 0, 0], X[0, :, 0, 0]), ShapeError, "dot: tensor's shape"),
    "addmm": (lambda: wf.addmm(X[0, 0, :2], X[0, 0], X[0, 0]), ShapeError, "addmm: shapes|addmm: input's shape"),
}  # fmt: skip


@pytest.mark.cpu
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str) -> None:
    call, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words):
        call()


@pytest.mark.cpu
def test_a_convolution_keeps_an_infinity_within_its_tile() -> None:
    """As ``conv2d`` documents: the results that read it, and at most those of their tiles of 4x4."""
    rng = numpy.random.default_rng(0)
    picture, weight = (rng.standard_normal(shape).astype("f") for shape in ((1, 64, 24, 24), (64, 64, 3, 3)))
    picture[0, 3, 10, 10] = numpy.inf
    mine = F.conv2d(wf.tensor(picture, device="cpu"), wf.tensor(weight, device="cpu"), padding=1).numpy()
    theirs = tf.conv2d(torch.tensor(picture), torch.tensor(weight), padding=1).numpy()
    reached, least = (
        numpy.argwhere(~numpy.isfinite(mine[0, 0])),
        numpy.argwhere(~numpy.isfinite(theirs[0, 0])),
    )
    assert set(map(tuple, least)) <= set(map(tuple, reached))
    assert reached.min() // 4 == least.min() // 4 and reached.max() // 4 == least.max() // 4
    near = numpy.isfinite(mine)
    numpy.testing.assert_allclose(mine[near], theirs[near], rtol=1e-3, atol=1e-3)

"""``wf.autocast``: which type each operation runs in, compared with PyTorch's, and what a region does to the rest."""

from __future__ import annotations

import numpy
import pytest
import torch

import weft as wf
from weft import nn
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError

F = nn.functional
TF = torch.nn.functional
LOWER = ("float16", "bfloat16")


def kind(device) -> str:
    return device.name.partition(":")[0]


def pair(device, *shape: int, dtype: str = "float32", seed: int = 0):
    """The same numbers for weft and for PyTorch."""
    values = numpy.random.default_rng(seed).uniform(0.25, 0.75, shape).astype("float32")
    ours = wf.tensor(values, device=device.name).to(getattr(wf, dtype))
    return ours, torch.tensor(values).to(getattr(torch, dtype))


LIKE_TORCH = {
    "matmul": lambda L, F, a, h, v, w: a @ h,
    "mm": lambda L, F, a, h, v, w: L.mm(a, h),
    "bmm": lambda L, F, a, h, v, w: L.bmm(a[None], h[None]),
    "addmm": lambda L, F, a, h, v, w: L.addmm(a, h, a),
    "baddbmm": lambda L, F, a, h, v, w: L.baddbmm(a[None], h[None], a[None]),
    "linear": lambda L, F, a, h, v, w: F.linear(a, h, v),
    "conv1d": lambda L, F, a, h, v, w: F.conv1d(a[None], h[:, :, None], v),
    "conv2d": lambda L, F, a, h, v, w: F.conv2d(a[None, :, :, None], h[:, :, None, None], v),
    "conv_transpose1d": lambda L, F, a, h, v, w: F.conv_transpose1d(a[None], h[:, :, None], v),
    "attention": lambda L, F, a, h, v, w: F.scaled_dot_product_attention(
        a[None, None], a[None, None], a[None, None]
    ),
    "einsum": lambda L, F, a, h, v, w: L.einsum("ij,jk->ik", a, h),
}
"""Where PyTorch's lists are the same for its CPU backend, which the tests have: the function runs there too."""


@pytest.mark.parametrize("dtype", LOWER)
@pytest.mark.parametrize("name", LIKE_TORCH)
def test_products_run_in_the_lower_type_as_in_pytorch(device, name: str, dtype: str) -> None:
    fn = LIKE_TORCH[name]
    (a, ta), (h, th) = pair(device, 4, 4), pair(device, 4, 4, seed=1)
    (v, tv), (w, tw) = pair(device, 4, seed=2), pair(device, 4, seed=3)
    with wf.autocast(kind(device), getattr(wf, dtype)):
        found = fn(wf, F, a, h, v, w)
    with torch.autocast("cpu", getattr(torch, dtype)):
        expected = fn(torch, TF, ta, th, tv, tw)
    assert found.dtype.name == str(expected.dtype).removeprefix("torch.") == dtype
    bound = 2e-3 if dtype == "float16" else 2e-2
    numpy.testing.assert_allclose(found.float().numpy(), expected.float().numpy(), rtol=bound, atol=bound)


FLOAT32 = {
    **{name: lambda x, name=name: getattr(wf, name)(x) for name in (
        "exp", "expm1", "log", "log2", "log10", "log1p", "reciprocal", "rsqrt", "acos", "asin", "cosh", "sinh", "tan",
        "sum", "prod", "square",
    )},
    "pow": lambda x: x**1.5,
    "softplus": F.softplus,
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "softmin": lambda x: (-x).softmax(1),
    "cumsum": lambda x: x.cumsum(1),
    "cumprod": lambda x: x.cumprod(1),
    "logsumexp": lambda x: x.logsumexp(1),
    "norm": lambda x: wf.norm(x),
    "vector_norm": lambda x: wf.linalg.vector_norm(x, 3),
    "normalize": F.normalize,
    "cosine_similarity": lambda x: F.cosine_similarity(x, x),
    "pairwise_distance": lambda x: F.pairwise_distance(x, x),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "group_norm": lambda x: F.group_norm(x, 2),
    "rms_norm": lambda x: F.rms_norm(x, (4,)),
    "cross_entropy": lambda x: F.cross_entropy(x, wf.tensor([0, 1, 2, 3], device=str(x.device))),
    "nll_loss": lambda x: F.nll_loss(x, wf.tensor([0, 1, 2, 3], device=str(x.device))),
    **{name: lambda x, name=name: getattr(F, name)(x, x) for name in (
        "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "soft_margin_loss", "poisson_nll_loss",
        "binary_cross_entropy_with_logits", "hinge_embedding_loss",
    )},
    "triplet_margin_loss": lambda x: F.triplet_margin_loss(x, x, x),
    "margin_ranking_loss": lambda x: F.margin_ranking_loss(x, x, x),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOAT32)
def test_sums_exponentials_norms_and_losses_run_in_float32(device, name: str) -> None:
    fn = FLOAT32[name]
    x, _ = pair(device, 4, 4, dtype="float16")
    with wf.autocast(kind(device), wf.float16):
        found = fn(x)
    assert found.dtype is wf.float32
    numpy.testing.assert_allclose(found.numpy(), fn(x.float()).numpy(), rtol=1e-6, atol=1e-6)


WIDEST = {
    "dot": lambda a, h: wf.dot(a[0], h[0]),
    "tensordot": lambda a, h: wf.tensordot(a, h, 1),
    "bilinear": lambda a, h: F.bilinear(a, h, h[None], None),
    "addcmul": lambda a, h: wf.addcmul(h, a, h),
    "addcdiv": lambda a, h: wf.addcdiv(h, a, h),
    "atan2": lambda a, h: wf.atan2(h, a),
    "cat": lambda a, h: wf.cat([h, a]),
    "stack": lambda a, h: wf.stack([h, a]),
    "scatter_add": lambda a, h: a.scatter_add(0, wf.zeros(4, 4, dtype=wf.int64, device=str(a.device)), h),
    "index_put": lambda a, h: a.index_put((wf.tensor([0], device=str(a.device)),), h[:1]),
}


@pytest.mark.parametrize("name", WIDEST)
def test_what_takes_one_type_takes_the_widest(device, name: str) -> None:
    (a, _), (h, _) = pair(device, 4, 4), pair(device, 4, 4, dtype="float16", seed=1)
    with wf.autocast(kind(device), wf.float16):
        found = WIDEST[name](a, h)
        same = WIDEST[name](h, h)
    assert found.dtype is wf.float32
    numpy.testing.assert_allclose(found.numpy(), WIDEST[name](a, h.float()).numpy(), rtol=1e-5, atol=1e-6)
    assert same.dtype is wf.float16


def test_other_operations_stay_in_the_type_of_their_operands(device) -> None:
    h, _ = pair(device, 4, 4, dtype="float16")
    a, _ = pair(device, 4, 4)
    with wf.autocast(kind(device), wf.float16):
        assert [result.dtype for result in (h.relu(), h + h, h.mean(), h.max(), F.gelu(h))] == [
            wf.float16
        ] * 5
        assert (a.relu().dtype, (a + h).dtype) == (wf.float32, wf.float32)
        target = wf.zeros(4, 4, device=device.name)
        assert wf.matmul(a, a, out=target) is target and target.dtype is wf.float32
        x = a.clone()
        assert x.exp_() is x and x.dtype is wf.float32
        integers = wf.ones(3, 3, dtype=wf.int32, device=device.name)
        assert (integers @ integers).dtype is wf.int32
    if kind(device) == "cpu":
        wide = wf.ones(2, 2, dtype=wf.float64, device="cpu")
        with wf.autocast("cpu"):
            assert (wide @ wide).dtype is wf.float64


LAYERS = {
    "LSTM": (lambda: nn.LSTM(4, 4), (3, 2, 4), "float16"),
    "GRU": (lambda: nn.GRU(4, 4, bidirectional=True), (3, 2, 4), "float16"),
    "LSTMCell": (lambda: nn.LSTMCell(4, 4), (2, 4), "float16"),
    "Conv2d": (lambda: nn.Conv2d(3, 4, 3), (1, 3, 5, 5), "float16"),
    "BatchNorm": (lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), (3, 4), "float16"),
    "LayerNorm": (lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), (3, 4), "float32"),
    "Transformer": (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (2, 3, 4), "float32"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_train_their_float32_parameters(device, name: str) -> None:
    make, shape, expected = LAYERS[name]
    layer = make().to(device.name)
    x, _ = pair(device, *shape)
    with wf.autocast(kind(device), wf.float16):
        result = layer(x)
    result = result if isinstance(result, wf.Tensor) else result[0]
    assert result.dtype.name == expected
    (result.float() * x.mean()).square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.dtype is wf.float32 and parameter.grad.dtype is wf.float32


# Regions.


def test_regions_nest_and_end(device) -> None:
    a, _ = pair(device, 2, 2)
    name = kind(device)
    assert not wf.is_autocast_enabled() and wf.get_autocast_dtype("webgpu") is wf.float16
    with wf.autocast(name, wf.bfloat16) as region:
        assert wf.is_autocast_enabled(name) and wf.get_autocast_dtype(name) is wf.bfloat16
        with wf.autocast(name, enabled=False):
            assert (a @ a).dtype is wf.float32 and not wf.is_autocast_enabled()
        with wf.autocast(name, wf.float16), region:
            assert (a @ a).dtype is wf.bfloat16
        with pytest.raises(ZeroDivisionError), wf.autocast(name, wf.float16):
            raise ZeroDivisionError
        assert (a @ a).dtype is wf.bfloat16
        other = "webgpu" if name == "cpu" else "cpu"
        with wf.autocast(other, wf.float16):
            assert (a @ a).dtype is wf.bfloat16 and wf.is_autocast_enabled(other)
    assert (a @ a).dtype is wf.float32 and not wf.is_autocast_enabled()

    @wf.autocast(name, dtype=wf.float16)
    def product(x):
        return x @ x

    assert product(a).dtype is wf.float16 and (a @ a).dtype is wf.float32


def test_another_device_is_left_alone(device) -> None:
    a, _ = pair(device, 2, 2)
    with wf.autocast("webgpu" if kind(device) == "cpu" else "cpu", wf.float16):
        assert (a @ a).dtype is wf.float32 and F.linear(a, a).dtype is wf.float32


class Counting:
    """Counts the casts that reach the interpreters below."""

    executes = True

    def __init__(self) -> None:
        self.casts = 0

    def process(self, op, operands, attributes, into, below):
        self.casts += op.name == "cast"
        return below[-1].process(op, operands, attributes, into, below[:-1])


def test_a_parameter_is_converted_once_a_region_and_again_when_it_changed(device) -> None:
    w, _ = pair(device, 3, 3)
    w.requires_grad_()
    x, _ = pair(device, 3, 3, dtype="float16")
    counting = Counting()
    with wf.ops.interpreting(*wf.ops.interpreter_stack(), counting), wf.autocast(kind(device), wf.float16):
        first = x @ w
        second = x @ w
        assert counting.casts == 1
        with wf.autocast(kind(device), wf.float16):
            first = first + x @ w
        assert counting.casts == 1
        with wf.no_grad():
            assert not (x @ w).requires_grad
            w.mul_(2)
        third = x @ w
        assert counting.casts == 3
        with wf.autocast(kind(device), wf.float16, cache_enabled=False):
            third = third + 0 * (x @ w)
        assert counting.casts == 4
    numpy.testing.assert_allclose(third.detach().numpy(), 2 * second.detach().numpy(), rtol=2e-3)
    (first + second).sum().backward()
    assert w.grad.dtype is wf.float32


def test_going_backward_in_a_region_runs_in_the_types_of_the_forward_pass(device) -> None:
    x, _ = pair(device, 3, 3)
    x.requires_grad_()
    grads = []
    for inside in (False, True):
        x.grad = None
        with wf.autocast(kind(device), wf.float16):
            loss = ((x @ x).relu() * (x @ x)).exp().sum()
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        grads.append(x.grad.numpy())
    numpy.testing.assert_array_equal(*grads)


def test_checkpoints_compute_again_in_the_same_types(device) -> None:
    x, _ = pair(device, 3, 3)
    x.requires_grad_()

    def run(y):
        return ((y @ y).relu() @ y).softmax(1)

    grads = []
    for fn in (run, lambda y: wf.utils.checkpoint.checkpoint(run, y)):
        x.grad = None
        with wf.autocast(kind(device), wf.float16):
            result = fn(x)
        (result * x.detach()).sum().backward()
        grads.append(x.grad.numpy())
    numpy.testing.assert_array_equal(*grads)


# Compiled.


@pytest.mark.parametrize("how", ["jit", "compile"])
def test_compiled_functions_follow_the_region_around_them(device, how: str) -> None:
    w, _ = pair(device, 4, 4, seed=1)
    w.requires_grad_()
    fn = getattr(wf, how)(lambda x: (x @ w).exp())
    x, _ = pair(device, 4, 4)
    plain = fn(x)
    with wf.autocast(kind(device), wf.bfloat16):
        lower = fn(x)
        expected = (x @ w).exp()
        fn(x)
    assert fn.compilations == 2
    assert plain.dtype is lower.dtype is wf.float32
    numpy.testing.assert_allclose(lower.detach().numpy(), expected.detach().numpy(), rtol=1e-2)
    assert (plain.detach() - lower.detach()).abs().max().item() > 1e-5
    if how == "compile":
        lower.sum().backward()
        found, w.grad = w.grad.numpy(), None
        expected.sum().backward()
        numpy.testing.assert_allclose(found, w.grad.numpy(), rtol=2e-2)


def test_regions_inside_of_compiled_functions(device) -> None:
    w, _ = pair(device, 4, 4, seed=1)
    w.requires_grad_()

    def run(x):
        with wf.autocast(kind(device), wf.float16):
            hidden = x @ w
        return hidden, hidden @ w.half()

    x, _ = pair(device, 4, 4)
    for fn in (wf.jit(run), wf.compile(run)):
        assert [result.dtype for result in fn(x)] == [wf.float16, wf.float16]
        for compiled, eager in zip(fn(x), run(x), strict=True):
            numpy.testing.assert_allclose(compiled.detach().numpy(), eager.detach().numpy(), rtol=2e-3)
    assert wf.compiler.eval_shape(run, x)[0].dtype is wf.float16


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match="'cpu' or 'webgpu'"):
        wf.autocast("vulkan")
    with pytest.raises(DTypeError, match="float16 or bfloat16"):
        wf.autocast("cpu", wf.float32)
    with pytest.raises(ArgumentTypeError, match="enabled"):
        wf.autocast("cpu", enabled=1)
    with pytest.raises(ArgumentError, match="is_autocast_enabled"):
        wf.is_autocast_enabled("tpu")
    with pytest.raises(ArgumentError, match="get_autocast_dtype"):
        wf.get_autocast_dtype("tpu")

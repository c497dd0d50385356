"""einops on weft's tensors: its operations and their gradients against einops on NumPy and PyTorch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

import weft as wf

einops = pytest.importorskip("einops")

CALLS: dict[str, Any] = {
    "rearrange": lambda x: einops.rearrange(x, "a b (c d) -> (a c) d b", d=2),
    "rearrange a list": lambda x: einops.rearrange([x, x * 2], "n a b c -> a n (b c)"),
    "patches": lambda x: einops.rearrange(x, "a (b1 b2) c -> a b1 (b2 c)", b2=1),
    "new axis": lambda x: einops.rearrange(x, "a b c -> a () c b 1"),
    "ellipsis": lambda x: einops.rearrange(x, "a ... -> ... a"),
    "sum": lambda x: einops.reduce(x, "a b c -> b", "sum"),
    "mean": lambda x: einops.reduce(x, "a b (c d) -> a d", "mean", d=2),
    "max": lambda x: einops.reduce(x, "a b c -> a c", "max"),
    "min": lambda x: einops.reduce(x, "a b c -> () b ()", "min"),
    "prod": lambda x: einops.reduce(x, "a b c -> a", "prod"),
    "repeat": lambda x: einops.repeat(x, "a b c -> a (b r) c s", r=2, s=3),
    "einsum": lambda x: einops.einsum(x, x, "a b c, a d c -> a b d"),
    "einsum of three": lambda x: einops.einsum(x, x, x, "a b c, a b d, a e c -> e d"),
    "pack": lambda x: einops.pack([x, x[:, :, 0]], "a *")[0],
    "unpack": lambda x: einops.unpack(x, [[2], [1, 2]], "a b *")[1],
}


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(device: Any, name: str) -> None:
    host = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    x = wf.tensor(host, device=device.name, requires_grad=True)
    y = torch.tensor(host, requires_grad=True)
    ours, theirs = CALLS[name](x), CALLS[name](y)
    assert isinstance(ours, wf.Tensor)
    assert ours.device == device.name
    np.testing.assert_allclose(ours.detach().cpu().numpy(), theirs.detach().numpy(), rtol=2e-5, atol=1e-6)
    (ours * ours).sum().backward()
    (theirs * theirs).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.cpu().numpy(), y.grad, rtol=2e-5, atol=1e-5)


def test_any_and_all() -> None:
    host = np.array([[True, False], [False, False]])
    for operation in ("any", "all"):
        ours = einops.reduce(wf.tensor(host), "a b -> a", operation)
        np.testing.assert_array_equal(ours.numpy(), einops.reduce(host, "a b -> a", operation))


def test_in_a_compiled_function(device: Any) -> None:
    x = wf.arange(24.0, device=device.name).reshape(2, 3, 4)
    call = CALLS["rearrange"]
    np.testing.assert_array_equal(wf.jit(call)(x).cpu().numpy(), call(x.cpu().numpy()))


def test_shapes_and_mistakes() -> None:
    x = wf.ones(2, 3)
    assert einops.parse_shape(x, "a b") == {"a": 2, "b": 3}
    assert einops.asnumpy(x).shape == (2, 3)
    with pytest.raises(einops.EinopsError):
        einops.rearrange(x, "a b c -> a")


@pytest.mark.parametrize(
    "imports",
    [
        "import einops, weft",
        "import weft, einops",
        "import weft; weft.ones(1); import einops",
        "import einops; import weft",
    ],
)
def test_in_either_order_of_imports(imports: str) -> None:
    program = f"{imports}\nx = weft.ones(2, 3)\nprint(tuple(einops.rearrange(x, 'a b -> b a').shape), 'torch' in __import__('sys').modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "(3, 2) False", done.stderr


def test_weft_does_not_import_einops() -> None:
    program = "import sys, weft; weft.ones(1); print('einops' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr

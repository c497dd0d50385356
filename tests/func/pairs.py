"""Functions in weft and in PyTorch, which the tests of transforms compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import weft as wf
from weft import dtypes
from weft.utils.tree import flatten

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


@dataclass(frozen=True)
class Program:
    """A function written once for both libraries: ``run(module, *tensors)``, and the shapes of its arguments."""

    name: str
    run: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]

    def here(self, *tensors: Any) -> Any:
        """With weft."""
        return self.run(wf, *tensors)

    def there(self, *tensors: Any) -> Any:
        """With PyTorch."""
        return self.run(torch, *tensors)


def soft(m: Any, x: Any) -> Any:
    return (x.softmax(-1) * x.log_softmax(-1)).sum()


def written(m: Any, x: Any) -> Any:
    y = x.clone()
    y[0] = x[1] * 2
    y.mul_(x)
    z = y[1:]
    z.sin_()
    y[0, 1] = 0.5
    return (y * x).sum()


def indexed(m: Any, x: Any) -> Any:
    order = x.detach().argsort(-1)
    picked = m.gather(x, -1, order) * x.cumsum(-1)
    return (picked.sort(-1)[0][..., 1:] - picked[..., :-1]).square().sum() + x.flip(-1).unfold(-1, 2, 1).prod(
        -1
    ).sum()


def layered(m: Any, x: Any, w: Any, b: Any) -> Any:
    f = m.nn.functional
    hidden = f.layer_norm(f.gelu(f.linear(x, w, b)), (w.shape[0],))
    return (hidden.std(-1) + hidden.logsumexp(-1) + m.cat([hidden, x], -1).amax(-1)).sum()


def convolved(m: Any, x: Any, w: Any) -> Any:
    f = m.nn.functional
    maps = f.conv2d(x, w, padding=1, stride=(2, 1))
    return (f.max_pool2d(maps.tanh(), 2) + f.avg_pool2d(maps, 2)).square().sum()


def branched(m: Any, x: Any, y: Any) -> Any:
    kept = m.where(x > y, x * y, y.exp())
    return m.einsum("ij,kj->ik", kept, x).diagonal().sum() + (kept.permute(1, 0).reshape(-1) ** 3).mean()


PROGRAMS = [
    Program("pointwise", lambda m, x: (x.sin() * x * x.exp() / (1 + x.square())).sum(), ((2, 3),)),
    Program("softmax", soft, ((3, 4),)),
    Program("products", lambda m, x, w: (m.tanh(x @ w) @ w.T).square().mean(), ((3, 4), (4, 2))),
    Program("in place", written, ((2, 3),)),
    Program("indices", indexed, ((3, 4),)),
    Program("layers", layered, ((2, 3), (4, 3), (4,))),
    Program("convolution", convolved, ((1, 2, 8, 6), (3, 2, 3, 3))),
    Program("branches", branched, ((3, 3), (3, 3))),
]
IDS = [program.name for program in PROGRAMS]


def draws(shapes: Sequence[tuple[int, ...]], dtype: Any, seed: int = 0) -> list[Any]:
    """Arrays of normal numbers."""
    draw = np.random.default_rng(seed)
    return [draw.normal(size=shape).astype(dtype.numpy) for shape in shapes]


def here(arrays: Sequence[Any], device: str) -> list[Any]:
    """The arrays as weft's tensors."""
    return [wf.tensor(array, dtype=dtypes.from_numpy(array.dtype), device=device) for array in arrays]


def there(arrays: Sequence[Any]) -> list[Any]:
    """The arrays as PyTorch's tensors."""
    return [torch.tensor(array) for array in arrays]


def assert_same(ours: Any, theirs: Any, what: str = "", scale: float = 1.0) -> None:
    """Trees of tensors agree, relative to the largest element of each."""
    mine, own = flatten(ours)[0], flatten(theirs)[0]
    assert len(mine) == len(own), f"{what}: {len(mine)} results, expected {len(own)}"
    for got, expected in zip(mine, own, strict=True):
        array = expected.detach().numpy()
        assert tuple(got.shape) == array.shape, f"{what}: shape {got.shape}, expected {array.shape}"
        assert got.dtype.name == array.dtype.name, f"{what}: dtype {got.dtype}, expected {array.dtype}"
        tolerance = TOLERANCE[array.dtype.name] * scale
        largest = float(np.abs(array).max()) if array.size else 0.0
        np.testing.assert_allclose(
            got.detach().numpy(), array, rtol=tolerance, atol=tolerance * max(largest, 1.0), err_msg=what
        )


def types_of(device: Any) -> list[Any]:
    """The types that are tested on a device."""
    return [value for value in (dtypes.float32, dtypes.float64) if device.supports(value)]

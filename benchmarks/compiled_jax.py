"""The training steps of ``programs`` in JAX, jitted, with Adam written out and donated state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.programs import CHARACTERS, Sizes

Tree = Any


def _linear(rng: np.random.Generator, inputs: int, outputs: int) -> Tree:
    limit = inputs**-0.5
    shapes = {"w": (inputs, outputs), "b": (outputs,)}
    return {name: rng.uniform(-limit, limit, shape).astype(np.float32) for name, shape in shapes.items()}


def _norm(width: int) -> Tree:
    return {"w": np.ones(width, np.float32), "b": np.zeros(width, np.float32)}


def _apply(layer: Tree, x: Any) -> Any:
    return x @ layer["w"] + layer["b"]


def _normalised(layer: Tree, x: Any) -> Any:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * layer["w"] + layer["b"]


def _cross_entropy(logits: Any, targets: Any) -> Any:
    rows = jax.nn.log_softmax(logits.reshape(-1, logits.shape[-1]))
    return -jnp.take_along_axis(rows, targets.reshape(-1, 1), 1).mean()


def _trained(parameters: Tree, loss: Callable[..., Any], *batch: Any) -> Callable[[], Any]:
    """Return a call that does a step of Adam and waits for its loss."""

    def update(p: Any, g: Any, m: Any, v: Any, count: Any) -> tuple[Any, Any, Any]:
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        step = 1e-3 * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)
        return p - step, m, v

    def step(state: Tree, *inputs: Any) -> tuple[Tree, Any]:
        parameters, m, v, count = state
        value, grads = jax.value_and_grad(loss)(parameters, *inputs)
        count = count + 1
        updates = jax.tree.map(lambda *leaves: update(*leaves, count), parameters, grads, m, v)
        state = jax.tree.transpose(jax.tree.structure(parameters), jax.tree.structure((0, 0, 0)), updates)
        return (*state, count), value

    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = (jax.tree.map(jnp.asarray, parameters), zeros, jax.tree.map(jnp.copy, zeros), jnp.float32(0))
    compiled, inputs = jax.jit(step, donate_argnums=0), [jnp.asarray(array) for array in batch]

    def run() -> Any:
        nonlocal state
        state, value = compiled(state, *inputs)
        return value.block_until_ready()

    return run


def mlp() -> Callable[[], Any]:
    """Return the step of an MLP, 64 → 128 → 10, on a batch of 64."""
    rng = np.random.default_rng(0)
    parameters = [_linear(rng, 64, 128), _linear(rng, 128, 10)]

    def loss(p: Tree, x: Any, y: Any) -> Any:
        return _cross_entropy(_apply(p[1], jax.nn.relu(_apply(p[0], x))), y)

    return _trained(parameters, loss, rng.standard_normal((64, 64), np.float32), rng.integers(0, 10, 64))


def cnn() -> Callable[[], Any]:
    """Return the digits network; dropout takes a new key each step, from the bits of a weight in the state."""
    rng = np.random.default_rng(0)
    shapes = [(16, 1, 3, 3), (32, 16, 3, 3)]
    kernels = [
        {"w": rng.uniform(-0.1, 0.1, shape).astype(np.float32), "b": np.zeros((shape[0], 1, 1), np.float32)}
        for shape in shapes
    ]
    parameters = (kernels, _linear(rng, 128, 10), np.float32(0))

    def loss(p: Tree, x: Any, y: Any) -> Any:
        for layer in p[0]:
            x = jax.lax.conv_general_dilated(x, layer["w"], (1, 1), "SAME") + layer["b"]
            window = (1, 1, 2, 2)
            x = jax.lax.reduce_window(jax.nn.relu(x), -jnp.inf, jax.lax.max, window, window, "VALID")
        x = x.reshape(x.shape[0], -1)
        seed = jax.lax.bitcast_convert_type(p[1]["w"][0, 0], jnp.int32)  # another in each step
        kept = jax.random.bernoulli(jax.random.key(seed), 0.75, x.shape)
        return _cross_entropy(_apply(p[1], jnp.where(kept, x / 0.75, 0)), y)

    return _trained(parameters, loss, rng.random((64, 1, 8, 8), np.float32), rng.integers(0, 10, 64))


def gpt(sizes: Sizes = CHARACTERS) -> Callable[[], Any]:
    """Return the step of the decoder."""
    rng, d, b, t = np.random.default_rng(0), sizes.width, sizes.batch, sizes.tokens
    blocks = [
        {
            "norm1": _norm(d), "norm2": _norm(d), "qkv": _linear(rng, d, 3 * d), "project": _linear(rng, d, d),
            "widen": _linear(rng, d, 4 * d), "narrow": _linear(rng, 4 * d, d),
        }
        for _ in range(sizes.layers)
    ]  # fmt: skip
    parameters = {
        "words": rng.standard_normal((sizes.words, d), np.float32), "places": np.zeros((t, d), np.float32),
        "blocks": blocks, "norm": _norm(d), "head": _linear(rng, d, sizes.words),
    }  # fmt: skip
    causal = np.tril(np.ones((t, t), bool))

    def loss(p: Tree, words: Any, targets: Any) -> Any:
        x = p["words"][words] + p["places"]
        for block in p["blocks"]:
            heads = _apply(block["qkv"], _normalised(block["norm1"], x)).reshape(b, t, 3, sizes.heads, -1)
            q, k, v = heads.transpose(2, 0, 3, 1, 4)
            scores = q @ k.swapaxes(-1, -2) * (d // sizes.heads) ** -0.5
            y = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf)) @ v
            x = x + _apply(block["project"], y.transpose(0, 2, 1, 3).reshape(b, t, d))
            wide = jax.nn.gelu(_apply(block["widen"], _normalised(block["norm2"], x)), approximate=False)
            x = x + _apply(block["narrow"], wide)
        return _cross_entropy(_apply(p["head"], _normalised(p["norm"], x)), targets)

    words = rng.integers(0, sizes.words, (b, t + 1))
    return _trained(parameters, loss, words[:, :-1], words[:, 1:])


def chain(count: int = 4 << 20) -> Callable[[], Any]:
    """Return a chain of six element-wise operations."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal(count, np.float32))
    run = jax.jit(lambda x: jnp.abs(jax.nn.relu(x * 2.0 + 1.0) - x) * 0.5)
    return lambda: run(x).block_until_ready()


MAKERS = {
    "MLP step": mlp, "digits CNN step": cnn, "char GPT step": gpt, "6 pointwise ops, 4 Mi": chain,
}  # fmt: skip

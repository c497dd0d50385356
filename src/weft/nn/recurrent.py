"""Recurrent layers: ``RNN``, ``LSTM``, ``GRU`` and their cells, with PyTorch's weights, gate order and shapes.

A layer multiplies the inputs of all steps by a single matrix product; each step then adds the product of its state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from weft.control import scan
from weft.control.loop import scan_function
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, UnsupportedError, mistake
from weft.nn import functional, init
from weft.nn.linear import extent, layer_count
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.ops import FUNCTIONS
from weft.ops.pointwise.cells import GRU_GATES, LSTM_GATES, gates
from weft.ops.registry.functions import with_autocast
from weft.ops.registry.interpreters import on_default_stack, transforming
from weft.tensors.creation import empty, zeros
from weft.tensors.tensor import Tensor
from weft.tensors.watch import tracing

State = tuple[Tensor, ...]
"""The state between steps: h, or h and c."""


def _rnn(nonlinearity: str) -> Callable[[Tensor, Tensor, State], State]:
    activation = FUNCTIONS[nonlinearity].function

    def step(x: Tensor, h: Tensor, state: State) -> State:
        return (activation(x + h),)

    return step


def _lstm(x: Tensor, h: Tensor, state: State) -> State:
    """Hochreiter and Schmidhuber 1997, with a forget gate: the gates are i, f, g, o."""
    fused: State | None = gates(LSTM_GATES, x, h, state[1])
    if fused is not None:
        return fused
    i, f, g, o = (x + h).chunk(4, -1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _gru(x: Tensor, h: Tensor, state: State) -> State:
    """Cho et al. 2014: the gates are r, z, n, and r scales the recurrent part of n."""
    fused: Tensor | None = gates(GRU_GATES, x, h, state[0])
    if fused is not None:
        return (fused,)
    xr, xz, xn = x.chunk(3, -1)
    hr, hz, hn = h.chunk(3, -1)
    z = (xz + hz).sigmoid()
    n = (xn + (xr + hr).sigmoid() * hn).tanh()
    return (n + z * (state[0] - n),)


@dataclass(frozen=True)
class Kind:
    """A kind of recurrent layer: the number of gates, of tensors in the state, and the step for a nonlinearity.

    A step takes the input's and the state's products, with their biases, and the previous state.
    """

    gates: int
    states: int
    step: Callable[[str], Callable[[Tensor, Tensor, State], State]]


RNN_TANH = Kind(1, 1, _rnn)
LSTM_KIND = Kind(4, 2, lambda _: _lstm)
GRU_KIND = Kind(3, 1, lambda _: _gru)


@lru_cache(maxsize=None)
def _body(kind: Kind, nonlinearity: str) -> Callable[..., Sequence[Tensor]]:
    """Return a layer's step as a function of tensors: the state, the input's product, the recurrent weight and bias."""
    advance = kind.step(nonlinearity)

    def body(*values: Tensor) -> Sequence[Tensor]:
        state, product, constants = values[: kind.states], values[kind.states], values[kind.states + 1 :]
        after = advance(product, functional.linear(state[0], *constants), state)
        return [*after, after[0]]

    return body


def _nonlinearity(where: str, value: str) -> str:
    if value not in ("tanh", "relu"):
        raise ArgumentError(mistake(where, "nonlinearity", repr(value), "'tanh' or 'relu'"))
    return value


def _draw(module: Module, hidden: int) -> None:
    """Initialize all weights and biases uniformly within 1 / sqrt(hidden_size)."""
    bound = 1 / math.sqrt(hidden) if hidden else 0.0
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


class RNNBase(Module):
    """The base of ``RNN``, ``LSTM`` and ``GRU``: layers, directions, weights by PyTorch's names, and the loop."""

    kind: ClassVar[Kind]
    nonlinearity: str = "tanh"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.input_size = extent(name, "input_size", input_size, 1)
        self.hidden_size = extent(name, "hidden_size", hidden_size, 1)
        self.num_layers = layer_count(name, num_layers, 1)
        if proj_size:
            raise UnsupportedError(mistake(name, "proj_size", proj_size, "0", "apply a Linear to the output"))
        if isinstance(dropout, bool) or not 0 <= dropout <= 1:
            raise ArgumentError(mistake(name, "dropout", dropout, "a probability in [0, 1]"))
        self.bias, self.batch_first = bias, batch_first
        self.dropout, self.bidirectional = float(dropout), bidirectional
        rows, directions = self.kind.gates * hidden_size, 2 if bidirectional else 1
        for layer in range(num_layers):
            width = input_size if layer == 0 else hidden_size * directions
            for suffix in self._suffixes(layer):
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, width),
                    "weight_hh": (rows, hidden_size),
                }
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
                for key, shape in shapes.items():
                    weight = Parameter(empty(*shape, device=device, dtype=dtype))
                    self.register_parameter(f"{key}_{suffix}", weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize all weights at random."""
        _draw(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Do nothing: kernels read the weights in place. Programs written for PyTorch call this method."""

    def _suffixes(self, layer: int) -> list[str]:
        return [f"l{layer}", f"l{layer}_reverse"] if self.bidirectional else [f"l{layer}"]

    def _weights(self, suffix: str) -> list[Any]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [self._parameters.get(f"{name}_{suffix}") for name in names]

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """Map (L, N, input_size) to (L, N, directions * hidden_size) and the last states.

        Or (N, L, …) with ``batch_first``, or (L, …) without a batch. ``hx`` is the first state, (layers * directions,
        N, hidden_size), zeros by default; for ``LSTM`` a pair (h, c).
        """
        x = _sequence(type(self).__name__, input, self.input_size)
        batched = x.ndim == 3
        if not batched:
            x = x.unsqueeze(1)
        elif self.batch_first:
            x = x.transpose(0, 1)
        first = self._first(x, hx, batched)
        ends: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction, suffix in enumerate(self._suffixes(layer)):
                state = tuple([part[len(ends)] for part in first])
                output, end = self._run_layer(x, state, suffix, reverse=direction == 1)
                outputs.append(output)
                ends.append(end)
            x = outputs[0] if len(outputs) == 1 else FUNCTIONS["cat"].function(outputs, -1)
            if self.dropout and layer < self.num_layers - 1:
                x = functional.dropout(x, self.dropout, self.training)
        last = [FUNCTIONS["stack"].function(list(parts)) for parts in zip(*ends, strict=True)]
        if not batched:
            x, last = x.squeeze(1), [part.squeeze(1) for part in last]
        elif self.batch_first:
            x = x.transpose(0, 1)
        return x, tuple(last) if self.kind.states > 1 else last[0]

    def _run_layer(self, x: Tensor, state: State, suffix: str, reverse: bool) -> tuple[Tensor, State]:
        """Run a layer in one direction; return the outputs of all steps, and the last state."""
        advance = self.kind.step(self.nonlinearity)

        @with_autocast("lower")
        def run(x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any, b_hh: Any, *state: Tensor) -> Any:
            products = functional.linear(x, w_ih, b_ih)
            if not (tracing() or transforming()):
                constants = [w_hh] if b_hh is None else [w_hh, b_hh]
                body = _body(self.kind, self.nonlinearity)
                ends, (ys,) = scan_function(body, state, [products], constants, reverse)
                return tuple(ends), ys

            def step(before: State, product: Tensor) -> tuple[State, Tensor]:
                after = advance(product, functional.linear(before[0], w_hh, b_hh), before)
                return after, after[0]

            return scan(step, state, products, reverse=reverse)

        end, outputs = run(x, *self._weights(suffix), *state)
        return outputs, end

    def _first(self, x: Tensor, hx: Any, batched: bool) -> State:
        """Return the tensors of the initial state, each (layers * directions, N, hidden_size)."""
        name, count = type(self).__name__, self.num_layers * (2 if self.bidirectional else 1)
        shape: tuple[int, ...] = (count, x.shape[1], self.hidden_size)
        if hx is None:
            start = zeros(*shape, dtype=x.dtype, device=str(x.device))
            return (start,) * self.kind.states
        parts = hx if self.kind.states > 1 else (hx,)
        if not isinstance(parts, tuple | list) or len(parts) != self.kind.states:
            raise ArgumentTypeError(mistake(name, "hx", type(hx).__name__, "a pair of tensors (h, c)"))
        expected = shape if batched else (count, self.hidden_size)
        for part in parts:
            if not isinstance(part, Tensor):
                raise ArgumentTypeError(mistake(name, "hx", type(part).__name__, "a tensor"))
            if tuple(part.shape) != expected:
                raise ShapeError(mistake(name, "hx's shape", tuple(part.shape), expected))
        return tuple([part if batched else part.unsqueeze(1) for part in parts])

    def extra_repr(self) -> str:
        """Return the options that differ from their defaults."""
        lines = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        lines += [
            f"{key}={getattr(self, key)}" for key, value in defaults.items() if getattr(self, key) != value
        ]
        return ", ".join(lines)


def _sequence(where: str, input: Any, size: int) -> Tensor:
    if not isinstance(input, Tensor):
        packed = type(input).__name__ == "PackedSequence"
        kind = UnsupportedError if packed else ArgumentTypeError
        raise kind(mistake(where, "input", f"a {type(input).__name__}", "a tensor", "pad the sequences"))
    if input.ndim not in (2, 3) or input.shape[-1] != size or 0 in input.shape[:1]:
        expected = f"(L, N, {size}), (N, L, {size}) with batch_first, or (L, {size})"
        raise ShapeError(mistake(where, "input's shape", tuple(input.shape), expected))
    return input


class RNN(RNNBase):
    """A recurrent layer: each step is ``h = tanh(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh)``, or ``relu``.

    As ``torch.nn.RNN``; packed sequences and ``proj_size`` raise ``UnsupportedError``.
    """

    kind = RNN_TANH

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )
        self.nonlinearity = _nonlinearity("RNN", nonlinearity)


class LSTM(RNNBase):
    """Long short-term memory, as ``torch.nn.LSTM``: returns the outputs and the pair of last states (h, c).

    Packed sequences and ``proj_size`` raise ``UnsupportedError``.

    >>> import weft as wf
    >>> output, (h, c) = wf.nn.LSTM(3, 5, num_layers=2)(wf.zeros(7, 2, 3))
    >>> tuple(output.shape), tuple(h.shape)
    ((7, 2, 5), (2, 2, 5))
    """

    kind = LSTM_KIND


class GRU(RNNBase):
    """A gated recurrent layer, as ``torch.nn.GRU``. Packed sequences raise ``UnsupportedError``."""

    kind = GRU_KIND

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )


class RNNCellBase(Module):
    """The base of recurrent cells: one step of a recurrent layer."""

    kind: ClassVar[Kind]
    nonlinearity: str = "tanh"

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: str | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        name = type(self).__name__
        self.input_size = extent(name, "input_size", input_size, 1)
        self.hidden_size = extent(name, "hidden_size", hidden_size, 1)
        self.bias = bias
        rows = self.kind.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        self.bias_ih = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
        self.bias_hh = Parameter(empty(rows, device=device, dtype=dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialize all weights at random."""
        _draw(self, self.hidden_size)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """Return the next state, from an input (N, input_size) or (input_size) and a state (N, hidden_size) or None."""
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(mistake(name, "input's shape", tuple(input.shape), f"(N, {self.input_size})"))
        shape = (*input.shape[:-1], self.hidden_size)
        if hx is None:
            hx = (zeros(*shape, dtype=input.dtype, device=str(input.device)),) * self.kind.states
        state = tuple(hx) if isinstance(hx, tuple | list) else (hx,)
        if len(state) != self.kind.states:
            raise ArgumentTypeError(mistake(name, "hx", f"{len(state)} tensors", f"{self.kind.states}"))
        for part in state:
            if tuple(part.shape) != shape:
                raise ShapeError(mistake(name, "hx's shape", tuple(part.shape), shape))
        advance = self.kind.step(self.nonlinearity)
        few_calls = on_default_stack() and input.dtype.bits > 16

        @with_autocast("lower")
        def run(x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Any, b_hh: Any, *state: Tensor) -> State:
            if not (tracing() or transforming() or few_calls):  # a loop of a single step is a single call
                constants = [w_hh] if b_hh is None else [w_hh, b_hh]
                body = _body(self.kind, self.nonlinearity)
                products = functional.linear(x, w_ih, b_ih).unsqueeze(0)
                return tuple(scan_function(body, state, [products], constants)[0])
            return advance(functional.linear(x, w_ih, b_ih), functional.linear(state[0], w_hh, b_hh), state)

        after = run(input, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh, *state)
        return after if self.kind.states > 1 else after[0]

    def extra_repr(self) -> str:
        """Return the options that differ from their defaults."""
        text = f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


class RNNCell(RNNCellBase):
    """One step of ``RNN``, as ``torch.nn.RNNCell``."""

    kind = RNN_TANH

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
        device: str | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = _nonlinearity("RNNCell", nonlinearity)


class LSTMCell(RNNCellBase):
    """One step of ``LSTM``, as ``torch.nn.LSTMCell``: returns the pair (h, c)."""

    kind = LSTM_KIND


class GRUCell(RNNCellBase):
    """One step of ``GRU``, as ``torch.nn.GRUCell``."""

    kind = GRU_KIND

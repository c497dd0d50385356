"""Transformer layers and models (Vaswani et al. 2017), with PyTorch's submodules, defaults and masks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from weft import dtypes
from weft.dtypes import DType
from weft.errors import ArgumentError, mistake
from weft.nn import functional, init
from weft.nn.containers import ModuleList
from weft.nn.dropout import Dropout
from weft.nn.linear import Linear, layer_count
from weft.nn.module import Module
from weft.nn.multihead import MultiheadAttention
from weft.nn.normalization import LayerNorm
from weft.tensors.creation import full
from weft.tensors.tensor import Tensor


class _Layer(Module):
    """The base of encoder and decoder layers: ``attentions`` and two linear layers, with norms and dropouts."""

    def __init__(
        self, attentions: tuple[str, ...], d_model: int, nhead: int, dim_feedforward: int, dropout: float,
        activation: str | Callable[[Tensor], Tensor], layer_norm_eps: float, batch_first: bool, norm_first: bool,
        bias: bool, device: str | None, dtype: DType | None,
    ) -> None:  # fmt: skip
        super().__init__()
        placed: dict[str, Any] = {"device": device, "dtype": dtype}
        for name in attentions:
            self.register_module(
                name, MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **placed)
            )
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **placed)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **placed)
        self.norm_first = norm_first
        count = len(attentions) + 1
        for number in range(1, count + 1):
            self.register_module(f"norm{number}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **placed))
        for number in range(1, count + 1):
            self.register_module(f"dropout{number}", Dropout(dropout))
        self.activation = _activation(type(self).__name__, activation)

    def _around(self, number: int, x: Tensor, block: Callable[[Tensor], Tensor]) -> Tensor:
        """Apply a block with its dropout, residual connection, and norm before or after."""
        norm, drop = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        result: Tensor = x + drop(block(norm(x))) if self.norm_first else norm(x + drop(block(x)))
        return result

    def _feed_forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear2(self.dropout(self.activation(self.linear1(x))))
        return result


def _activation(where: str, given: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if callable(given):
        return given
    if given not in ("relu", "gelu"):
        raise ArgumentError(mistake(where, "activation", repr(given), "'relu', 'gelu' or a function"))
    function: Callable[[Tensor], Tensor] = getattr(functional, given)
    return function


class TransformerEncoderLayer(_Layer):
    """Self-attention and a feed-forward block, each with residual and norm, as ``torch.nn.TransformerEncoderLayer``.

    >>> import weft as wf
    >>> tuple(wf.nn.TransformerEncoderLayer(8, 2, 16)(wf.zeros(5, 3, 8)).shape)
    (5, 3, 8)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: str | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(("self_attn",), d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps,
                         batch_first, norm_first, bias, device, dtype)  # fmt: skip

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """(L, N, d_model), or (N, L, d_model) with ``batch_first``, to the same; masks as ``MultiheadAttention``'s."""

        def attend(x: Tensor) -> Tensor:
            output: Tensor = self.self_attn(
                x, x, x, src_key_padding_mask, need_weights=False, attn_mask=src_mask, is_causal=is_causal
            )[0]
            return output

        return self._around(2, self._around(1, src, attend), self._feed_forward)


class TransformerDecoderLayer(_Layer):
    """Self-attention, cross-attention and a feed-forward block, as ``torch.nn.TransformerDecoderLayer``."""

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = "relu", layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: str | None = None, dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__(("self_attn", "multihead_attn"), d_model, nhead, dim_feedforward, dropout, activation,
                         layer_norm_eps, batch_first, norm_first, bias, device, dtype)  # fmt: skip

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """``tgt`` (T, N, d_model) and ``memory`` (S, N, d_model) to (T, N, d_model)."""

        def attend(x: Tensor) -> Tensor:
            output: Tensor = self.self_attn(
                x, x, x, tgt_key_padding_mask, need_weights=False, attn_mask=tgt_mask, is_causal=tgt_is_causal
            )[0]
            return output

        def cross_attend(x: Tensor) -> Tensor:
            output: Tensor = self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, need_weights=False, attn_mask=memory_mask,
                is_causal=memory_is_causal,
            )[0]  # fmt: skip
            return output

        x = self._around(2, self._around(1, tgt, attend), cross_attend)
        return self._around(3, x, self._feed_forward)


class TransformerEncoder(Module):
    """``num_layers`` copies of a layer, one after another, and a norm, as ``torch.nn.TransformerEncoder``.

    ``enable_nested_tensor`` and ``mask_check`` choose among PyTorch's implementations, and have no effect in weft.
    """

    def __init__(
        self, encoder_layer: Module, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        count = layer_count(type(self).__name__, num_layers)
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(count))
        self.num_layers = count
        self.norm = norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """(L, N, d_model) to the same."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """``num_layers`` copies of a layer, one after another, and a norm, as ``torch.nn.TransformerDecoder``."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        count = layer_count(type(self).__name__, num_layers)
        self.layers = ModuleList(copy.deepcopy(decoder_layer) for _ in range(count))
        self.num_layers = count
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """``tgt`` (T, N, d_model) and ``memory`` (S, N, d_model) to (T, N, d_model)."""
        for layer in self.layers:
            tgt = layer(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask,
                        bool(tgt_is_causal), memory_is_causal)  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """Encoder and decoder, as ``torch.nn.Transformer``; matrices are initialized Xavier-uniform."""

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
        dim_feedforward: int = 2048, dropout: float = 0.1, activation: str | Callable[[Tensor], Tensor] = "relu",
        custom_encoder: Module | None = None, custom_decoder: Module | None = None, layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, device: str | None = None,
        dtype: DType | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        options = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias,
                   device, dtype)  # fmt: skip
        placed: dict[str, Any] = {"eps": layer_norm_eps, "bias": bias, "device": device, "dtype": dtype}
        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*options), num_encoder_layers, LayerNorm(d_model, **placed)
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*options), num_decoder_layers, LayerNorm(d_model, **placed)
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """``src`` (S, N, d_model) and ``tgt`` (T, N, d_model) to (T, N, d_model)."""
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        result: Tensor = self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal,
            memory_is_causal,
        )  # fmt: skip
        return result

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, device: str | None = None, dtype: DType | None = None
    ) -> Tensor:
        """Return the causal mask (sz, sz): -inf above the diagonal, 0 elsewhere."""
        mask: Tensor = full((sz, sz), -math.inf, device=device, dtype=dtype or dtypes.float32).triu(1)
        return mask

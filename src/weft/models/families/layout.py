"""``Layout``: where a family's checkpoints hold the weights of the model, under which names and in which form.

The model calls its weights as most families do. A family with names of its own, or with tensors that hold several
weights, has a ``Layout``; its ``place`` says where a weight lies in a file, and ``joined`` puts weights together again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from weft.metatensor import Pending
from weft.metatensor.scalars import TENSOR_NAMES
from weft.models.config import DecoderConfig
from weft.tensors.tensor import Tensor

BASE = "model."
"""How the names of all weights begin but those of the output layer."""
BUFFERS = (".rotary_emb.inv_freq",)
"""Ends of names of tensors that the configuration already says."""
ROWS: Mapping[str, Callable[[DecoderConfig], int]] = {
    "q_proj": lambda config: config.num_heads * config.head_dim,
    "k_proj": lambda config: config.num_kv_heads * config.head_dim,
    "v_proj": lambda config: config.num_kv_heads * config.head_dim,
    "gate_proj": lambda config: config.intermediate_size,
    "up_proj": lambda config: config.intermediate_size,
}
"""Rows of the weights that a tensor may hold together."""


@dataclass(frozen=True)
class Fused:
    """A tensor ``name`` whose rows are those of ``parts``, one after another, or so within each head."""

    name: str
    parts: tuple[str, ...]
    by_head: bool = False


@dataclass(frozen=True)
class Place:
    """A weight in a file: the tensor called ``name``, or ``rows`` of the ``total`` rows in each of its ``groups``.

    ``transposed``: the file's matrix is (in, out).
    """

    name: str
    groups: int = 1
    start: int = 0
    rows: int = 0
    total: int = 0
    transposed: bool = False

    def shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the file's tensor, from the weight's."""
        whole = (self.groups * self.total, *shape[1:]) if self.total else shape
        return whole[::-1] if self.transposed else whole

    @property
    def fused(self) -> bool:
        """Whether the file's tensor is not the weight as it is."""
        return bool(self.total) or self.transposed

    def rows_of(self, tensor: Any, start: int, stop: int) -> Any:
        """Return rows of the weight out of the file's tensor: a view, or a copy of these rows."""
        tensor = tensor.T if self.transposed else tensor
        if self.groups == 1:
            return tensor[self.start + start : self.start + stop]
        rows = np.arange(start, stop)
        return tensor[rows // self.rows * self.total + self.start + rows % self.rows]


@dataclass(frozen=True)
class Layout:
    """Names and forms of a family's weights; a name has ``*`` for the numbers of its layer and expert.

    Args:
        names: the file's names of modules, by the model's; those that are not listed are the same.
        fused: tensors that hold several modules' weights, by the file's names.
        transposed: modules, by the file's names, whose matrices are (in, out).
        bases: how all names but the output layer's may begin in a file; weft writes the first. The model's names have
            ``model.`` there.
        head: the output layer's names, one for each of ``bases``.
        ignored: how names of tensors begin that belong to other parts than the decoder.
        buffers: ends of names of tensors that are no weights.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    fused: tuple[Fused, ...] = ()
    transposed: frozenset[str] = frozenset()
    bases: tuple[str, ...] = (BASE,)
    heads: tuple[str, ...] = ("lm_head",)
    ignored: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()

    def variant_of(self, names: Collection[str]) -> int:
        """Return which of ``bases`` a file has, by the names of its tensors; 0 where it has none."""
        starts = [base + self._file_name("embed_tokens") + "." for base in self.bases]
        return next(
            (at for at, start in enumerate(starts) if any(name.startswith(start) for name in names)), 0
        )

    def place(self, name: str, config: DecoderConfig, variant: int = 0) -> Place:
        """Return where a file holds the weight that the model calls ``name``."""
        module, kind = name.rsplit(".", 1)
        if not module.startswith(BASE):
            return Place(f"{self.heads[min(variant, len(self.heads) - 1)]}.{kind}")
        pattern, numbers = _pattern(module.removeprefix(BASE))
        fused = next((each for each in self.fused if pattern in each.parts), None)
        stored = self._file_name(pattern) if fused is None else fused.name
        full = f"{self.bases[variant]}{_numbered(stored, numbers)}.{kind}"
        transposed = stored in self.transposed and kind == "weight"
        if fused is None:
            return Place(full, transposed=transposed)
        groups = config.num_heads if fused.by_head else 1
        sizes = [ROWS[part.rsplit(".", 1)[-1]](config) // groups for part in fused.parts]
        at = fused.parts.index(pattern)
        return Place(full, groups, sum(sizes[:at]), sizes[at], sum(sizes), transposed)

    def _file_name(self, pattern: str) -> str:
        return self.names.get(pattern, pattern)


def _pattern(module: str) -> tuple[str, list[str]]:
    """Return a module's name with ``*`` for each number, and the numbers: its layer, and its expert in a mixture."""
    words = module.split(".")
    return ".".join("*" if word.isdigit() else word for word in words), [
        word for word in words if word.isdigit()
    ]


def _numbered(pattern: str, numbers: list[str]) -> str:
    """Return a name with the numbers in the places of ``*``."""
    for number in numbers:
        pattern = pattern.replace("*", number, 1)
    return pattern


@dataclass(frozen=True)
class Places:
    """Where the files of one checkpoint hold the weights: its layout, and which of the layout's bases it has."""

    layout: Layout
    config: DecoderConfig
    variant: int = 0

    @classmethod
    def found(cls, layout: Layout, config: DecoderConfig, names: Collection[str]) -> Places:
        """Return the places in files with tensors of these names."""
        return cls(layout, config, layout.variant_of(names))

    def of(self, name: str) -> Place:
        """Return where the files hold the weight that the model calls ``name``."""
        return self.layout.place(name, self.config, self.variant)

    def ignores(self, name: str) -> bool:
        """Return whether the model may ignore the files' tensor ``name``."""
        if self.config.tied and name.startswith(self.of("lm_head.weight").name.removesuffix("weight")):
            return True
        return name.startswith(self.layout.ignored) or name.endswith((*BUFFERS, *self.layout.buffers))


@dataclass(frozen=True)
class Joined:
    """A file's tensor that is put together from the weights in it, when it is written."""

    parts: tuple[tuple[Place, Tensor], ...]

    def pending(self) -> Pending:
        """Return the tensor for a writer, which puts it together when it is written."""
        place, weight = self.parts[0]
        return Pending(TENSOR_NAMES[weight.dtype.numpy.name], place.shape(tuple(weight.shape)), self.numpy)

    def numpy(self) -> Any:
        """Return the tensor as the file holds it, as a NumPy array."""
        place = self.parts[0][0]
        arrays = [weight.detach().numpy() for _, weight in self.parts]
        array = arrays[0]
        if place.total:
            grouped = [
                array.reshape(at.groups, at.rows, *array.shape[1:])
                for (at, _), array in zip(self.parts, arrays, strict=True)
            ]
            array = np.concatenate(grouped, 1).reshape(-1, *array.shape[1:])
        return np.ascontiguousarray(array.T if place.transposed else array)


def joined(where: Places, weights: Mapping[str, Tensor]) -> dict[str, Joined]:
    """Return the tensors of a file, by the family's names, from the model's weights by theirs."""
    places: dict[str, list[tuple[Place, Tensor]]] = {}
    for name, weight in weights.items():
        place = where.of(name)
        places.setdefault(place.name, []).append((place, weight))
    return {
        name: Joined(tuple(sorted(parts, key=lambda part: part[0].start))) for name, parts in places.items()
    }


SAME = Layout()
PHI3 = Layout(
    fused=(
        Fused(
            "layers.*.self_attn.qkv_proj",
            ("layers.*.self_attn.q_proj", "layers.*.self_attn.k_proj", "layers.*.self_attn.v_proj"),
        ),
        Fused("layers.*.mlp.gate_up_proj", ("layers.*.mlp.gate_proj", "layers.*.mlp.up_proj")),
    )
)
GPT2 = Layout(
    names={
        "embed_tokens": "wte",
        "embed_positions": "wpe",
        "norm": "ln_f",
        "layers.*.input_layernorm": "h.*.ln_1",
        "layers.*.post_attention_layernorm": "h.*.ln_2",
        "layers.*.self_attn.o_proj": "h.*.attn.c_proj",
        "layers.*.mlp.up_proj": "h.*.mlp.c_fc",
        "layers.*.mlp.down_proj": "h.*.mlp.c_proj",
    },
    fused=(Fused("h.*.attn.c_attn", PHI3.fused[0].parts),),
    transposed=frozenset({"h.*.attn.c_attn", "h.*.attn.c_proj", "h.*.mlp.c_fc", "h.*.mlp.c_proj"}),
    bases=("transformer.", ""),
    buffers=(".attn.bias", ".attn.masked_bias"),
)
GPT_NEOX = Layout(
    names={
        "embed_tokens": "embed_in",
        "norm": "final_layer_norm",
        "layers.*.self_attn.o_proj": "layers.*.attention.dense",
        "layers.*.mlp.up_proj": "layers.*.mlp.dense_h_to_4h",
        "layers.*.mlp.down_proj": "layers.*.mlp.dense_4h_to_h",
    },
    fused=(Fused("layers.*.attention.query_key_value", PHI3.fused[0].parts, by_head=True),),
    bases=("gpt_neox.",),
    heads=("embed_out",),
    buffers=(".attention.bias", ".attention.masked_bias"),
)
WRAPPED = Layout(
    bases=("model.", "language_model.model.", "model.language_model."),
    heads=("lm_head", "language_model.lm_head", "lm_head"),
    ignored=(
        "vision_tower.",
        "multi_modal_projector.",
        "model.vision_tower.",
        "model.multi_modal_projector.",
    ),
)
"""Of a family that may be the language model of a model with other parts (``weft.models.families.wrappers``)."""

"""``default_collate`` and ``default_convert``: batches from lists of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, mistake
from weft.ops import FUNCTIONS
from weft.ops.registry.lazy_fronts import check_functions
from weft.tensors.tensor import Tensor, tensor

_NUMBERS = (bool, int, float)


def default_collate(batch: Sequence[Any]) -> Any:
    """Return samples stacked along a new first dimension, part by part.

    Tensors are stacked; numbers and NumPy arrays become tensors on the default device; strings stay a list. The parts
    of mappings, tuples and sequences are collated separately; the result for tuples and lists is a list. As
    ``torch.utils.data.default_collate``. Raises ``ArgumentError`` or ``ArgumentTypeError`` for samples that differ.

    >>> default_collate([(1, "a"), (2, "b")])
    [tensor([1, 2]), ['a', 'b']]
    """
    if len(batch) == 0:
        raise ArgumentError(mistake("default_collate", "batch", "empty", "at least one sample"))
    first = batch[0]
    if isinstance(first, Tensor):
        return FUNCTIONS["stack"].function(list(batch))
    if isinstance(first, str | bytes):
        return list(batch)
    if type(first) in _NUMBERS and all(type(sample) in _NUMBERS for sample in batch):
        return tensor(list(batch))
    if isinstance(first, bool | int | float) or type(first).__module__ == "numpy":
        return tensor(_stacked(batch))
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, Sequence):
        lengths = {len(sample) for sample in batch}
        if len(lengths) > 1:
            raise ArgumentError(
                mistake("default_collate", "samples", f"of lengths {sorted(lengths)}", "of one length")
            )
        parts = [default_collate(part) for part in zip(*batch, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else parts
    raise ArgumentTypeError(
        mistake("default_collate", "a sample", f"a {type(first).__name__}",
                "tensors, arrays, numbers, strings, and mappings or sequences of these", "pass collate_fn")
    )  # fmt: skip


def default_convert(data: Any) -> Any:
    """Return a sample with its NumPy arrays as tensors; a loader without batches returns samples in this form.

    >>> import numpy
    >>> default_convert({"x": numpy.ones(2, "float32"), "n": 3})
    {'x': tensor([1., 1.]), 'n': 3}
    """
    if isinstance(data, Tensor | str | bytes):
        return data
    if type(data).__module__ == "numpy":
        return tensor(data)
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    return [default_convert(value) for value in data] if isinstance(data, Sequence) else data


def _stacked(batch: Sequence[Any]) -> Any:
    import numpy

    shapes = {numpy.shape(sample) for sample in batch}
    if len(shapes) > 1:
        raise ArgumentError(
            mistake("default_collate", "samples", f"of shapes {sorted(shapes)}", "of one shape")
        )
    return numpy.stack([numpy.asarray(sample) for sample in batch])


check_functions(globals())

"""PyTorch's ``onnx`` namespace, for programs that import it: weft writes no ONNX files."""

from __future__ import annotations

from weft.absent import refusing

__getattr__ = refusing(
    "weft.onnx",
    "dynamo_export export export_to_pretty_string register_custom_op_symbolic".split(),
    "weft writes no ONNX files; save parameters with weft.save, a compiled call with weft.jit(f).plan(…).save",
)


def is_in_onnx_export() -> bool:
    """Return whether a model is being written as ONNX: False."""
    return False

"""Which precision autocast has each op done in, by name: PyTorch's lists for CUDA, and what follows from them.

Ops that are not here are done as they are asked for, in the types of their operands. Composite functions have their
precision where they are declared (``function(autocast=...)``).
"""

from __future__ import annotations

from weft.ops.functions import Precision

_LOWER = "matmul convolution"
_FLOAT32 = """
    exp exp2 expm1 log log2 log10 log1p pow square cube reciprocal rsqrt acos asin cosh sinh tan softplus
    softmax log_softmax logsumexp sum prod cumsum cumprod logcumsumexp norm nll cross_entropy
    l1 squared_error smooth_l1 huber kl_div kl_div_log binary_cross_entropy_with_logits
"""

PRECISIONS: dict[str, Precision] = {
    **dict.fromkeys(_LOWER.split(), "lower"),
    **dict.fromkeys(_FLOAT32.split(), "float32"),
}
"""The precision of each op that has one."""

"""Library kernels: tuned templates, one file a kernel and target, found by ``TEMPLATES[dialect family, name]``.

A template is ``(Library, TargetProfile) -> KernelSpec``. Each has a derived form that its tests compare it with.

``matmul`` (buffers a, b, c; parameters in this order, all int64, strides in elements):
    ``batch0 batch1 m n k`` · ``a_offset a_b0 a_b1 a_m a_k`` · ``b_offset b_b0 b_b1 b_k b_n`` ·
    ``c_offset c_b0 c_b1 c_m c_n``; c[i, j] = sum over k of a[i, k] b[k, j] for every batch index.
``conv2d`` (option ``kind``; contiguous NCHW x, OIHW w, NOHW y; parameters, all int64):
    ``n c h w o kh kw oh ow stride_h stride_w pad_h pad_w dilation_h dilation_w groups x_offset w_offset y_offset``
    ``kind="forward"`` buffers x, w, y: writes y. ``kind="input"`` buffers y, w, x: writes x, the gradient of the
    input. ``kind="weight"`` buffers y, x, w: writes w, the gradient of the weight.
"""

from __future__ import annotations

from collections.abc import Callable

from weft.kernels.program import Library
from weft.target import KernelSpec, TargetProfile

Template = Callable[[Library, TargetProfile], KernelSpec]
TEMPLATES: dict[tuple[str, str], Template] = {}


def template(family: str, name: str) -> Callable[[Template], Template]:
    """Register the template of a library kernel for a dialect family, ``"wgsl"`` or ``"llvm"``."""

    def register(function: Template) -> Template:
        TEMPLATES[family, name] = function
        return function

    return register

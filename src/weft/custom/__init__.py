"""Custom kernels: kernels that users write in WGSL or as expressions become ops, which can be traced and compiled.

register_kernel ─► OpSpec (sizes solved and checked) ─► bind ─► KernelSpec around the user's WGSL
└──► derived kernel of an expression
"""

from weft.custom.register import CustomKernel, register_kernel

__all__ = ["CustomKernel", "register_kernel"]

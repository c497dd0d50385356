"""PyTorch's ``backends`` namespace: settings of libraries that weft does not use, for programs that set them.

Assigned values are stored and have no effect: weft's results are deterministic, and float32 is computed in float32.
"""

from __future__ import annotations

from weft.backends import cpu, cuda, cudnn, mkl, mkldnn, mps, openmp, opt_einsum

__all__ = ["cpu", "cuda", "cudnn", "mkl", "mkldnn", "mps", "openmp", "opt_einsum"]

fp32_precision = "none"

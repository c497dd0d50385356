"""The ``cpu`` device: host memory, kernels compiled by LLVM, persistent threads, matrix products by a BLAS."""

from weft.devices.cpu.device import CpuDevice

__all__ = ["CpuDevice"]

"""The ``webgpu`` device: WGSL kernels on any GPU, or on a software rasteriser, through wgpu-native.

``adapters`` says what there is; ``device`` puts together memory, recorder, pipelines, groups, readback and status.
"""

from weft.devices.webgpu.adapters import AdapterInfo, adapters, find
from weft.devices.webgpu.device import WebGpuDevice

__all__ = ["AdapterInfo", "WebGpuDevice", "adapters", "find"]

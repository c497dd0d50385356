"""The ``webgpu`` device: WGSL kernels on any GPU, or on a software rasteriser, through wgpu-native.

``adapters`` lists the adapters; ``device`` combines memory, recorder, pipelines, bind groups, readback and status.
"""

from weft.devices.webgpu.adapters import AdapterInfo, adapters, find
from weft.devices.webgpu.device import WebGpuDevice

__all__ = ["AdapterInfo", "WebGpuDevice", "adapters", "find"]

"""The library kernels of ``webgpu``: one module for each template, loaded by the kernel's name."""

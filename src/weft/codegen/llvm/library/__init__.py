"""The library kernels of ``cpu``: one module for each template, loaded by the kernel's name."""

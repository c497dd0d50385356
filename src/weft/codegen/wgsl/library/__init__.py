"""The tuned kernels of ``webgpu``: a template a file, loaded by the library kernel's name."""

"""The tuned kernels of the ``cpu``: a template a file, loaded by the library kernel's name."""

"""Benchmarks: ``python -m benchmarks.SUBJECT`` prints weft's times beside those of peers in the same process."""

"""Benchmarks: ``python -m benchmarks.SUBJECT``; each prints our times beside those of peers in the same process."""

"""Optimizer steps: ops that update many parameters at once."""

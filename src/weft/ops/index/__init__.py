"""Ops that read and write elements by index tensors and masks, and ops that concatenate."""

"""Normalization over rows, groups and batches."""

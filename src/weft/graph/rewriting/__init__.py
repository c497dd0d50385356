"""Rewriting of kernels: affine indices, parts, names."""

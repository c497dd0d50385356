"""Rewrites of kernels: affine indices, parts, and buffer names."""

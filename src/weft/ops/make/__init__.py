"""Ops that create tensors: constants, ranges, random numbers; casts and copies."""

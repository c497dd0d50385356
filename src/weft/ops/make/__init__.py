"""Ops that make tensors: constants, ranges, random numbers; casts and copies."""

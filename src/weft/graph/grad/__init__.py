"""Graphs of gradients: the split into forward and backward, and gradients that are absent."""

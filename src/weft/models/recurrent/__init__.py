"""Layers that keep a state of fixed size for each sequence, where attention keeps keys and values of each token."""

"""Backward graphs: the split of a joint graph into forward and backward, and absent gradients."""

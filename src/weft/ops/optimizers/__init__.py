"""The steps of optimizers, over many tensors at once."""

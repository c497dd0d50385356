"""Optimizers, with PyTorch's names and state: SGD, Adam, AdamW. A group of parameters is updated by one kernel."""

from weft.optim.adam import Adam, AdamW
from weft.optim.groups import ParamGroup
from weft.optim.optimizer import Optimizer
from weft.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "ParamGroup"]

"""Optimizers and schedules, with PyTorch's names and state. A group of parameters is updated by one kernel."""

from weft.optim import lr_scheduler
from weft.optim.adagrad import Adagrad
from weft.optim.adam import Adam, AdamW
from weft.optim.groups import ParamGroup, decay_groups
from weft.optim.lion import Lion
from weft.optim.optimizer import Optimizer
from weft.optim.rmsprop import RMSprop
from weft.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Optimizer",
    "ParamGroup",
    "RMSprop",
    "decay_groups",
    "lr_scheduler",
]

"""Optimizers and learning rate schedules, with PyTorch's names and state; one kernel updates a parameter group."""

from weft.optim import lr_scheduler
from weft.optim.adadelta import Adadelta
from weft.optim.adagrad import Adagrad
from weft.optim.adam import Adam, AdamW
from weft.optim.adam_variants import Adamax, NAdam, RAdam
from weft.optim.asgd import ASGD
from weft.optim.groups import ParamGroup, decay_groups
from weft.optim.lbfgs import LBFGS
from weft.optim.lion import Lion
from weft.optim.optimizer import Optimizer
from weft.optim.rmsprop import RMSprop
from weft.optim.rprop import Rprop
from weft.optim.sgd import SGD

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "Optimizer",
    "ParamGroup",
    "RAdam",
    "RMSprop",
    "Rprop",
    "decay_groups",
    "lr_scheduler",
]

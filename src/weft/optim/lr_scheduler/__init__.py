"""Learning rate schedules, as ``torch.optim.lr_scheduler``: ``step()`` after each ``optimizer.step()`` or epoch."""

from weft.optim.lr_scheduler.base import LRScheduler
from weft.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from weft.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from weft.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from weft.optim.lr_scheduler.factors import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from weft.optim.lr_scheduler.plateau import ReduceLROnPlateau

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

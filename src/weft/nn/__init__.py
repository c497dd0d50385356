"""Layers, containers, losses and initialisation, with PyTorch's names, defaults and state-dict keys."""

from weft.nn import functional, init
from weft.nn.activations import LogSoftmax, ReLU, Sigmoid, SiLU, Softmax, Tanh
from weft.nn.containers import ModuleList, Sequential
from weft.nn.convolution import Conv2d
from weft.nn.dropout import Dropout
from weft.nn.embedding import Embedding
from weft.nn.linear import Flatten, Identity, Linear
from weft.nn.losses import CrossEntropyLoss, MSELoss, NLLLoss
from weft.nn.module import Module
from weft.nn.parameter import Parameter
from weft.nn.pooling import MaxPool2d

__all__ = [
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
]

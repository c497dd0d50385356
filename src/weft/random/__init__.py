"""Random numbers: a generator for each device, seeded by ``manual_seed``; a seed gives the same numbers everywhere."""

import weft.tensors  # noqa: F401  (first, whichever module is imported: tensors have methods of this package)
from weft.random.choosing import multinomial
from weft.random.draws import (
    bernoulli,
    dropout,
    normal,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
)
from weft.random.generator import Generator, default_generator, initial_seed, manual_seed, seed

__all__ = [
    "Generator",
    "bernoulli",
    "default_generator",
    "dropout",
    "initial_seed",
    "manual_seed",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "seed",
]

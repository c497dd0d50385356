"""Wrong values for arguments, and checks of calls with them, for the generated tests of wrong calls.

A wrong call returns a result or raises a ``WeftError``, and leaves the process unchanged: the device still computes, and
no more of its memory is in use.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

import weft as wf
from weft.errors import WeftError
from weft.random.generator import order_generator

REPLACEMENTS: dict[str, Callable[[], Any]] = {
    "0-d tensor": lambda: wf.tensor(1),
    "0-d float tensor": lambda: wf.tensor(0.5),
    "NumPy int": lambda: np.int64(1),
    "NumPy float": lambda: np.float32(0.5),
    "0-d array": lambda: np.array(2),
    "None": lambda: None,
    "text": lambda: "text",
    "huge": lambda: 10**30,
    "2**62": lambda: 2**62,
    "negative": lambda: -(2**62),
    "NaN": lambda: float("nan"),
    "nested": lambda: [[1, 2], [3]],
    "object": object,
    "NumPy array": lambda: np.ones(3),
}
"""The values that replace an argument, created on the default device."""


def outcome(call: Callable[[], Any]) -> Any:
    """Return the result of a call, None if it raised a ``WeftError``; other errors propagate."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about deprecated arguments
        try:
            return call()
        except WeftError:
            return None


def wrong_outcomes(
    call: Callable[..., Any],
    keywords: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    names: Iterable[str],
    look: Callable[[Any], str] = lambda result: "",
) -> list[str]:
    """Return what is wrong with the outcomes of a call with each argument replaced, and with an unknown keyword.

    ``keywords``: valid arguments, or a function that creates them for each call; ``look`` describes a wrong result.
    """
    valid = keywords if callable(keywords) else lambda: keywords
    wrong = []
    for name in [*names, "no_such_keyword"]:
        for kind, replacement in REPLACEMENTS.items():
            try:
                value = replacement()
                words = look(outcome(lambda value=value, name=name: call(**{**valid(), name: value})))
            except Exception as error:
                words = f"{type(error).__name__}: {error}"
            if words:
                wrong.append(f"{name} replaced by {kind}: {words}"[:250])
    return wrong


@contextmanager
def unchanged_process(device: str) -> Iterator[None]:
    """Assert that after the block, in which calls may fail, the device computes and uses no more memory than before."""
    settle(device)
    before = memory(device)
    yield
    settle(device)
    assert (wf.ones(3, device=device) + 1).tolist() == [2, 2, 2]
    if any(now > then for now, then in zip(memory(device), before, strict=True)):
        gc.collect()  # a full collection, which takes seconds after many tests
    assert all(now <= then for now, then in zip(memory(device), before, strict=True))


def settle(device: str) -> None:
    """Create the states of the generators that a call may use, and collect young reference cycles."""
    wf.rand(1, device=device)
    order_generator().state()
    gc.collect(1)


def memory(device: str) -> tuple[int, int]:
    """Return the bytes and storages of a device that are in use."""
    stats = wf.devices.open(device).memory_stats()
    assert type(stats.in_use) is type(stats.peak) is type(stats.pooled) is int
    return stats.in_use, stats.storages

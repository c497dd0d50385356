"""Arguments replaced by what they are not: what every generated test of wrong calls puts in an argument's place.

A wrong call gives a result or a ``WeftError``, and leaves the process as it was: the device computes, and its memory is
counted as before.
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
"""What is put in an argument's place, made on the default device."""


def outcome(call: Callable[[], Any]) -> Any:
    """The result of a call, ``None`` where it raised a ``WeftError``; other errors go on."""
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
    """What is wrong with the outcomes of a call with each argument replaced, and with an unknown keyword.

    ``keywords``: arguments that are right, or what makes them for each call; ``look`` says what is wrong with a result.
    """
    made = keywords if callable(keywords) else lambda: keywords
    wrong = []
    for name in [*names, "no_such_keyword"]:
        for kind, replacement in REPLACEMENTS.items():
            try:
                value = replacement()
                words = look(outcome(lambda value=value, name=name: call(**{**made(), name: value})))
            except Exception as error:
                words = f"{type(error).__name__}: {error}"
            if words:
                wrong.append(f"{name} replaced by {kind}: {words}"[:250])
    return wrong


@contextmanager
def unchanged_process(device: str) -> Iterator[None]:
    """Within it calls may go wrong; afterwards the device computes and no more of its memory is in use."""
    settle(device)
    before = memory(device)
    yield
    settle(device)
    assert (wf.ones(3, device=device) + 1).tolist() == [2, 2, 2]
    if any(now > then for now, then in zip(memory(device), before, strict=True)):
        gc.collect()  # of all generations, which takes seconds late in a process of many tests
    assert all(now <= then for now, then in zip(memory(device), before, strict=True))


def settle(device: str) -> None:
    """Make the states of the generators that a call may use, and drop what is in young cycles."""
    wf.rand(1, device=device)
    order_generator().state()
    gc.collect(1)


def memory(device: str) -> tuple[int, int]:
    """Bytes and storages of a device that are in use."""
    stats = wf.devices.open(device).memory_stats()
    assert type(stats.in_use) is type(stats.peak) is type(stats.pooled) is int
    return stats.in_use, stats.storages

"""``Generator``: a key and a 64-bit counter. Each random op takes the next range of counters.

The state is a tensor on the device. The number of counters taken since the state was written is kept on the host, so
that drawing writes nothing. A trace first adds the host's count to the state, counts from 0 inside, and advances the
state at its end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from weft import devices, dtypes
from weft.errors import ArgumentError, DeviceError, mistake
from weft.ops import OPS, bind
from weft.ops.registry.arguments import integer
from weft.ops.registry.interpreters import executing
from weft.ops.registry.kinds import argument_class
from weft.ops.registry.lazy_fronts import Checked, lazily_checked
from weft.tensors.creation import tensor
from weft.tensors.watch import refuse_tracing

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor

_SEED_BITS = 64

Seed = int
"""An integer of any size, taken modulo 2**64."""

samples: ContextVar[Callable[[], int] | None] = ContextVar("weft_samples", default=None)
"""Set by ``vmap``: a function that returns for how many samples each draw is, or raises where none is allowed."""


@argument_class("a Generator")
class Generator(Checked):
    """A source of random numbers on one device.

    >>> import weft as wf
    >>> a = wf.rand(2, generator=wf.Generator("cpu").manual_seed(7), device="cpu")
    >>> b = wf.rand(2, generator=wf.Generator("cpu").manual_seed(7), device="cpu")
    >>> bool((a == b).all())
    True
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = devices.open(device).name
        self._lock = threading.Lock()
        self._seed = 0
        self._offset = 0
        self._state: Tensor | None = None
        _alive.add(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"device": self.device, "seed": self._seed, "words": self.get_state()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Generator.__init__(self, state["device"])
        self.set_state(state["words"])
        self._seed = state["seed"]

    def manual_seed(self, seed: Seed) -> Generator:
        """Restart from a seed (taken modulo 2**64); returns the generator."""
        refuse_tracing("manual_seed", "seed before the call")
        return self._start(integer("manual_seed", "seed", seed) % 2**_SEED_BITS)

    def _start(self, seed: int) -> Generator:
        with self._lock:
            self._seed, self._offset, self._state = seed, 0, None
        return self

    def initial_seed(self) -> int:
        """Return the seed that the generator was started from."""
        return self._seed

    def seed(self) -> int:
        """Restart from a seed of the operating system; returns the seed."""
        number = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(number)
        return number

    def state(self) -> Tensor:
        """Return the state on the device: key low, key high, counter low, counter high."""
        if self._state is None:
            words = [self._seed & 0xFFFFFFFF, self._seed >> 32, 0, 0]
            with executing():  # the state is no value of a function that is being transformed
                self._state = tensor(words, dtype=dtypes.uint32, device=self.device)
        return self._state

    @property
    def stranded(self) -> bool:
        """Whether the state lies on a device that can no longer be used."""
        device = None if self._state is None else getattr(self._state._data, "device", None)
        return bool(getattr(device, "disposed", False))

    def take(self, count: int) -> tuple[Tensor, int, int]:
        """Take the next ``count`` counters, times the number of samples where a call is mapped over samples.

        Returns:
            The state, and the offset of the first counter from the state's counter, as two 32-bit words.
        """
        drawn_for = samples.get()
        count = count if drawn_for is None else count * drawn_for()
        with self._lock:
            start, self._offset = self._offset, (self._offset + count) % 2**64
            return self.state(), start & 0xFFFFFFFF, start >> 32

    def get_state(self) -> list[int]:
        """Return key and counter as four 32-bit words, from which ``set_state`` continues."""
        with self._lock:
            if self._state is None:  # there is no state on the device yet
                return [
                    word
                    for number in (self._seed, self._offset)
                    for word in (number & 0xFFFFFFFF, number >> 32)
                ]
        self.fold()
        words: list[int] = self.state().tolist()
        return words

    def set_state(self, words: list[int]) -> Generator:
        """Continue from the words that ``get_state`` returned."""
        refuse_tracing("set_state", "set the state before the call")
        if len(words) != 4 or any(not 0 <= word < 2**32 for word in words):
            raise ArgumentError(mistake("set_state", "words", words, "four integers of 32 bits"))
        with self._lock, executing():
            self._seed, self._offset = words[0] | words[1] << 32, 0
            self._state = tensor(list(words), dtype=dtypes.uint32, device=self.device)
        return self

    def standing(self) -> tuple[Tensor | None, int]:
        """Return the state, and how many counters were taken since the state was written."""
        with self._lock:
            return self._state, self._offset

    @contextmanager
    def rewound(self, state: Tensor, offset: int) -> Iterator[None]:
        """Draw from an earlier position within this context; afterwards continue from the present position."""
        with self._lock:
            before = self._state, self._offset
            self._state, self._offset = state, offset
        try:
            yield
        finally:
            with self._lock:
                self._state, self._offset = before

    def step_back(self, offset: int) -> None:
        """Return to the position at which ``offset`` counters were taken since the state was written."""
        with self._lock:
            self._offset = offset

    def give_back(self) -> int:
        """Return how many counters were taken since the state was written, and reset the host's count to 0."""
        with self._lock:
            taken, self._offset = self._offset, 0
            return taken

    def fold(self) -> None:
        """Add the host's count to the counter in the state on the device."""
        offset = self.give_back()
        if offset:
            with self._lock:
                state = self.state()
                bind(OPS["random_advance"], state, offset & 0xFFFFFFFF, offset >> 32, into=(state,))


_alive: WeakSet[Generator] = WeakSet()
_defaults: dict[str, Generator] = {}
_defaults_lock = threading.Lock()
_current_seed = int.from_bytes(os.urandom(8), "little")
_override: ContextVar[Generator | None] = ContextVar("weft_generator", default=None)


@contextmanager
def drawing_from(generator: Generator) -> Iterator[None]:
    """Within this context, draw from ``generator`` on its device where a random function is given no generator."""
    token = _override.set(generator)
    try:
        yield
    finally:
        _override.reset(token)


def default_generator(device: str | None = None) -> Generator:
    """Return the generator that random functions on a device use by default."""
    name = (devices.default() if device is None else devices.open(device)).name
    other = _override.get()
    if other is not None and other.device == name:
        return other
    with _defaults_lock:
        if name not in _defaults:
            _defaults[name] = Generator(name)._start(_current_seed)
        return _defaults[name]


def order_generator() -> Generator:
    """Return the default generator for the order of data, which draws on the host and is not a device's.

    The order depends on the seed alone, not on the device of a model or on earlier draws there.
    """
    with _defaults_lock:
        if "order" not in _defaults:
            _defaults["order"] = Generator("cpu").manual_seed(_current_seed)
        return _defaults["order"]


@lazily_checked
def manual_seed(seed: Seed) -> Generator:
    """Seed the generators of all devices; returns the generator of the default device.

    >>> import weft as wf
    >>> _ = wf.manual_seed(0)
    >>> a = wf.rand(2)
    >>> _ = wf.manual_seed(0)
    >>> bool((wf.rand(2) == a).all())
    True
    """
    global _current_seed
    number = integer("manual_seed", "seed", seed) % 2**_SEED_BITS
    with _defaults_lock:
        _current_seed = number
        for generator in _defaults.values():
            generator.manual_seed(number)
    return default_generator()


def initial_seed() -> int:
    """Return the seed that the default generators were started from."""
    return _current_seed


def seed() -> int:
    """Seed the generators of all devices from the operating system's random numbers; returns the seed."""
    number = int.from_bytes(os.urandom(8), "little")
    manual_seed(number)
    return number


def all_generators() -> list[Generator]:
    """Return all existing generators, without those whose state lies on a lost or disposed device."""
    return [generator for generator in _alive if not generator.stranded]


def default_generators() -> dict[str, Generator]:
    """Return the default generators by device, and that of the order of data as ``"order"``."""
    with _defaults_lock:
        return {name: generator for name, generator in _defaults.items() if not generator.stranded}


def set_default_generators(states: Mapping[str, Sequence[int]]) -> None:
    """Continue all default generators from states; those of devices that do not exist here are left out.

    Raises ``ArgumentError`` for an invalid state; nothing changes then.
    """
    generators = {}
    for name, words in states.items():
        if len(words) != 4 or any(type(word) is not int or not 0 <= word < 2**32 for word in words):
            raise ArgumentError(mistake("set_default_generators", name, words, "four integers of 32 bits"))
        with suppress(DeviceError):
            generators[name] = order_generator() if name == "order" else default_generator(name)
    for name, generator in generators.items():
        generator.set_state(list(states[name]))


def is_default(generator: Generator) -> bool:
    """Return whether a generator is a default generator."""
    return any(default is generator for default in _defaults.values())

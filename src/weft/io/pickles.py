"""An interpreter for pickles that reads plain values and calls only the functions of a given table.

A pickle is a program for a stack machine (``pickletools`` documents and parses it). Most of its instructions build
numbers, texts and containers. ``GLOBAL`` with ``REDUCE`` calls any function of any module, and so Python's reader runs
code. Here a global is looked up in a table; a name that is not in the table is refused.
"""

from __future__ import annotations

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import IO, Any

from weft.errors import FormatError, WeftError, mistake

MOST_CONTAINED = 50_000_000
"""The most instructions of a pickle, each at least a byte. A state dict of a million tensors has some 50 million."""

KEYS = (str, int, float, bool, bytes, type(None))
"""Types of keys and set members: hashing a nested tuple may take time exponential in the size of its pickle."""


class Mark:
    """The marker that ``MARK`` pushes on the stack."""


MARK = Mark()

PUSHES = frozenset(
    "INT LONG BININT BININT1 BININT2 LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 "
    "STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: Mapping[str, Callable[[], Any]] = {
    "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set,
}  # fmt: skip
TUPLES: Mapping[str, int] = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = frozenset(("PROTO", "FRAME", "STOP"))


class Global:
    """A function of the table with its name; ``REDUCE`` calls it."""

    def __init__(self, name: str, value: Any) -> None:
        self.name, self.value = name, value


class Machine:
    """Reads one pickle from a stream.

    Args:
        where: the file's name in messages.
        names: values and functions by ``module.name``. A function is called with the arguments in the pickle, and
            raises ``FormatError`` for arguments that do not fit.
        persistent: returns the object of a persistent identifier.
        refused: the last part of the message for a name that is not in the table.
    """

    def __init__(
        self,
        where: str,
        names: Mapping[str, Any],
        persistent: Callable[[Any], Any] | None = None,
        refused: str = "",
    ) -> None:
        self.where, self.names, self.persistent, self.refused = where, names, persistent, refused
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def load(self, stream: IO[bytes]) -> Any:
        """Return the value of the pickle at the stream's position; the stream is then at the end of the pickle.

        Raises:
            FormatError: for bytes that are not a pickle, and for a name that is not in the table.
        """
        self.stack, self.memo = [], {}
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
                if count > MOST_CONTAINED:
                    raise FormatError(
                        mistake(self.where, "the pickle", "longer", f"at most {MOST_CONTAINED} instructions")
                    )
                self._run(opcode.name, argument)
            (value,) = self.stack
        except WeftError:
            raise
        except (
            ValueError,
            TypeError,
            IndexError,
            KeyError,
            AttributeError,
            OverflowError,
            MemoryError,
        ) as error:
            raise FormatError(f"{self.where} is no pickle that can be read ({str(error)[:200]})") from None
        return self._plain(value)

    def _run(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in PUSHES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in TUPLES:
            count = TUPLES[name]
            items = tuple(self._plain(item) for item in stack[len(stack) - count :])
            if len(items) != count:
                raise IndexError("the stack is empty")
            del stack[-count:]
            stack.append(items)
        elif name == "MARK":
            stack.append(MARK)
        elif name not in IGNORED:
            step = getattr(self, f"_{name.lower()}", None)
            if step is None:
                raise FormatError(
                    mistake(self.where, "the pickle's instruction", name, "one of plain values", self.refused)
                )
            step(argument)

    # A method for each instruction, with the name that pickletools gives it.

    def _tuple(self, _: None) -> None:
        self.stack.append(tuple(self._marked()))

    def _list(self, _: None) -> None:
        self.stack.append(self._marked())

    def _dict(self, _: None) -> None:
        items = self._marked()
        self.stack.append({})
        self._store(self.stack[-1], items)

    def _frozenset(self, _: None) -> None:
        self.stack.append(frozenset(self._keys(self._marked())))

    def _append(self, _: None) -> None:
        item = self._plain(self.stack.pop())
        self._top(list).append(item)

    def _appends(self, _: None) -> None:
        items = self._marked()
        self._top(list).extend(items)

    def _setitem(self, _: None) -> None:
        value, key = self._plain(self.stack.pop()), self.stack.pop()
        self._store(self._top(dict), [key, value])

    def _setitems(self, _: None) -> None:
        items = self._marked()
        self._store(self._top(dict), items)

    def _additems(self, _: None) -> None:
        items = self._marked()
        self._top(set).update(self._keys(items))

    def _pop(self, _: None) -> None:
        self.stack.pop()

    def _pop_mark(self, _: None) -> None:
        self._marked()

    def _dup(self, _: None) -> None:
        self.stack.append(self.stack[-1])

    def _put(self, argument: Any) -> None:
        self.memo[int(argument)] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, argument: Any) -> None:
        self.stack.append(self.memo[int(argument)])

    _binget = _long_binget = _get

    def _global(self, argument: str) -> None:
        self._find(argument.replace(" ", "."))

    def _stack_global(self, _: None) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._find(f"{module}.{name}")

    def _find(self, name: str) -> None:
        if name not in self.names:
            raise FormatError(
                mistake(self.where, "a part of it", f"of the class or function {name[:120]!r}",
                        "tensors, numbers, texts, and dicts, lists, tuples and sets of these", self.refused)
            )  # fmt: skip
        value = self.names[name]
        self.stack.append(Global(name, value) if callable(value) else value)

    def _reduce(self, _: None) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise self._unexpected("a call of a named function", function)
        try:
            self.stack.append(function.value(*arguments))
        except WeftError:
            raise
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            raise FormatError(
                mistake(
                    self.where,
                    f"arguments of {function.name}",
                    repr(error)[:120],
                    "those that PyTorch writes",
                )
            ) from None

    _newobj = _reduce

    def _build(self, _: None) -> None:
        """Drop the attributes of a container (``_metadata`` of a state dict); refuse those of other objects."""
        state = self.stack.pop()
        if not (isinstance(self.stack[-1], OrderedDict) and isinstance(state, dict)):
            raise self._unexpected("a container with attributes", self.stack[-1])

    def _binpersid(self, _: None) -> None:
        identifier = self.stack.pop()
        if self.persistent is None:
            raise self._unexpected("values without persistent identifiers", identifier)
        self.stack.append(self.persistent(identifier))

    def _marked(self) -> list[Any]:
        """Pop the items above the last mark, and the mark."""
        stack = self.stack
        at = len(stack) - 1
        while stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise IndexError("a mark is missing")
        items = [self._plain(item) for item in stack[at + 1 :]]
        del stack[at:]
        return items

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise self._unexpected(f"a {kind.__name__} to add to", self.stack[-1])
        return self.stack[-1]

    def _store(self, target: dict[Any, Any], items: list[Any]) -> None:
        if len(items) % 2:
            raise IndexError("a key without a value")
        target.update(zip(self._keys(items[::2]), items[1::2], strict=True))

    def _keys(self, items: list[Any]) -> list[Any]:
        for item in items:
            if type(item) not in KEYS:
                raise self._unexpected("texts and numbers for keys", item)
        return items

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Mark | Global):
            raise self._unexpected("a value", value)
        return value

    def _unexpected(self, expected: str, value: Any) -> FormatError:
        given = f"{value.name!r}" if isinstance(value, Global) else f"a {type(value).__name__}"
        return FormatError(mistake(self.where, "the pickle's next value", given, expected))

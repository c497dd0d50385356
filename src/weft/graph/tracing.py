"""``Tracing``: the interpreter that appends nodes to a graph instead of computing.

A traced value has strides like an array, so that a program makes the same views and copies as in eager mode. The memory
of a traced value is a *cell*: the graph value that a storage holds at this point of the program. A write through a view
replaces the cell's value by ``update_view`` of the old value; views that are read afterwards are views of the new
value. Captured storages are cells too: their initial value is a state of the graph.
"""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence
from pathlib import Path as FilePath
from types import FrameType
from typing import Any
from weakref import ref

from weft import dtypes
from weft.dtypes import DType
from weft.errors import DeviceError, UnsupportedError, WeftError, mistake
from weft.graph.ir import Atom, Graph, Node, State, Var
from weft.graph.numbers import Number, Promoted, promote, python_type
from weft.ops import OPS, Geometry, Interpreter, OpSpec, TensorType
from weft.ops.registry.functions import user_error
from weft.ops.registry.hosted import refuse_host
from weft.ops.registry.targets import check_targets
from weft.ops.views.ops import Path

_PACKAGE = str(FilePath(__file__).resolve().parents[1])


class Cell:
    """The contents of a storage: its present graph value, its version, and the nodes of views of the present value."""

    __slots__ = ("number", "protected", "var", "version", "views")

    def __init__(self, var: Var, protected: str = "", number: Number | None = None) -> None:
        self.var = var
        self.protected = protected  # the name of the argument, where the cell may not be written
        self.number = number  # the mark of a Python number
        self.version = 0
        self.views: dict[Path, Var] = {}


class Tracer:
    """A traced value: a view of a cell, by its ``path`` of views, with the strides that it would have in eager mode."""

    __slots__ = ("__weakref__", "cell", "device_name", "dtype", "geometry", "path", "tracing")

    def __init__(
        self, tracing: Tracing, cell: Cell, dtype: DType, geometry: Geometry, path: Path, device_name: str
    ) -> None:
        self.tracing = tracing
        self.cell = cell
        self.dtype = dtype
        self.geometry = geometry
        self.path = path
        self.device_name = device_name
        tracing.made.append(ref(self))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        return self.geometry.shape

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides that the value would have in eager mode."""
        return self.geometry.strides

    @property
    def offset(self) -> int:
        """The offset that the value would have in eager mode."""
        return self.geometry.offset

    @property
    def number(self) -> Number | None:
        """The mark of a value that is a Python number; ``None`` for other values."""
        return None if self.geometry.shape else self.cell.number

    @property
    def alias(self) -> Cell:
        """The identity that all views of one storage share."""
        return self.cell

    @property
    def version(self) -> int:
        """The number of in-place writes to the storage."""
        return self.cell.version

    def __repr__(self) -> str:
        return f"<traced {self.dtype.name}{list(self.shape)}>"


class Tracing:
    """Records one program: create inputs by ``input``, run the program under this interpreter, then call ``graph``."""

    executes = False
    records = True

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._count = 0
        self._inputs: list[Var] = []
        # by identity of the storage, which is kept alive
        self._captured: dict[int, tuple[Any, Cell, Var]] = {}
        self._bumped: list[Any] = []
        self.made: list[ref[Tracer]] = []
        """Weak references to all traced values; none may outlive the trace."""

    def _var(self, type_: TensorType, device: str) -> Var:
        self._count += 1
        return Var(self._count - 1, type_, device)

    def input(
        self,
        shape: tuple[int, ...],
        dtype: DType,
        device: str,
        protected: str = "",
        number: Number | None = None,
    ) -> Tracer:
        """Return a new input of the graph.

        Args:
            shape: the shape of the input.
            dtype: the element type.
            device: the name of the device.
            protected: the name of the argument, where the input may not be written in place.
            number: the mark of an input that is a Python number.
        """
        var = self._var(TensorType(shape, dtype), device)
        self._inputs.append(var)
        return Tracer(self, Cell(var, protected, number), dtype, Geometry.contiguous(shape), (), device)

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Record an op; the ``into`` values, traced or captured, hold its outputs afterwards."""
        if op.view is not None and into is None:
            return (self._view(op, self._lift(operands[0]), attributes),)
        if op.name == "transfer":
            raise UnsupportedError(
                f"transfer: to {attributes['device']} in a trace, expected tensors of one device; move tensors outside "
                f"of the trace"
            )
        if op.host:
            refuse_host(op.name)
        lifted = [self._lift(o) for o in operands]
        vars_ = [self._read(o) if isinstance(o, Tracer) else o for o in lifted]
        numbers = [o.number if isinstance(o, Tracer) else None for o in lifted]
        promoted: Promoted | None = None
        if any(numbers):
            promoted = promote(op, vars_, numbers, attributes, self._cast)
            results, vars_ = promoted.results, list(promoted.operands)
        else:
            results = self._types(op, vars_, attributes)
        targets = None if into is None else [self._lift(target) for target in into]
        if targets is not None:
            check_targets(op, results, targets)
            for target in targets:
                if target.cell.protected:
                    raise UnsupportedError(
                        f"{op.name}: {target.cell.protected} is written in place in a jitted function, expected "
                        f"arguments to be left as they are; clone() it, donate it, or reach it by closure"
                    )
        device = self._device(op, [*lifted, *(targets or ())], attributes)
        number = None
        if promoted is None:
            outputs = self._append(op, vars_, attributes, results, device)
        else:
            made = self._append(op, vars_, attributes, promoted.computed, device)
            outputs = tuple([self._cast(var, t.dtype) for var, t in zip(made, results, strict=True)])
            number = promoted.number
        if targets is None:
            return tuple(
                Tracer(self, Cell(var, number=number), t.dtype, Geometry.contiguous(t.shape), (), device)
                for var, t in zip(outputs, results, strict=True)
            )
        for target, original, var in zip(targets, into or (), outputs, strict=True):
            self._write(target, var)
            if target is not original:
                original.alias.version += 1  # the tape checks saved tensors by the version of their storage
                self._bumped.append(original.alias)
        assert into is not None
        return into

    def _types(
        self, op: OpSpec, operands: Sequence[Atom], attributes: dict[str, Any]
    ) -> tuple[TensorType, ...]:
        types = [
            v.type if isinstance(v, Var) else TensorType((), dtypes.of_scalar(v), True) for v in operands
        ]
        try:
            return op.infer(*types, **attributes)
        except WeftError as error:
            raise user_error(error, op) from None

    def _cast(self, value: Var, dtype: DType) -> Var:
        """Return a value cast to a type; the value itself where it has the type."""
        if value.type.dtype is dtype:
            return value
        cast = {"dtype": dtype}
        (made,) = self._append(
            OPS["cast"], (value,), cast, OPS["cast"].infer(value.type, **cast), value.device
        )
        return made

    def _append(
        self,
        op: OpSpec,
        inputs: Sequence[Atom],
        attributes: dict[str, Any],
        results: Sequence[TensorType],
        device: str,
    ) -> tuple[Var, ...]:
        outputs = tuple(self._var(t, device) for t in results)
        self._nodes.append(Node(op.name, tuple(inputs), outputs, tuple(attributes.items()), call_site()))
        return outputs

    def _view(self, op: OpSpec, source: Tracer, attributes: dict[str, Any]) -> Tracer:
        assert op.view is not None
        try:
            geometry = op.view(source.geometry, **attributes)
        except WeftError as error:
            raise user_error(error, op) from None
        if geometry is None:  # strides cannot express it: a copy, then the view
            (dense,) = self.process(OPS["copy"], (source,), {}, None, ())
            return self._view(op, dense, attributes)
        step = (op.name, tuple(attributes.items()))
        return Tracer(self, source.cell, source.dtype, geometry, (*source.path, step), source.device_name)

    def _read(self, value: Tracer) -> Var:
        """Return the present graph value of a view; missing nodes of its path are appended."""
        cell, var = value.cell, value.cell.var
        for length in range(1, len(value.path) + 1):
            path = value.path[:length]
            known = cell.views.get(path)
            if known is None:
                name, attributes = path[-1]
                op, options = OPS[name], dict(attributes)
                (known,) = self._append(op, (var,), options, op.infer(var.type, **options), value.device_name)
                cell.views[path] = known
            var = known
        return var

    def _write(self, target: Tracer, value: Var) -> None:
        cell = target.cell
        value = self._cast(value, target.dtype)
        if target.path:
            update, options = OPS["update_view"], {"path": target.path}
            types = update.infer(cell.var.type, value.type, **options)
            (value,) = self._append(update, (cell.var, value), options, types, value.device)
        cell.var = value
        cell.version += 1
        cell.views.clear()

    def traced(self, value: Any) -> Any:
        """Return a value as a traced value; an array from outside becomes a view of its storage's cell."""
        return self._lift(value)

    def _lift(self, value: Any) -> Any:
        """Return traced values and scalars unchanged, and an array from outside as a view of its storage's cell."""
        if isinstance(value, Tracer):
            if value.tracing is not self:
                raise UnsupportedError(
                    "a traced tensor is used outside of its trace, expected a tensor with a value; return it from the "
                    "traced function"
                )
            return value
        if isinstance(value, bool | int | float):
            return value
        storage, geometry = value.alias, value.geometry
        known = self._captured.get(id(storage))
        if known is None:
            elements = storage.size // value.device.itemsize(value.dtype)
            whole = geometry.is_contiguous and geometry.offset == 0 and geometry.numel == elements
            shape = value.shape if whole else (elements,)
            var = self._var(TensorType(shape, value.dtype), value.device_name)
            known = self._captured[id(storage)] = (value, Cell(var), var)
        _, cell, var = known
        if value.dtype is not var.type.dtype:
            raise UnsupportedError(f"a storage is traced as {var.type.dtype.name} and as {value.dtype.name}")
        path: Path = ()
        if geometry != Geometry.contiguous(var.type.shape):
            named = (("shape", geometry.shape), ("strides", geometry.strides), ("offset", geometry.offset))
            path = (("strided", named),)
        return Tracer(self, cell, value.dtype, geometry, path, value.device_name)

    def _device(self, op: OpSpec, values: Sequence[Any], attributes: dict[str, Any]) -> str:
        names = {value.device_name for value in values if isinstance(value, Tracer)}
        if len(names) > 1:
            raise DeviceError(
                mistake(op.name, "operands", f"on {' and '.join(sorted(names))}", "on one device")
            )
        return names.pop() if names else str(attributes["device"])

    def outputs(self, values: Sequence[Any]) -> list[Atom]:
        """Return the present graph values of results."""
        lifted = [self._lift(value) for value in values]
        return [self._result(value) if isinstance(value, Tracer) else value for value in lifted]

    def _result(self, value: Tracer) -> Var:
        """Return the graph value of a result; a Python number becomes a tensor of its default type."""
        found = self._read(value)
        if value.number is None or found.type.dtype.kind == "bool":
            return found
        return self._cast(found, python_type(found.type.dtype))

    def graph(self, outputs: Sequence[Atom], constants: Container[int] = ()) -> Graph:
        """Return the recorded graph; ``DeviceError`` where its values are on several devices.

        Args:
            outputs: the graph values of the results.
            constants: the ids of storages whose writes are dropped, so that their final value is the initial value.
        """
        states = tuple(
            State(var, var if key in constants else cell.var)
            for key, (_, cell, var) in self._captured.items()
        )
        found = {var.device for var in (*self._inputs, *(state.initial for state in states))}
        found |= {var.device for node in self._nodes for var in node.outputs}
        if len(found) > 1:
            raise DeviceError(
                mistake("trace", "the program's tensors", f"on {' and '.join(sorted(found))}", "on one device",
                        "move them before the call, or trace a function for each device")
            )  # fmt: skip
        return Graph(tuple(self._inputs), states, tuple(self._nodes), tuple(outputs))

    def restore_versions(self) -> None:
        """Restore the version counters of captured storages, since a trace writes no memory."""
        for alias in self._bumped:
            alias.version -= 1
        self._bumped.clear()

    def written(self) -> list[tuple[Any, bool]]:
        """Return for each state the first array seen on its storage, and whether the program wrote the storage."""
        return [(first, cell.var is not var) for first, cell, var in self._captured.values()]

    def writes(self, value: Any) -> bool:
        """Return whether the program wrote the storage of a captured array."""
        known = self._captured.get(id(value.alias))
        return known is not None and known[1].var is not known[2]

    def captured(self) -> list[Any]:
        """Return for each state the first array seen on its storage."""
        return [first for first, _, _ in self._captured.values()]


def call_site() -> str:
    """Return the file and line of the nearest caller outside of weft."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_own(frame):
        frame = frame.f_back
    return "unknown" if frame is None else _site(frame, frame.f_lineno)


def failing_site(error: BaseException) -> str:
    """Return the innermost file and line outside of weft of an error's traceback; else of the nearest caller."""
    site, step = call_site(), error.__traceback__
    while step is not None:
        if not _is_own(step.tb_frame):
            site = _site(step.tb_frame, step.tb_lineno)
        step = step.tb_next
    return site


def _is_own(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith((_PACKAGE, "<frozen"))


def _site(frame: FrameType, line: int) -> str:
    return f"{FilePath(frame.f_code.co_filename).name}:{line}"

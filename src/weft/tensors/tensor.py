"""``Tensor``: the handle that users hold. Its value is an ``Array`` on a device, or a traced value.

Most methods come from the op table (``methods.py``), shape and place from ``described.py``, gradients from
``gradients.py``, values on the host from ``values.py``, other types and devices from ``conversion.py``; here is what is
about the handle itself: history, memory, in-place writes and indexing.
"""

from __future__ import annotations

import builtins
import weakref
from copy import deepcopy
from functools import partial
from typing import Any, ClassVar, NamedTuple

from weft import devices
from weft.autograd.hooks import LeafHooks
from weft.autograd.mode import is_enabled
from weft.autograd.node import Accumulator, Edge
from weft.dtypes import DType
from weft.errors import (
    ArgumentTypeError,
    DTypeError,
    GradError,
    ShapeError,
    UnsupportedError,
    mistake,
)
from weft.ops import OPS, bind
from weft.ops.index.advanced import get as get_items
from weft.ops.index.advanced import is_basic
from weft.ops.index.advanced import set_ as set_items
from weft.ops.pointwise.masked import Selection
from weft.ops.registry.arguments import representable
from weft.ops.registry.interpreters import adopted, untouched
from weft.ops.registry.signatures import checked
from weft.ops.registry.targets import shared_memory
from weft.ops.views.movement import basic_index, select
from weft.tensors import host, taken
from weft.tensors.alike import Alike
from weft.tensors.array import Array
from weft.tensors.conversion import Conversions
from weft.tensors.described import Described
from weft.tensors.drawing import Drawing
from weft.tensors.gradients import Gradients
from weft.tensors.methods import TensorMethods
from weft.tensors.turning import Turning
from weft.tensors.values import HostValues
from weft.tensors.watch import watcher


class View(NamedTuple):
    """What a view is a view of, by which ops; ``untracked``: made under ``no_grad``."""

    base: Tensor
    path: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    untracked: bool


class Tensor(Described, Gradients, HostValues, Conversions, Alike, Drawing, Turning, TensorMethods):
    """A multi-dimensional array of one element type on one device, with optional gradient history.

    Make one with ``weft.tensor``, ``zeros``, ``randn`` …; operators and methods mean what PyTorch's mean. Calling the
    class takes sizes, for undefined contents, or data, as float32. Attributes may be set (``p.no_decay = True``).
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_accumulator",
        "_data",
        "_edge",
        "_generation",
        "_grad",
        "_hooks",
        "_leaf_requires_grad",
        "_view",
    )

    __array_ufunc__ = None  # NumPy's operators leave it to the tensor's, which give tensors

    _data: Any
    _edge: Edge | None
    _view: View | None
    _generation: int
    _leaf_requires_grad: bool
    _accumulator: weakref.ref[Accumulator] | None
    _grad: Tensor | None
    _hooks: LeafHooks  # absent until a hook is registered
    _copies_grad: ClassVar[bool] = True
    """Whether a deep copy has a copy of the gradient."""

    def __new__(cls, *arguments: Any, device: str | None = None) -> Tensor:
        """See the class; ``wrap`` is what functions make tensors by."""
        from weft.dtypes import float32
        from weft.tensors.legacy import made

        return made(float32, arguments, device)

    @classmethod
    def wrap(cls, data: Any, edge: Edge | None = None) -> Tensor:
        """A tensor around a raw value; for the interpreters."""
        made = object.__new__(cls)
        made._data = data
        made._edge = edge
        made._view = None
        made._generation = 0
        made._leaf_requires_grad = False
        made._accumulator = None
        made._grad = None
        return made

    # History.

    @property
    def edge(self) -> Edge | None:
        """Where the tensor came from on the tape; ``None`` where no gradient can reach it."""
        view = self._view
        if view is not None and self._generation != view.base._generation:
            from weft.autograd.tape import rebuild_view_edge

            rebuild_view_edge(self)
        if self._edge is not None:
            return self._edge
        if not self._leaf_requires_grad:
            return None
        accumulator = None if self._accumulator is None else self._accumulator()
        if accumulator is None:
            accumulator = Accumulator(self)
            self._accumulator = weakref.ref(accumulator)
        return Edge(accumulator, 0)

    @property
    def requires_grad(self) -> bool:
        """Whether operations on the tensor are recorded for ``backward``."""
        return self._leaf_requires_grad or self.edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Record operations on this leaf from now on, or stop; gives the tensor."""
        if self.edge is not None and self._edge is not None:
            if requires_grad:
                return self
            raise GradError("requires_grad_: the tensor has a history, expected a leaf; use detach()")
        if requires_grad and self.dtype.kind != "float":
            raise DTypeError(
                mistake("requires_grad_", "the tensor's dtype", self.dtype.name, "a floating point type")
            )
        self._leaf_requires_grad = bool(requires_grad)
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor was not computed from tensors that require grad."""
        return self.edge is None or self._edge is None

    @property
    def grad_fn(self) -> Any:
        """The recorded operation that made the tensor, ``None`` for a leaf."""
        return None if self.edge is None or self._edge is None else self._edge.node

    def detach(self) -> Tensor:
        """A tensor on the same memory without history."""
        detached = getattr(self._data, "detached", None)
        made = Tensor.wrap(self._data if detached is None else detached())
        watch = watcher.get()
        if watch is not None and type(self._data) is Array:
            watch.detached(self, made)
        return made

    def detach_(self) -> Tensor:
        """Forget the tensor's history; gives the tensor. Raises ``GradError`` for a view."""
        if self._view is not None and not self.is_leaf:
            raise GradError("detach_: the tensor is a view, whose history is its base's; use detach()")
        self._edge = None
        self._leaf_requires_grad = False
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without history, as ``detach()``; assigning replaces the tensor's memory."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(mistake("data", "the value", f"a {type(value).__name__}", "a Tensor"))
        if self._view is not None or self._edge is not None:
            state = "a view" if self._view is not None else "computed"
            if value.shape != self.shape or value.dtype is not self.dtype:
                raise ShapeError(
                    mistake(
                        "data",
                        "the value",
                        f"{value.dtype.name}{list(value.shape)}",
                        f"{self.dtype.name}{list(self.shape)}, as the tensor is {state}",
                    )
                )
        if self._leaf_requires_grad and value.dtype.kind != "float":
            raise DTypeError(
                mistake("data", "the value's dtype", value.dtype.name, "a floating point type",
                        "the tensor requires grad")
            )  # fmt: skip
        if type(self._data) is Array and type(value._data) is not Array:
            raise UnsupportedError(
                "data: is assigned a traced tensor, expected an assignment outside of a traced function; "
                "write the elements with copy_() under weft.no_grad()"
            )
        self._data = value._data

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradError("deepcopy: the tensor was computed, expected a leaf; deepcopy tensor.detach()")
        from weft.autograd.mode import grad_mode

        with grad_mode(False):
            copied = type(self).wrap(bind(OPS["copy"], self)._data)
        copied._leaf_requires_grad = self._leaf_requires_grad
        memo[id(self)] = copied
        if self.grad is not None and self._copies_grad:
            copied.grad = deepcopy(self.grad, memo)
        if self.__dict__:
            copied.__dict__.update(deepcopy(self.__dict__, memo))
        return copied

    def __copy__(self) -> Tensor:
        copied = type(self).wrap(self._data, self.edge if not self.is_leaf else None)
        copied._leaf_requires_grad = self._leaf_requires_grad
        copied.__dict__.update(self.__dict__)
        return copied

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        from weft.tensors.exchange import reduce

        return reduce(self)

    def __dlpack__(self, **options: Any) -> Any:
        """A capsule over the tensor's memory on ``cpu``, for ``numpy.from_dlpack`` and the like."""
        from weft.tensors.exchange import to_dlpack

        return to_dlpack(self, **options)

    def __dlpack_device__(self) -> tuple[Any, Any]:
        """DLPack's name of the device; ``DeviceError`` for a tensor that is not on ``cpu``."""
        from weft.tensors.exchange import device_of

        return device_of(self)

    def dispose(self) -> None:
        """Give the memory back now; any later use of it, through this or another view, raises ``DisposedError``."""
        self._array("dispose").storage.dispose()

    # Writing.

    def copy_(self, src: Tensor, non_blocking: builtins.bool = False) -> Tensor:
        """Overwrite the elements with those of ``src``, broadcast and converted; ``src`` may be on another device.

        ``non_blocking`` changes nothing: copies are ordered with what comes after them on either device.
        """
        if not isinstance(src, Tensor):
            raise ArgumentTypeError(
                mistake("copy_", "src", type(src).__name__, "a Tensor", "use fill_ for a number")
            )
        source = src if src.device == self.device else src.to(str(self.device))
        if source.shape != self.shape:
            source = source.broadcast_to(self.shape)
        bind(OPS["cast"], source, dtype=self.dtype, into=(self,))
        return self

    def fill_(self, value: Any) -> Tensor:
        """Overwrite all elements with a number or the value of a 0-d tensor; of an expanded tensor its base's."""
        if isinstance(value, Tensor):
            if value.shape:
                raise ShapeError(
                    mistake(
                        "fill_",
                        "value",
                        f"of shape {tuple(value.shape)}",
                        "a number or a 0-d tensor",
                        "use copy_",
                    )
                )
            self._once().copy_(value)
            return self
        value = host.check_scalar("fill_", value)
        representable("fill_", "value", value, self.dtype)
        target = self._once()
        bind(
            OPS["full"], value, shape=target.shape, dtype=self.dtype, device=str(self.device), into=(target,)
        )
        return self

    def _once(self) -> Tensor:
        """The view without what an expanded dimension repeats: what one value for all elements is written to."""
        strides = self.stride()
        if 0 not in strides:
            return self
        target: Tensor = self
        for dim, (size, stride) in enumerate(zip(self.shape, strides, strict=True)):
            if stride == 0 and size > 1:
                target = target.narrow(dim, 0, 1)
        return target

    def zero_(self) -> Tensor:
        """Overwrite all elements with 0."""
        return self.fill_(0)

    def __getitem__(self, index: Any) -> Tensor:
        data = self._data
        if type(data) is not Array or not untouched() or (is_enabled() and self.requires_grad):
            return self._get(index)
        key = taken.key_of(data, index)
        known = taken.find(key)
        if known is None or data.storage.disposed:
            found = self._get(index)
            if key is not None and found is not self and found._view is not None:
                own = 0 if self._view is None else len(self._view.path)
                taken.remember(key, data, found._data, found._view.path[own:])
            return found
        view = Tensor.wrap(taken.applied(known, data))
        own_view, untracked = self._view, not is_enabled()
        if own_view is None:
            view._view = View(self, known.path, untracked)
            view._generation = self._generation
        else:
            path = (*own_view.path, *known.path)
            view._view = View(own_view.base, path, untracked or own_view.untracked)
            view._generation = own_view.base._generation
        return view

    def _get(self, index: Any) -> Tensor:
        """The elements of an index, by view ops or by gathering."""
        if type(index) is int_type and self._data.shape:
            row: Tensor = select(self, 0, index)
            return row
        found: Tensor = get_items(self, _items(self, index))
        return found

    def __setitem__(self, index: Any, value: Any) -> None:
        items = _items(self, index)
        if not isinstance(value, Tensor | Selection | bool_type | int_type | float_type):
            value = tensor(value, dtype=self.dtype, device=str(self.device))
        if not is_basic(items):
            set_items(self, items, value)
            return
        target: Tensor = basic_index(self, items)
        if not isinstance(value, Tensor):
            if target._once() is not target:
                raise shared_memory("writing to the indexed tensor")  # which PyTorch's fill_ alone does
            target.fill_(value)
            return
        extra = value.ndim - target.ndim
        if extra > 0 and all(size == 1 for size in value.shape[:extra]):
            value = value.reshape(*value.shape[extra:])
        target.copy_(value)


def _items(owner: Tensor, index: Any) -> tuple[Any, ...]:
    """The items of an index expression; lists and NumPy arrays are index tensors, NumPy's numbers Python's."""
    given = index if isinstance(index, tuple) else (index,)
    return tuple([value if isinstance(value, _PLAIN_ITEMS) else _item(owner, value) for value in given])


def _item(owner: Tensor, item: Any) -> Any:
    if isinstance(item, range):
        item = list(item)
    if isinstance(item, list | tuple) or (
        hasattr(item, "__array__") and bool_type(getattr(item, "ndim", False))
    ):
        host_values = host.as_numpy(item)
        if host_values.size == 0 and host_values.dtype.kind == "f" and isinstance(item, list | tuple):
            host_values = host_values.astype("int64")
        return tensor(host_values, device=str(owner.device))
    return item.item() if type(item).__module__ == "numpy" else item


bool_type, int_type, float_type = bool, int, float  # inside the class these names are methods
_PLAIN_ITEMS = (int, slice, type(None), type(Ellipsis), Tensor)


@partial(checked, neutral=("pin_memory",))
def tensor(
    data: Any, *, dtype: DType | None = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """A new tensor with a copy of ``data``: numbers, nested sequences, NumPy arrays or another tensor.

    Python and NumPy float64 become float32 and integers int64 unless ``dtype`` says otherwise. Raises
    ``DTypeError`` for a type that weft or the device lacks, ``ArgumentError`` for ragged sequences.

    >>> import weft as wf
    >>> wf.tensor([[1.0, 2.0], [3.0, 4.0]])
    tensor([[1., 2.],
            [3., 4.]])
    """
    if isinstance(data, Tensor):
        made = data.detach().to(dtype=dtype, device=device, copy=True)
    else:
        target = devices.default() if device is None else devices.open(device)
        made = adopted(Tensor.wrap(host.from_python(data, dtype, target)))
    return made.requires_grad_() if requires_grad else made

"""``Tensor``: the handle that users hold. Its value is an ``Array`` on a device, or a traced value.

Most methods come from the op table (``methods.py``); here is what is about the handle itself: history, views,
conversion to and from host values, in-place writes and indexing.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from weft import devices, dtypes
from weft.autograd.hooks import LeafHooks, RemovableHandle
from weft.autograd.hooks import checked as checked_hook
from weft.autograd.node import Accumulator, Edge
from weft.dtypes import DType
from weft.errors import (
    ArgumentError,
    ArgumentTypeError,
    DTypeError,
    GradError,
    ShapeError,
    UnsupportedError,
    mistake,
)
from weft.ops import OPS, Geometry, bind
from weft.ops.advanced import get as get_items
from weft.ops.advanced import is_basic
from weft.ops.advanced import set_ as set_items
from weft.ops.movement import basic_index
from weft.tensors import host
from weft.tensors.array import Array
from weft.tensors.eager import EAGER
from weft.tensors.methods import TensorMethods


class device(str):
    """The name of a device: ``"cpu"``, ``"webgpu"``, ``"webgpu:0"``, ``"webgpu:software"``.

    >>> import weft as wf
    >>> wf.device("webgpu:0").type, wf.device("webgpu:0").index
    ('webgpu', 0)
    """

    __slots__ = ()

    @property
    def type(self) -> str:
        """The part in front of the colon."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The number behind the colon, where there is one."""
        part = self.partition(":")[2]
        return int(part) if part.isdigit() else None

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


class View(NamedTuple):
    """What a view is a view of, by which ops; ``untracked``: made under ``no_grad``."""

    base: Tensor
    path: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
    untracked: bool


class Tensor(TensorMethods):
    """A multi-dimensional array of one element type on one device, with optional gradient history.

    Make one with ``weft.tensor``, ``zeros``, ``randn`` …; operators and methods mean what PyTorch's mean.
    """

    __slots__ = (
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

    __array_ufunc__ = None  # arithmetic with a NumPy array is a TypeError, not a silent copy to the host

    _data: Any
    _edge: Edge | None
    _view: View | None
    _generation: int
    _leaf_requires_grad: bool
    _accumulator: weakref.ref[Accumulator] | None
    _grad: Tensor | None
    _hooks: LeafHooks  # absent until a hook is registered

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ArgumentTypeError(
            "Tensor is not made by calling the class; use weft.tensor(data) or weft.empty(shape)"
        )

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

    # Shape and type.

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the dimensions."""
        shape: tuple[int, ...] = self._data.shape
        return shape

    @property
    def dtype(self) -> DType:
        """The element type."""
        dtype: DType = self._data.dtype
        return dtype

    @property
    def device(self) -> device:
        """Where the elements live."""
        return device(self._data.device_name)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        from weft.ops.arguments import dimension

        return self.shape[dimension("size", dim, self.ndim)]

    def stride(self, dim: int | None = None) -> Any:
        """How many elements apart neighbours are along each dimension, or along one."""
        strides: tuple[int, ...] = self._data.strides
        return strides if dim is None else strides[dim]

    def storage_offset(self) -> int:
        """Where the first element lies in the storage, in elements."""
        offset: int = self._data.offset
        return offset

    def numel(self) -> int:
        """The number of elements."""
        return Geometry(self.shape, self.shape).numel

    def element_size(self) -> int:
        """Bytes an element takes on its device."""
        return devices.open(str(self.device)).itemsize(self.dtype)

    def is_contiguous(self) -> bool:
        """Whether the elements lie in row-major order without gaps."""
        return Geometry(self.shape, self._data.strides).is_contiguous

    def is_floating_point(self) -> bool:
        """Whether the type is a floating point one."""
        return self.dtype.is_floating_point

    @property
    def T(self) -> Tensor:
        """A view with all dimensions reversed."""
        return self.permute(*reversed(range(self.ndim)))

    @property
    def mT(self) -> Tensor:
        """A view with the last two dimensions exchanged."""
        if self.ndim < 2:
            raise ShapeError(
                mistake("mT", "the tensor", f"{self.ndim}-dimensional", "at least 2-dimensional")
            )
        return self.transpose(-2, -1)

    @property
    def H(self) -> Tensor:
        """A view of a matrix transposed (and conjugated, which changes nothing in real numbers)."""
        if self.ndim not in (0, 2):
            raise ShapeError(
                mistake("H", "the tensor", f"{self.ndim}-dimensional", "a matrix", "use mH for batches")
            )
        return self.T

    @property
    def mH(self) -> Tensor:
        """A view with the last two dimensions exchanged, as ``mT``."""
        return self.mT

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

    @property
    def grad(self) -> Tensor | None:
        """The gradient that ``backward`` added up for this leaf, ``None`` before."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and (value.shape, value.dtype) != (self.shape, self.dtype):
            raise ShapeError(
                mistake(
                    "grad",
                    "the value",
                    f"{value.dtype.name}{list(value.shape)}",
                    f"{self.dtype.name}{list(self.shape)}",
                )
            )
        kept = _kept_grads.get()
        if kept is not None and id(self) not in kept:
            kept[id(self)] = (self, self._grad)
        self._grad = value

    def detach(self) -> Tensor:
        """A tensor on the same memory without history."""
        return Tensor.wrap(self._data)

    @property
    def data(self) -> Tensor:
        """The same memory without history, as ``detach()``; assigning replaces the tensor's memory."""
        return Tensor.wrap(self._data)

    @data.setter
    def data(self, value: Tensor) -> None:
        if value.shape != self.shape or value.dtype is not self.dtype:
            raise ShapeError(
                mistake(
                    "data",
                    "the value",
                    f"{value.dtype.name}{list(value.shape)}",
                    f"{self.dtype.name}{list(self.shape)}",
                )
            )
        self._data = value._data

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:  # fmt: skip
        """Add the gradients of this tensor to ``.grad`` of the leaves that it depends on."""
        from weft.autograd.engine import backward

        backward(self, gradient, retain_graph, create_graph, inputs)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf tensor in ``.grad`` when ``backward`` passes it."""
        if self.edge is None:
            raise GradError(
                mistake("retain_grad", "the tensor", "without requires_grad", "one that requires grad")
            )
        if self._edge is not None and not isinstance(self._edge.node, Accumulator):
            self._edge.node.retains[self._edge.output] = weakref.ref(self)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(grad)`` whenever the gradient of this tensor is known; what it gives replaces the gradient.

        Hooks run in the order of registration, before ``.grad`` is written. The handle's ``remove()`` takes it away.

        >>> import weft as wf
        >>> x = wf.tensor([1.0, 2.0], requires_grad=True)
        >>> handle = x.register_hook(lambda grad: grad * 10)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([20., 40.])
        """
        edge = self.edge
        if edge is None:
            raise GradError(
                mistake("register_hook", "the tensor", "without requires_grad", "one that requires grad")
            )
        function = checked_hook("register_hook", hook)
        if isinstance(edge.node, Accumulator):
            return RemovableHandle(self._leaf_hooks().before, function)
        if edge.node.hooks is None:
            edge.node.hooks = {}
        return RemovableHandle(edge.node.hooks.setdefault(edge.output, {}), function)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call ``hook(tensor)`` whenever a backward pass has added to ``.grad`` of this leaf."""
        if not self._leaf_requires_grad or not self.is_leaf:
            raise GradError(
                mistake("register_post_accumulate_grad_hook", "the tensor", "computed, or without requires_grad",
                        "a leaf that requires grad")
            )  # fmt: skip
        function = checked_hook("register_post_accumulate_grad_hook", hook)
        return RemovableHandle(self._leaf_hooks().after, function)

    def _leaf_hooks(self) -> LeafHooks:
        if getattr(self, "_hooks", None) is None:
            self._hooks = LeafHooks()
        return self._hooks

    def _retained_grad(self, value: Tensor) -> None:
        self.grad = value if self.grad is None else self.grad + value

    # Host values.

    def _array(self, where: str) -> Array:
        """The array behind the handle; an error for a traced tensor, whose value does not exist yet."""
        if type(self._data) is not Array:
            raise UnsupportedError(
                f"{where}: the tensor is being traced and has no value yet, expected a tensor outside of a traced "
                f"function; return it from the function and read it there"
            )
        return self._data

    def numpy(self) -> Any:
        """The elements as a NumPy array: shared memory on ``cpu``, a copy elsewhere. Waits for the device.

        A tensor that requires grad must be detached first.
        """
        if self.requires_grad:
            raise GradError(
                "numpy: the tensor requires grad, expected one without; use tensor.detach().numpy()"
            )
        return host.to_numpy(self._array("numpy"), EAGER)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        result = self.numpy()
        if dtype is not None and result.dtype != dtype:
            return result.astype(dtype)
        return result.copy() if copy else result

    def item(self) -> bool | int | float:
        """The value of a tensor of one element, as a Python number. Waits for the device."""
        if self.numel() != 1:
            raise ShapeError(
                mistake("item", "the tensor", f"of shape {self.shape}", "one element", "use tolist()")
            )
        value: bool | int | float = host.to_numpy(self._array("item"), EAGER).item()
        return value

    def tolist(self) -> Any:
        """The elements as nested Python lists (a number for a 0-d tensor)."""
        return host.to_numpy(self._array("tolist"), EAGER).tolist()

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ArgumentError(
                f"bool: a tensor of shape {self.shape} has no single truth value, expected one element; "
                f"use any() or all()"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if not self.dtype.is_integer:
            raise ArgumentTypeError(
                mistake("index", "the tensor's dtype", self.dtype.name, "an integer type")
            )
        return int(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise ArgumentTypeError("len: the tensor is 0-dimensional, expected at least 1 dimension")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise ArgumentTypeError(
                "iter: the tensor is 0-dimensional, expected at least 1 dimension; use item()"
            )
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        from weft.tensors.printing import text

        return text(self)

    def __format__(self, spec: str) -> str:
        return (
            format(self.item(), spec)
            if spec and self.numel() == 1
            else repr(self)
            if not spec
            else object.__format__(self, spec)
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GradError("deepcopy: the tensor was computed, expected a leaf; deepcopy tensor.detach()")
        from weft.autograd.mode import grad_mode

        with grad_mode(False):
            copied = type(self).wrap(bind(OPS["copy"], self)._data)
        copied._leaf_requires_grad = self._leaf_requires_grad
        memo[id(self)] = copied
        if self.grad is not None:
            copied.grad = self.grad.__deepcopy__(memo)
        return copied

    def __copy__(self) -> Tensor:
        copied = type(self).wrap(self._data, self.edge if not self.is_leaf else None)
        copied._leaf_requires_grad = self._leaf_requires_grad
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

    # Conversion.

    def to(
        self, *args: Any, dtype: DType | None = None, device: str | None = None, copy: bool = False
    ) -> Tensor:
        """The tensor with another data type, on another device, or both; itself where nothing changes.

        ``to(wf.float16)``, ``to("cpu")``, ``to("webgpu", wf.int32)``, ``to(other)``.
        """
        for argument in args:
            if isinstance(argument, DType):
                dtype = argument
            elif isinstance(argument, Tensor):
                dtype, device = argument.dtype, str(argument.device)
            elif isinstance(argument, str):
                device = argument
            elif argument is not None:
                raise ArgumentTypeError(
                    mistake("to", "argument", repr(argument), "a dtype, a device or a tensor")
                )
        result = self
        wanted = None if device is None else devices.open(device)
        moves = wanted is not None and wanted.name != str(self.device)
        if wanted is not None and moves and dtype is not None and not wanted.supports(self.dtype):
            result = bind(OPS["cast"], result, dtype=dtype)  # float64 becomes what the other device has first
        if wanted is not None and moves:
            result = bind(OPS["transfer"], result, device=wanted.name, source=str(self.device))
        if dtype is not None and result.dtype is not dtype:
            from weft.ops.arguments import data_type

            result = bind(OPS["cast"], result, dtype=data_type("to", dtype))
        return bind(OPS["copy"], result) if copy and result is self else result

    def cpu(self) -> Tensor:
        """The tensor on ``cpu``."""
        return self.to("cpu")

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor with the data type of another."""
        return self.to(other.dtype)

    def float(self) -> Tensor:
        """The tensor as float32."""
        return self.to(dtypes.float32)

    def double(self) -> Tensor:
        """The tensor as float64."""
        return self.to(dtypes.float64)

    def half(self) -> Tensor:
        """The tensor as float16."""
        return self.to(dtypes.float16)

    def bfloat16(self) -> Tensor:
        """The tensor as bfloat16."""
        return self.to(dtypes.bfloat16)

    def long(self) -> Tensor:
        """The tensor as int64."""
        return self.to(dtypes.int64)

    def int(self) -> Tensor:
        """The tensor as int32."""
        return self.to(dtypes.int32)

    def bool(self) -> Tensor:
        """The tensor as bool: what is nonzero is True."""
        return self.to(dtypes.bool_)

    def view_as(self, other: Tensor) -> Tensor:
        """A view with the shape of another tensor."""
        return self.view(*other.shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        """The tensor with the shape of another."""
        return self.reshape(*other.shape)

    def expand_as(self, other: Tensor) -> Tensor:
        """A view repeated to the shape of another tensor."""
        return self.expand(*other.shape)

    # Writing.

    def copy_(self, src: Tensor) -> Tensor:
        """Overwrite the elements with those of ``src``, broadcast and converted; ``src`` may be on another device."""
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
        """Overwrite all elements with a number."""
        if isinstance(value, Tensor):
            return self.copy_(value)
        bind(OPS["full"], value, shape=self.shape, dtype=self.dtype, device=str(self.device), into=(self,))
        return self

    def zero_(self) -> Tensor:
        """Overwrite all elements with 0."""
        return self.fill_(0)

    def __getitem__(self, index: Any) -> Tensor:
        found: Tensor = get_items(self, _items(self, index))
        return found

    def __setitem__(self, index: Any, value: Any) -> None:
        items = _items(self, index)
        if not isinstance(value, Tensor | bool_type | int_type | float_type):
            value = tensor(value, dtype=self.dtype, device=str(self.device))
        if not is_basic(items):
            set_items(self, items, value)
            return
        target: Tensor = basic_index(self, items)
        if not isinstance(value, Tensor):
            target.fill_(value)
            return
        extra = value.ndim - target.ndim
        if extra > 0 and all(size == 1 for size in value.shape[:extra]):
            value = value.reshape(*value.shape[extra:])
        target.copy_(value)


def _items(owner: Tensor, index: Any) -> tuple[Any, ...]:
    """The items of an index expression; lists and NumPy arrays are index tensors, NumPy's numbers Python's."""
    given = index if isinstance(index, tuple) else (index,)
    return tuple([one if isinstance(one, _PLAIN_ITEMS) else _item(owner, one) for one in given])


def _item(owner: Tensor, item: Any) -> Any:
    if isinstance(item, list | tuple) or (
        hasattr(item, "__array__") and bool_type(getattr(item, "ndim", False))
    ):
        host_values = host.as_numpy(item)
        if host_values.size == 0 and host_values.dtype.kind == "f" and isinstance(item, list | tuple):
            host_values = host_values.astype("int64")
        return tensor(host_values, device=str(owner.device))
    return item.item() if type(item).__module__ == "numpy" else item


_kept_grads: ContextVar[dict[int, tuple[Tensor, Tensor | None]] | None] = ContextVar(
    "weft_kept_grads", default=None
)


@contextmanager
def keeping_grads() -> Iterator[None]:
    """At its end every ``.grad`` is what it was before: gradients made in a trace are values of the graph only."""
    kept: dict[int, tuple[Tensor, Tensor | None]] = {}
    token = _kept_grads.set(kept)
    try:
        yield
    finally:
        _kept_grads.reset(token)
        for tensor_, before in kept.values():
            tensor_._grad = before


bool_type, int_type, float_type = bool, int, float  # inside the class these names are methods
_PLAIN_ITEMS = (int, slice, type(None), type(Ellipsis), Tensor)


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
        made = Tensor.wrap(host.from_python(data, dtype, target))
    return made.requires_grad_() if requires_grad else made

"""``Indexing``: the part of ``Tensor`` that reads and writes elements by an index expression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weft.autograd.base import TensorBase, View, is_tensor
from weft.autograd.mode import is_enabled
from weft.autograd.wrapping import wrap
from weft.ops.index.advanced import get as get_items
from weft.ops.index.advanced import is_basic
from weft.ops.index.advanced import set_ as set_items
from weft.ops.pointwise.masked import Selection
from weft.ops.registry.interpreters import on_default_stack
from weft.ops.registry.targets import shared_memory
from weft.ops.views.movement import basic_index, select
from weft.tensors import host, index_views
from weft.tensors.array import Array
from weft.tensors.creation import tensor

if TYPE_CHECKING:
    from weft.tensors.tensor import Tensor


class Indexing:
    """Elements, rows, slices, and selections by masks and index tensors, to read and to write."""

    __slots__ = ()

    def __getitem__(self: Any, index: Any) -> Tensor:
        data = self._data
        if type(data) is not Array or not on_default_stack() or (is_enabled() and self.requires_grad):
            selected: Tensor = self._get(index)
            return selected
        key = index_views.key_of(data, index)
        known = index_views.find(key)
        if known is None or data.storage.disposed:
            selected = self._get(index)
            if key is not None and selected is not self and selected._view is not None:
                skipped = 0 if self._view is None else len(self._view.path)
                index_views.remember(key, data, selected._data, selected._view.path[skipped:])
            return selected
        view = wrap(index_views.applied(known, data))
        source, untracked = self._view, not is_enabled()
        if source is None:
            view._view = View(self, known.path, untracked)
            view._generation = self._generation
        else:
            path = (*source.path, *known.path)
            view._view = View(source.base, path, untracked or source.untracked)
            view._generation = source.base._generation
        return view

    def _get(self: Any, index: Any) -> Tensor:
        """Return the elements of an index, by view ops or by gathering."""
        if type(index) is int and self._data.shape:
            row: Tensor = select(self, 0, index)
            return row
        selected: Tensor = get_items(self, _items(self, index))
        return selected

    def __setitem__(self: Any, index: Any, value: Any) -> None:
        items = _items(self, index)
        if not isinstance(value, TensorBase | Selection | bool | int | float):
            value = tensor(value, dtype=self.dtype, device=str(self.device))
        if not is_basic(items):
            set_items(self, items, value)
            return
        target: Tensor = basic_index(self, items)
        if not is_tensor(value):
            if target._without_repeats() is not target:
                raise shared_memory("writing to the indexed tensor")  # which PyTorch's fill_ alone does
            target.fill_(value)
            return
        extra = value.ndim - target.ndim
        if extra > 0 and all(size == 1 for size in value.shape[:extra]):
            value = value.reshape(*value.shape[extra:])
        target.copy_(value)


def _items(owner: Tensor, index: Any) -> tuple[Any, ...]:
    """Return the items of an index expression: lists and NumPy arrays as index tensors, NumPy's numbers as Python's."""
    given = index if isinstance(index, tuple) else (index,)
    return tuple([value if isinstance(value, _PLAIN_ITEMS) else _item(owner, value) for value in given])


def _item(owner: Tensor, item: Any) -> Any:
    if isinstance(item, range):
        item = list(item)
    if isinstance(item, list | tuple) or (hasattr(item, "__array__") and bool(getattr(item, "ndim", False))):
        host_values = host.as_numpy(item)
        if host_values.size == 0 and host_values.dtype.kind == "f" and isinstance(item, list | tuple):
            host_values = host_values.astype("int64")
        return tensor(host_values, device=str(owner.device))
    return item.item() if type(item).__module__ == "numpy" else item


_PLAIN_ITEMS = (int, slice, type(None), type(Ellipsis), TensorBase)

"""``Guards``: check at each call that the Python objects which a program was traced with have not changed.

``Notes`` records these objects during a trace: captured tensors, modules with their parameters and buffers, and
optimizers. ``Guards`` compares them at each call as lists of attributes, without a Python loop over the objects. Where
they differ, ``adapt`` replaces tensors by new tensors of the same type, or states why the program does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from weft.autograd.tape import Tape
from weft.compiler.read_guards import ReadGuards
from weft.compiler.reads import Reads
from weft.devices.base import Storage
from weft.errors import UnsupportedError
from weft.nn.module import Module
from weft.ops import Interpreter, OpSpec
from weft.random.generator import Generator
from weft.tensors.array import Array
from weft.tensors.tensor import Tensor

_TABLES = ("_parameters", "_buffers", "_modules")
_data, _requires, _grad, _training, _revision = (
    attrgetter("_data"), attrgetter("_leaf_requires_grad"), attrgetter("_grad"), attrgetter("training"),
    attrgetter("revision"),
)  # fmt: skip


class NumberTensor(Tensor):
    """A Python number in a trace. It is not hashable, since its value differs from call to call."""

    __slots__ = ()

    def __hash__(self) -> int:
        self._array("hash")
        raise AssertionError("a number has no array in a trace")


class Notes(Tape):
    """The tape of a trace, which also records captured tensors and the reads and writes of observed objects."""

    def __init__(self) -> None:
        self.tensors: dict[int, Tensor] = {}
        self.modules: dict[int, Module] = {}
        self.entries: dict[tuple[int, str, str], tuple[Module, dict[str, Any], Any]] = {}
        self.owners: dict[int, Any] = {}
        self.constants: set[int] = set()
        self.effects: list[Callable[[], None]] = []
        self.reads = Reads()
        self._origins: dict[int, tuple[Tensor, Tensor]] = {}
        self._kept: list[Storage] = []
        self._histories: list[tuple[Tensor, Any, int]] = []

    def process(
        self,
        op: OpSpec,
        operands: tuple[Any, ...],
        attributes: dict[str, Any],
        into: tuple[Any, ...] | None,
        below: tuple[Interpreter, ...],
    ) -> tuple[Any, ...]:
        """Note the captured operands and targets of an op, then record the op on the tape."""
        for operand in operands if into is None else (*operands, *into):
            if isinstance(operand, Tensor) and type(operand._data) is Array:
                known = self._origins.get(id(operand))
                source = operand if known is None else known[0]
                if id(source) not in self.tensors:
                    self._from_outside(op, source, operand)
        results = super().process(op, operands, attributes, into, below)
        for result in results:
            if type(result) is Tensor and getattr(result._data, "number", None) is not None:
                result.__class__ = NumberTensor
        return results

    def _from_outside(self, op: OpSpec, tensor: Tensor, used: Tensor) -> None:
        if op.gradient is not None and self.recording and not used.is_leaf:
            raise UnsupportedError(
                f"{op.name}: a tensor {tensor.shape} that was computed outside of the traced function has a history, "
                f"expected no history, since gradients do not leave the function; detach() it, or compute it inside"
            )
        self.tensors[id(tensor)] = tensor
        self._histories.append((tensor, tensor._edge, tensor._generation))

    def restore_histories(self) -> None:
        """Restore the history of captured tensors that the trace has written in place."""
        for tensor, edge, generation in self._histories:
            tensor._edge, tensor._generation = edge, generation

    def written_constants(self, states: Iterable[tuple[Any, bool]]) -> list[Tensor]:
        """Return the tensors on storages that the trace created and wrote; ``states`` are pairs (array, written)."""
        changed = {id(array.alias) for array, written in states if written} & self.constants
        return (
            [tensor for tensor in self.tensors.values() if id(tensor._data.alias) in changed]
            if changed
            else []
        )

    def made(self, storage: Storage) -> None:
        """See ``Watcher``."""
        self.constants.add(id(storage))
        self._kept.append(storage)  # alive, so that its id is not reused

    def detached(self, source: Tensor, made: Tensor) -> None:
        """See ``Watcher``."""
        self._origins[id(made)] = (self._origins.get(id(source), (source,))[0], made)

    def is_second_handle(self, tensor: Tensor) -> bool:
        """Return whether the trace made a tensor by detaching a captured tensor."""
        return id(tensor) in self._origins

    def entered(self, module: Any) -> None:
        """See ``Watcher``."""
        if id(module) not in self.modules:
            self.reads.know(module)
            self.modules[id(module)] = module
            for table in _TABLES:
                for name in module.__dict__[table]:
                    self.read(module, table, name)

    def read(self, module: Any, table: str, name: str) -> None:
        """See ``Watcher``."""
        key = (id(module), table, name)
        if key not in self.entries:
            entries = module.__dict__[table]
            self.entries[key] = (module, entries, entries[name])
            if isinstance(entries[name], Module):
                self.reads.know(entries[name])
                self.modules.setdefault(id(entries[name]), entries[name])

    def depends(self, owner: Any) -> None:
        """See ``Watcher``."""
        self.owners[id(owner)] = owner

    def looked(self, owner: Any, name: str, value: Any) -> None:
        """See ``Watcher``."""
        self.reads.looked(owner, name, value)

    def changing(self, owner: Any, name: str) -> None:
        """See ``Watcher``."""
        self.reads.changing(owner, name)

    def afterwards(self, call: Callable[[], None]) -> None:
        """See ``Watcher``."""
        self.effects.append(call)


def entries_of(module: Module, table: str) -> dict[str, Any]:
    """Return a module's table of parameters, buffers or submodules."""
    found: dict[str, Any] = module.__dict__[table]
    return found


class Guards:
    """The conditions under which a program fits, as parallel lists.

    ``storages`` are the storages of the states, in the order of the graph's states.
    """

    def __init__(
        self,
        notes: Notes,
        grads: Iterable[tuple[Tensor, Tensor | None]],
        generators: Iterable[tuple[Generator, Tensor]],
        states: Iterable[Array],
    ) -> None:
        self.generators = list(generators)
        self.tensors = list(notes.tensors.values())
        known = {id(tensor) for tensor in self.tensors}
        behind = [state for _, state in self.generators]
        behind += [entry for _, _, entry in notes.entries.values() if isinstance(entry, Tensor)]
        self.tensors += {id(tensor): tensor for tensor in behind if id(tensor) not in known}.values()
        self.arrays: list[Array] = [tensor._data for tensor in self.tensors]
        self.requires = list(map(_requires, self.tensors))
        seen = list(grads)  # the program reads no other gradients, so they need no guard
        self.leaves = [leaf for leaf, _ in seen]
        self.grads = [grad for _, grad in seen]
        self.grad_ids = list(map(id, self.grads))
        self.modules = list(notes.modules.values())
        self.training = list(map(_training, self.modules))
        self.names = [name for _, _, name in notes.entries]
        self.homes = [module for module, _, _ in notes.entries.values()]
        self.tables = [table for _, table, _ in notes.entries.values()]
        self.entries = [entry for _, _, entry in notes.entries.values()]
        self.entry_ids = list(map(id, self.entries))
        self.whole = [entries_of(module, table) for module in self.modules for table in _TABLES]
        self.size = sum(map(len, self.whole))
        self.reads = ReadGuards(notes.reads.settled()[0])
        self.owners = list(notes.owners.values())
        self.revisions = list(map(_revision, self.owners))
        self.storages: list[Storage] = [state.storage for state in states]
        self.storage_ids = frozenset(map(id, self.storages))
        numbers = {id(storage): at for at, storage in enumerate(self.storages)}
        self.places = [numbers.get(id(array.storage), -1) for array in self.arrays]

    def hold(self) -> bool:
        """Return whether all conditions hold."""
        for generator, state in self.generators:
            if generator._offset or generator._state is not state:
                return False
        return (
            list(map(_data, self.tensors)) == self.arrays
            and list(map(id, map(_grad, self.leaves))) == self.grad_ids
            and list(map(_requires, self.tensors)) == self.requires
            and list(map(_training, self.modules)) == self.training
            and list(map(_revision, self.owners)) == self.revisions
            and sum(map(len, self.whole)) == self.size  # a replaced entry is seen in the next line
            and list(map(id, map(dict.get, self.tables, self.names))) == self.entry_ids
            and self.reads.hold()
        )

    def set_grad(self, leaf: Tensor, grad: Tensor | None) -> None:
        """Set the gradient of a leaf, and accept it in later calls where the old gradient is no state."""
        leaf._grad = grad
        for at, watched in enumerate(self.leaves):
            if (
                watched is leaf
                and grad is not None
                and self.grads[at] is not None
                and not self._is_state(self.grads[at])
            ):
                self.grads[at], self.grad_ids[at] = grad, id(grad)

    def _is_state(self, tensor: Tensor | None) -> bool:
        return any(state is tensor for state in self.tensors)

    def adapt(self) -> str:
        """Accept replaced tensors and return an empty string, or return the reason why the program does not fit."""
        reason = self._settings()
        if reason:
            return reason
        reason, replaced = self.reads.replaced()
        if reason:
            return reason
        kept: dict[int, Any] = {}
        entries = list(self.entries)
        for at, (table, name, old) in enumerate(zip(self.tables, self.names, self.entries, strict=True)):
            new = table.get(name)
            where = f"{type(self.homes[at]).__name__}.{name}"
            if isinstance(old, Tensor) and kept.setdefault(id(old), new) is not new:
                return f"{where} and another module no longer share one tensor"
            if new is not old:
                if not isinstance(new, Tensor) or not isinstance(old, Tensor) or type(new) is not type(old):
                    return f"{where} was replaced by another object"
                replaced[id(old)] = entries[at] = new
        leaves = [replaced.get(id(leaf), leaf) for leaf in self.leaves]
        grads = [leaf._grad for leaf in leaves]
        for leaf, old, grad in zip(leaves, self.grads, grads, strict=True):
            if (grad is None) != (old is None):
                now, before = ("None", "a tensor") if grad is None else ("a tensor", "None")
                return f"grad of the tensor {list(leaf.shape)} is {now}, was {before}"
            if grad is not None and old is not None and grad is not old:
                replaced[id(old)] = grad
        generators = []
        for generator, state in self.generators:
            generator.fold()
            generators.append((generator, generator.state()))
            replaced[id(state)] = generator.state()
        tensors = [replaced.get(id(tensor), tensor) for tensor in self.tensors]
        reason = self._types(tensors)
        if reason:
            return reason
        storages = self._partition(tensors)
        if storages is None:
            return "the tensors of the state share memory in another way than when the function was traced"
        self.storages, self.tensors, self.arrays = storages, tensors, [tensor._data for tensor in tensors]
        self.entries, self.leaves, self.grads, self.generators = entries, leaves, grads, generators
        self.storage_ids = frozenset(map(id, storages))
        self.entry_ids, self.grad_ids = list(map(id, entries)), list(map(id, grads))
        self.reads.take_over()
        return ""

    def _settings(self) -> str:
        """Return what changed in modules and optimizers, in words; empty where nothing did."""
        for module, training in zip(self.modules, self.training, strict=True):
            if module.training != training:
                return f"training of {type(module).__name__} is {module.training}, was {training}"
        for owner, revision in zip(self.owners, self.revisions, strict=True):
            if owner.revision != revision:
                return f"options of the {type(owner).__name__} changed"
        if sum(map(len, self.whole)) != self.size:
            return "a parameter, buffer or submodule was added or removed"
        return ""

    def _types(self, tensors: list[Tensor]) -> str:
        for tensor, array, requires in zip(tensors, self.arrays, self.requires, strict=True):
            data = tensor._data
            old = f"{array.dtype.name}{list(array.shape)} on {array.device_name}"
            if type(data) is not Array:
                return f"the state {old} is being traced"
            if (data.dtype, data.geometry, data.device_name) != (
                array.dtype,
                array.geometry,
                array.device_name,
            ):
                return f"the state {old} is now {data.dtype.name}{list(data.shape)} on {data.device_name}"
            if data.storage.size != array.storage.size:
                return f"the state {old} is now a view of other memory"
            if tensor._leaf_requires_grad != requires:
                return f"requires_grad of the state {old} is {not requires}, was {requires}"
        return ""

    def _partition(self, tensors: list[Tensor]) -> list[Storage] | None:
        """Return the storages of the states; ``None`` where the tensors share storages in another way."""
        storages = list(self.storages)
        seen: dict[int, Storage] = {}
        for place, tensor in zip(self.places, tensors, strict=True):
            if place >= 0 and seen.setdefault(place, tensor._data.storage) is not tensor._data.storage:
                return None
        for place, storage in seen.items():
            storages[place] = storage
        return storages if len({id(storage) for storage in storages}) == len(storages) else None

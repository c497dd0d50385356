"""``model_graph``: a model's traced graph as data for readers: its tensors, its nodes by the modules that ran them.

It is a view of the graph that the compiler takes: nothing is described a second time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from weft import dtypes
from weft.autograd import no_grad
from weft.autograd.tape import Tape
from weft.graph import Graph, Tracing
from weft.graph.ir import Node, Var
from weft.models import CacheView, Decoder, KVCache
from weft.models.cache import pages_for
from weft.models.directory import stored_weights
from weft.models.families.layout import Places
from weft.models.families.table import FAMILIES
from weft.nn.module import Module
from weft.ops import interpreting
from weft.tensors.tensor import Tensor

Storage = Literal["constant", "activation", "kv_cache"]
MATRIX = ".matrix."
"""Between the name of a module and the parts of its quantised weight."""


@dataclass(frozen=True)
class GraphTensor:
    """A value of the graph. ``key`` is the checkpoint's tensor that holds a constant, None for other values."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    storage: Storage
    key: str | None = None


@dataclass(frozen=True)
class GraphNode:
    """An operation: ``name`` is the module that ran it, ``inputs`` and ``outputs`` name tensors, or are numbers."""

    name: str
    op: str
    inputs: tuple[str | float, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class ModelGraph:
    """The graph of one call of a model.

    Attributes:
        architecture: the family.
        config: the fields of the configuration.
        capabilities: what the model can be asked for.
        dimensions: the sizes of this call: ``T`` tokens, ``L_max`` tokens of the cache.
        inputs: names of the tensors that are given, ``outputs`` of those that result.
        updates: names of the tensors that the call writes.
        tensors: all values by name, in the order of their first use.
        nodes: in the order in which they run.
    """

    architecture: str
    config: dict[str, Any]
    capabilities: tuple[str, ...]
    dimensions: dict[str, int]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    updates: tuple[str, ...]
    tensors: dict[str, GraphTensor]
    nodes: tuple[GraphNode, ...]

    @property
    def checkpoint_keys(self) -> dict[str, tuple[str, ...]]:
        """The tensors that the graph reads by the checkpoint's names; a quantised weight has several."""
        found: dict[str, tuple[str, ...]] = {}
        for tensor in self.tensors.values():
            if tensor.key is not None:
                found[tensor.key] = (*found.get(tensor.key, ()), tensor.name)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the graph as values of JSON."""
        return {**asdict(self), "checkpoint_keys": self.checkpoint_keys}


class _Modules:
    """Which module runs, while a model is traced."""

    def __init__(self, model: Module) -> None:
        self._names = {id(module): name.removeprefix("model.") for name, module in model.named_modules()}
        self._running: list[str] = []
        self._model = model

    @property
    def name(self) -> str:
        """The innermost module that runs."""
        return self._running[-1] if self._running else ""

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Take note of calls of the model's modules."""
        handles = []
        for module in self._model.modules():
            handles.append(module.register_forward_pre_hook(lambda called, given: self._enter(called)))
            handles.append(module.register_forward_hook(lambda called, given, result: self._leave()))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, module: Any) -> None:
        self._running.append(self._names[id(module)])

    def _leave(self) -> None:
        self._running.pop()


class _NamedTracing(Tracing):
    """A trace that knows for each node the module that ran it."""

    def __init__(self, modules: _Modules) -> None:
        super().__init__()
        self._modules = modules
        self.names: list[str] = []

    def process(self, *call: Any) -> Any:
        """Record an operation."""
        result = super().process(*call)
        count = len(self._nodes)
        self.names += [self._modules.name] * (count - len(self.names))
        return result


def model_graph(
    model: Decoder, cache: KVCache, tokens: int, context: int, capabilities: tuple[str, ...] = ()
) -> ModelGraph:
    """Return the graph of a call that reads ``tokens`` tokens of a sequence and gives the logits of the last.

    Nothing is computed.
    """
    modules = _Modules(model)
    tracing = _NamedTracing(modules)
    places: dict[str, Any] = {}

    def given(name: str, *shape: int, dtype: Any = dtypes.int64) -> Tensor:
        value = tracing.input(shape, dtype, str(cache.device))
        places[name] = value
        return Tensor.wrap(value)

    with modules.followed(), no_grad(), interpreting(tracing, Tape()):
        ids, positions = given("tokens", 1, tokens), given("positions", 1, tokens)
        length = pages_for(context)
        pages = {
            window: given(_windowed("pages", window), 1, length, dtype=dtypes.int32) for window in cache.pages
        }
        slots = {window: given(_windowed("slots", window), tokens) for window in cache.pages}
        view = CacheView(
            cache, pages, slots, given("rows", 1), positions, given("lengths", 1), given("reach", 1)
        )
        logits = model.logits(model.model(ids, positions, view)[:, -1])
        outputs = tracing.outputs([logits._data])
        graph = tracing.graph(outputs)
    tracing.restore_versions()
    names = [*tracing.names, *[""] * (len(graph.nodes) - len(tracing.names))]
    return _View(model, cache, graph, list(places), tracing.captured(), names).graph(
        tokens, context, capabilities
    )


def _windowed(name: str, window: int | None) -> str:
    return name if window is None else f"{name}.window{window}"


class _View:
    """Makes a ``ModelGraph`` of a graph: names for its values."""

    def __init__(
        self, model: Decoder, cache: KVCache, graph: Graph, inputs: list[str], captured: list[Any], modules: list[str],
    ) -> None:  # fmt: skip
        self._model, self._graph, self._modules = model, graph, modules
        self._tensors: dict[str, GraphTensor] = {}
        self._names: dict[int, str] = {}
        for name, var in zip(inputs, graph.inputs, strict=True):
            self._add(name, var, "activation")
        self._states(cache, captured)

    def _states(self, cache: KVCache, captured: list[Any]) -> None:
        """Name the storages that the graph reaches: weights, the cache, and tables that the model computed."""
        keys = checkpoint_keys(self._model)
        known: dict[int, tuple[str, Storage]] = {}
        for name, tensor in [*self._model.named_parameters(), *self._model.named_buffers()]:
            known[id(tensor._data.alias)] = (name, "constant")
        for index, layer in enumerate(cache.stored):
            for name, tensor in layer.items():
                known[id(tensor._data.alias)] = (f"layers.{index}.cache.{name}", "kv_cache")
        for number, (array, state) in enumerate(zip(captured, self._graph.states, strict=True)):
            found, storage = known.get(id(array.alias), (f"constant.{number}", "constant"))
            self._add(found.removeprefix("model."), state.initial, storage, keys.get(found))

    def graph(self, tokens: int, context: int, capabilities: tuple[str, ...]) -> ModelGraph:
        """Return the graph for readers."""
        nodes = [
            self._node(node, module) for node, module in zip(self._graph.nodes, self._modules, strict=True)
        ]
        config = self._model.config
        return ModelGraph(
            architecture=config.family,
            config=asdict(config),
            capabilities=capabilities,
            dimensions={"T": tokens, "L_max": context},
            inputs=tuple(self._names[var.id] for var in self._graph.inputs),
            outputs=tuple(self._operand(output) for output in self._graph.outputs),  # type: ignore[misc]
            updates=tuple(self._names[state.initial.id] for state in self._graph.states if state.changed),
            tensors=self._tensors,
            nodes=tuple(nodes),
        )

    def _node(self, node: Node, module: str) -> GraphNode:
        name = module or "decoder"
        inputs = tuple(map(self._operand, node.inputs))
        outputs = tuple(self._add(f"{name}.{node.op}", var, "activation") for var in node.outputs)
        return GraphNode(name, node.op, inputs, outputs)

    def _operand(self, value: Any) -> str | float:
        return self._names[value.id] if isinstance(value, Var) else value

    def _add(self, name: str, var: Var, storage: Storage, key: str | None = None) -> str:
        """Give a value a name that no other has."""
        unique, number = name, 1
        while unique in self._tensors:
            number += 1
            unique = f"{name}.{number}"
        self._names[var.id] = unique
        self._tensors[unique] = GraphTensor(unique, var.type.dtype.name, var.type.shape, storage, key)
        return unique


def checkpoint_keys(model: Decoder) -> dict[str, str]:
    """Return the checkpoint's tensor for each parameter and buffer that is read from one."""
    places = Places(FAMILIES[model.config.family].layout, model.config)
    stored = stored_weights(model)
    found = {}
    for name, _ in [*model.named_parameters(), *model.named_buffers()]:
        weight = name.partition(MATRIX)[0] + ".weight" if MATRIX in name else name
        if MATRIX in name or weight in stored:
            found[name] = places.of(weight).name
    return found

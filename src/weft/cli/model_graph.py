"""``weft inspect --graph``: the traced graph of a language model, as text or JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.engine.graph import GraphTensor, ModelGraph


def shown(path: str, as_json: bool) -> str:
    """Return the graph of the model at ``path``: one token that is read with a cache."""
    from weft.engine import Engine  # not needed for other files

    with Engine.load(path, slots=1) as engine:
        graph = engine.graph()
    return json.dumps(graph.to_json()) if as_json else "\n".join(lines(graph))


def lines(graph: ModelGraph) -> list[str]:
    """Return the lines of a graph: what it is, its tensors by storage class, its nodes in order."""
    config = {name: value for name, value in graph.config.items() if name not in ("family", "layers", "rope")}
    found = [
        f"{graph.architecture}: {', '.join(graph.capabilities)}",
        f"dimensions: {', '.join(f'{name} = {size}' for name, size in graph.dimensions.items())}",
        f"config: {', '.join(f'{name}={value}' for name, value in config.items() if value)}",
    ]
    for storage in ("constant", "kv_cache"):
        tensors = [tensor for tensor in graph.tensors.values() if tensor.storage == storage]
        found += ["", f"{len(tensors)} tensors of the class {storage}"]
        found += [f"  {_tensor(tensor)}" + (f"  # {tensor.key}" if tensor.key else "") for tensor in tensors]
    found += ["", f"inputs: {', '.join(_tensor(graph.tensors[name]) for name in graph.inputs)}"]
    found += [f"{len(graph.nodes)} nodes"]
    for node in graph.nodes:
        outputs = ", ".join(_tensor(graph.tensors[name]) for name in node.outputs)
        found.append(f"  {node.name}: {outputs} = {node.op}({', '.join(map(str, node.inputs))})")
    return [*found, f"outputs: {', '.join(graph.outputs)}"]


def _tensor(tensor: GraphTensor) -> str:
    return f"{tensor.name} {tensor.dtype}{list(tensor.shape)}"

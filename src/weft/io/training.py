"""``save_training`` and ``load_training``: state dicts, random state, step and metadata of a training in a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, FormatError, mistake
from weft.io.files import load, save
from weft.random.generator import default_generators, set_default_generators
from weft.tensors.tensor import Tensor

VERSION = 1
FIELDS = ("version", "parts", "random", "step", "metadata")


@dataclass(frozen=True)
class Resumed:
    """The result of ``load_training``: the number of completed steps, and the user's metadata."""

    step: int
    metadata: Any


def save_training(
    path: str | os.PathLike[str], *, step: int = 0, metadata: Any = None, max_shard_size: int | str | None = None,
    **parts: Any,
) -> None:  # fmt: skip
    """Write a training to a metatensor file (``.mt``), atomically, so that it can continue from there exactly.

    ``parts`` are objects with ``state_dict`` and ``load_state_dict``, under any names: a model, an optimizer, a
    scheduler, a gradient scaler. The file also holds the state of the random generators, ``step``, and ``metadata``,
    any tree of values. ``max_shard_size``: see ``weft.save``. Raises the errors of ``weft.save``.

    >>> import os, tempfile, weft as wf
    >>> model = wf.nn.Linear(2, 1)
    >>> optimizer = wf.optim.Adam(model.parameters())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "run.mt")
    ...     wf.io.save_training(path, model=model, optimizer=optimizer, step=7, metadata={"best": 0.5})
    ...     wf.io.load_training(path, model=model, optimizer=optimizer)
    Resumed(step=7, metadata={'best': 0.5})
    """
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise ArgumentError(mistake("save_training", "step", repr(step), "a whole number of steps"))
    if os.fspath(path).endswith(".safetensors"):
        raise ArgumentError(
            mistake("save_training", "path", repr(os.fspath(path)), "a name that ends in .mt",
                    "safetensors holds tensors alone, and a training has numbers too")
        )  # fmt: skip
    tree = {
        "version": VERSION,
        "parts": {name: _part("save_training", name, part).state_dict() for name, part in parts.items()},
        "random": {name: generator.get_state() for name, generator in default_generators().items()},
        "step": step,
        "metadata": metadata,
    }
    save(tree, path, max_shard_size=max_shard_size)


def load_training(path: str | os.PathLike[str], **parts: Any) -> Resumed:
    """Load the state that ``save_training`` wrote into the given parts and the random generators.

    Exactly the parts that were saved must be given, under their names. If a part does not fit, its error is raised and
    all parts stay unchanged. Raises ``FormatError`` for a file that holds no training or that a newer weft wrote. See
    ``save_training`` for an example.
    """
    for name, part in parts.items():
        _part("load_training", name, part)
    tree = load(path, device="cpu")
    where = f"load_training: {os.fspath(path)!r}"
    if not isinstance(tree, dict) or not set(FIELDS) <= set(tree) or not isinstance(tree["parts"], dict):
        raise FormatError(f"{where} holds no training, expected a file that save_training wrote")
    if tree["version"] != VERSION:
        raise FormatError(mistake(where, "version", tree["version"], VERSION, "a newer weft wrote it"))
    for name, fits in (
        ("step", type(tree["step"]) is int),
        (
            "random",
            isinstance(tree["random"], dict)
            and all(isinstance(leaf, list) for leaf in tree["random"].values()),
        ),
    ):
        if not fits:
            raise FormatError(mistake(where, name, repr(tree[name])[:80], "what save_training writes there"))
    if set(parts) != set(tree["parts"]):
        given, saved = (", ".join(map(str, names)) or "none" for names in (parts, tree["parts"]))
        raise ArgumentError(mistake(where, "parts", given, f"those of the file, {saved}"))
    done: list[tuple[Any, Any]] = []
    try:
        for name, part in parts.items():
            done.append((part, on_host(part.state_dict())))
            part.load_state_dict(tree["parts"][name])
        set_default_generators(tree["random"])
    except BaseException:
        for part, before in reversed(done):
            part.load_state_dict(before)
        raise
    return Resumed(tree["step"], tree["metadata"])


def _part(where: str, name: str, part: Any) -> Any:
    if not (callable(getattr(part, "state_dict", None)) and callable(getattr(part, "load_state_dict", None))):
        raise ArgumentTypeError(
            mistake(
                where, name, f"a {type(part).__name__}", "an object with state_dict() and load_state_dict()"
            )
        )
    return part


def on_host(tree: Any) -> Any:
    """Return a copy of a tree with its tensors as NumPy arrays."""
    if isinstance(tree, Mapping):
        return {key: on_host(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(map(on_host, tree))
    return tree.detach().numpy().copy() if isinstance(tree, Tensor) else tree

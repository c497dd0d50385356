"""Modules as functions of their parameters: ``functional_call``, and ``stack_module_state`` for many models at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from weft.errors import ArgumentError, ArgumentTypeError, ShapeError, mistake
from weft.nn.module import Module
from weft.ops import OPS, bind
from weft.tensors.tensor import Tensor
from weft.tensors.watch import watcher

TABLES = ("_parameters", "_buffers")


def functional_call(
    module: Module,
    parameter_and_buffer_dicts: Mapping[str, Tensor] | Sequence[Mapping[str, Tensor]],
    args: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """Call a module with other parameters and buffers, as ``torch.func.functional_call``.

    The module is restored after the call.

    Args:
        module: the module.
        parameter_and_buffer_dicts: tensors by dotted name, or a sequence of such dicts.
        args: a tuple of positional arguments, or a single argument.
        kwargs: keyword arguments.
        tie_weights: replace a tensor with several names (tied weights) under all of its names.
        strict: raise an error for parameters and buffers that are not given; by default they stay.

    Raises:
        ArgumentError: the module has no such name, or a name is given twice.

    >>> import weft as wf
    >>> layer = wf.nn.Linear(2, 1)
    >>> wf.func.functional_call(layer, {"weight": wf.ones(1, 2), "bias": wf.zeros(1)}, wf.tensor([3.0, 4.0]))
    tensor([7.])
    """
    if not isinstance(module, Module):
        raise ArgumentTypeError(
            mistake("functional_call", "module", f"of type {type(module).__name__}", "a weft.nn.Module")
        )
    new = _merged(parameter_and_buffer_dicts)
    positional = args if isinstance(args, tuple) else () if args is None else (args,)
    with _replaced(module, new, tie_weights, strict):
        return module(*positional, **(kwargs or {}))


def _merged(given: Any) -> dict[str, Tensor]:
    dicts = [given] if isinstance(given, Mapping) else list(given)
    merged: dict[str, Tensor] = {}
    for named in dicts:
        for name, value in named.items():
            if name in merged:
                raise ArgumentError(
                    mistake("functional_call", "the name", f"{name!r}, twice", "each name once")
                )
            if not isinstance(value, Tensor):
                raise ArgumentTypeError(
                    mistake("functional_call", name, f"of type {type(value).__name__}", "a tensor")
                )
            merged[name] = value
    return merged


def _places(module: Module) -> dict[str, tuple[dict[str, Any], str]]:
    """Return the table and key of each parameter and buffer, by dotted name."""
    return {
        f"{path}.{name}" if path else name: (owner.__dict__[table], name)
        for path, owner in module.named_modules(remove_duplicate=False)
        for table in TABLES
        for name, value in owner.__dict__[table].items()
        if value is not None
    }


@contextmanager
def _replaced(module: Module, new: dict[str, Tensor], tie_weights: bool, strict: bool) -> Iterator[None]:
    """Replace tensors of a module in a ``with`` block, and restore them."""
    places = _places(module)
    unknown = [name for name in new if name not in places]
    if unknown:
        raise ArgumentError(
            mistake("functional_call", "the name", repr(unknown[0]), f"one of {', '.join(places) or 'none'}")
        )
    by_tensor: dict[int, Tensor] = {}
    if tie_weights:
        for name, value in new.items():
            home, key = places[name]
            if by_tensor.setdefault(id(home[key]), value) is not value:
                raise ArgumentError(
                    mistake("functional_call", name, "another tensor than under its other names", "the same tensor",
                            "pass tie_weights=False")
                )  # fmt: skip
    chosen: list[tuple[dict[str, Any], str, Any, Tensor]] = []
    for name, (home, key) in places.items():
        found = new.get(name, by_tensor.get(id(home[key])))
        if found is None and strict:
            raise ArgumentError(
                mistake("functional_call", name, "missing", "one of the given tensors, with strict")
            )
        if found is not None:
            chosen.append((home, key, home[key], found))
    watch = watcher.get()
    if watch is not None:  # guards of a trace check the module's own tensors, not their replacements
        for part in module.modules():
            for table in TABLES:
                for name in part.__dict__[table]:
                    watch.read(part, table, name)
    try:
        for home, key, _, value in chosen:
            home[key] = value
        yield
    finally:
        for home, key, old, _ in chosen:
            home[key] = old


def stack_module_state(models: Sequence[Module]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Stack the parameters and buffers of models along a new first dimension, as ``torch.func.stack_module_state``.

    With ``functional_call`` and ``vmap``, the stacked tensors run all models at once (an ensemble).

    Args:
        models: models of one class and structure.

    Returns:
        Dicts of the stacked parameters and buffers by name. The parameters are leaves, which require grad where those
        of all models do.

    Raises:
        ArgumentError: no models are given, or models of several classes.
        ShapeError: the models differ in the shapes of their tensors.

    >>> import weft as wf
    >>> layers = [wf.nn.Linear(2, 1) for _ in range(3)]
    >>> parameters, buffers = wf.func.stack_module_state(layers)
    >>> tuple(parameters["weight"].shape)
    (3, 1, 2)
    >>> run = lambda p, x: wf.func.functional_call(layers[0], p, x)
    >>> tuple(wf.func.vmap(run, in_dims=(0, None))(parameters, wf.ones(5, 2)).shape)
    (3, 5, 1)
    """
    if not models:
        raise ArgumentError(mistake("stack_module_state", "models", "empty", "one module or more"))
    kinds = {type(model).__name__ for model in models}
    if len(kinds) > 1:
        raise ArgumentError(mistake("stack_module_state", "models", ", ".join(sorted(kinds)), "of one class"))
    found = []
    for named in ("named_parameters", "named_buffers"):
        rows = [dict(getattr(model, named)()) for model in models]
        found.append({name: _stacked(name, [row.get(name) for row in rows]) for name in rows[0]})
    parameters, buffers = found
    return parameters, buffers


def _stacked(name: str, tensors: Sequence[Any]) -> Tensor:
    if len({None if tensor is None else tuple(tensor.shape) for tensor in tensors}) > 1:
        raise ShapeError(
            mistake("stack_module_state", name, "of several shapes, or missing", "alike in all models")
        )
    rows = [bind(OPS["reshape"], tensor.detach(), shape=(1, *tensor.shape)) for tensor in tensors]
    made: Tensor = bind(OPS["cat"], *rows, dim=0)
    return made.requires_grad_() if all(tensor.requires_grad for tensor in tensors) else made

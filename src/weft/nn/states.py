"""State dicts of modules: tensors by name, collected from and copied into modules, with PyTorch's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from weft.autograd import no_grad
from weft.errors import ArgumentTypeError, StateError, WeftError, mistake
from weft.nn.module_types import ModuleTree
from weft.nn.parameter import Parameter, Uninitialized
from weft.tensors.tensor import Tensor, tensor


class IncompatibleKeys(NamedTuple):
    """The keys that a state dict lacks, and those that the module does not have."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def named_state(module: ModuleTree, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Iterate over parameters and persistent buffers, module by module; a shared tensor has each of its names."""
    for path, owner in module.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False):
        stem = f"{path}." if path else ""
        saved = {name: value for name, value in owner._buffers.items() if name not in owner._transient}
        for name, value in (*owner._parameters.items(), *saved.items()):
            if value is not None:
                yield stem + name, value


def gather_state(module: ModuleTree, prefix: str, keep_vars: bool) -> dict[str, Tensor]:
    """Return the state dict of a module."""
    return {name: value if keep_vars else value.detach() for name, value in named_state(module, prefix)}


def load_state(
    module: ModuleTree, state_dict: Mapping[str, Any], strict: bool, assign: bool = False
) -> IncompatibleKeys:
    """Copy a state dict into a module; nothing changes where keys, shapes or types do not fit."""
    if not isinstance(state_dict, Mapping):
        raise ArgumentTypeError(
            mistake(f"{type(module).__name__}.load_state_dict", "state_dict", f"a {type(state_dict).__name__}",
                    "a dict of tensors", "use weft.load(path) for a file")
        )  # fmt: skip
    targets = dict(named_state(module))
    missing = [name for name in targets if name not in state_dict]
    unexpected = [str(name) for name in state_dict if name not in targets]
    problems = []
    if strict and unexpected:
        problems.append(f"Unexpected key(s) in state_dict: {_listed(unexpected)}. ")
    if strict and missing:
        problems.append(f"Missing key(s) in state_dict: {_listed(missing)}. ")
    copies: list[tuple[Tensor, Tensor]] = []
    for name, target in targets.items():
        if name in state_dict:
            value, problem = _value(name, state_dict[name], target, assign)
            problems += [problem] if problem else []
            copies += [(target, value)] if value is not None else []
    if problems:
        raise StateError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t" + "\n\t".join(problems)
        )
    with no_grad():
        if assign:
            _assign(module, {id(target): value for target, value in copies})
        else:
            for target, value in copies:
                if isinstance(target, Uninitialized):
                    target.materialize(value.shape)
                target.copy_(value)
    return IncompatibleKeys(missing, unexpected)


def _assign(module: ModuleTree, values: Mapping[int, Tensor]) -> None:
    """Replace parameters and buffers by tensors; parameters stay parameters, and shared tensors stay shared."""
    assigned: dict[int, Tensor] = {}
    for owner in module.modules():
        for table in (owner._parameters, owner._buffers):
            for name, old in table.items():
                if old is None or id(old) not in values:
                    continue
                if id(old) not in assigned:
                    value = values[id(old)]
                    assigned[id(old)] = (
                        Parameter(value, old.requires_grad) if isinstance(old, Parameter) else value
                    )
                table[name] = assigned[id(old)]  # type: ignore[assignment]


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _value(name: str, given: Any, target: Tensor, assign: bool) -> tuple[Tensor | None, str]:
    """Return the value for a parameter on its device and ``""``, or None and the message of what is wrong."""
    if not isinstance(given, Tensor) and not hasattr(given, "__array__"):
        return (
            None,
            f"While copying {name}: expected a tensor or an array, received a {type(given).__name__}. ",
        )
    if isinstance(given, Uninitialized):
        problem = f"{name} is uninitialized in the state dict, call the saved module once before saving it. "
        return None, "" if isinstance(target, Uninitialized) else problem
    shape = tuple(given.shape)
    if not isinstance(target, Uninitialized) and shape != target.shape:
        return None, (
            f"size mismatch for {name}: copying a param with shape {list(shape)} from checkpoint, "
            f"the shape in current model is {list(target.shape)}."
        )
    if isinstance(given, Tensor) and assign:
        return given.detach(), ""
    if isinstance(given, Tensor):
        return given.detach().to(dtype=target.dtype, device=str(target.device)), ""
    import numpy

    try:
        return tensor(numpy.asarray(given), dtype=target.dtype, device=str(target.device)), ""
    except (WeftError, TypeError, RuntimeError) as error:
        return None, f"While copying {name}: {error} "

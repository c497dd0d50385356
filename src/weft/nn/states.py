"""State dicts of modules: names to tensors, read from and written into a tree of modules, with PyTorch's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from weft.autograd import no_grad
from weft.errors import ArgumentTypeError, StateError, WeftError, mistake
from weft.nn.parameter import Uninitialized
from weft.tensors.tensor import Tensor, tensor

if TYPE_CHECKING:
    from weft.nn.module import Module


class IncompatibleKeys(NamedTuple):
    """Which keys ``load_state_dict`` did not find, and which it did not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def named_state(module: Module, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Parameters and persistent buffers, module by module; a shared one under each of its names."""
    for path, owner in module.named_modules(prefix=prefix.removesuffix("."), remove_duplicate=False):
        stem = f"{path}." if path else ""
        kept = {name: value for name, value in owner._buffers.items() if name not in owner._transient}
        for name, value in (*owner._parameters.items(), *kept.items()):
            if value is not None:
                yield stem + name, value


def gather_state(module: Module, prefix: str, keep_vars: bool) -> dict[str, Tensor]:
    """The state dict of a module."""
    return {name: value if keep_vars else value.detach() for name, value in named_state(module, prefix)}


def load_state(
    module: Module, state_dict: Mapping[str, Any], strict: bool, assign: bool = False
) -> IncompatibleKeys:
    """Copy a state dict into a module, all or nothing as far as its keys, shapes and types go."""
    if not isinstance(state_dict, Mapping):
        raise ArgumentTypeError(
            mistake(f"{type(module).__name__}.load_state_dict", "state_dict", f"a {type(state_dict).__name__}",
                    "a dict of tensors", "use weft.load(path) for a file")
        )  # fmt: skip
    own = dict(named_state(module))
    missing = [name for name in own if name not in state_dict]
    unexpected = [str(name) for name in state_dict if name not in own]
    problems = []
    if strict and unexpected:
        problems.append(f"Unexpected key(s) in state_dict: {_listed(unexpected)}. ")
    if strict and missing:
        problems.append(f"Missing key(s) in state_dict: {_listed(missing)}. ")
    copies: list[tuple[Tensor, Tensor]] = []
    for name, target in own.items():
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


def _assign(module: Module, values: Mapping[int, Tensor]) -> None:
    """Put tensors in the place of parameters and buffers; what was a parameter or shared stays so."""
    from weft.nn.parameter import Parameter

    made: dict[int, Tensor] = {}
    for owner in module.modules():
        for table in (owner._parameters, owner._buffers):
            for name, old in table.items():
                if old is None or id(old) not in values:
                    continue
                if id(old) not in made:
                    value = values[id(old)]
                    made[id(old)] = (
                        Parameter(value, old.requires_grad) if isinstance(old, Parameter) else value
                    )
                table[name] = made[id(old)]  # type: ignore[assignment]


def _listed(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _value(name: str, given: Any, target: Tensor, assign: bool) -> tuple[Tensor | None, str]:
    """The value for a parameter, ready on its device, or what is wrong with it."""
    if not isinstance(given, Tensor) and not hasattr(given, "__array__"):
        return (
            None,
            f"While copying {name}: expected a tensor or an array, received a {type(given).__name__}. ",
        )
    if isinstance(given, Uninitialized):
        problem = f"{name} is uninitialized in the state dict, call the module that it comes from once. "
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

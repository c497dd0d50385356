"""Names of a program's states: the names of parameters and buffers, else of the variables that hold the tensors.

The state of a function is the tensors that it reaches by closure. A single model keeps the names of its ``state_dict``;
several models and several optimizers get the names of their variables as prefixes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from weft.compiler.guards import Guards
from weft.compiler.reached import variables
from weft.nn.module import Module
from weft.optim.optimizer import Optimizer
from weft.random.generator import is_default
from weft.tensors.tensor import Tensor


def state_names(guards: Guards, fn: Callable[..., Any]) -> list[list[str]]:
    """Return the names of each state, at least one each; the first name is used in files."""
    naming = _Naming(guards)
    reached = [*variables(fn), *getattr(getattr(fn, "__self__", None), "__dict__", {}).items()]
    models = _models(guards, fn, reached)
    for prefix, model in models:
        for name, tensor in (*model.named_parameters(remove_duplicate=False), *model.named_buffers()):
            naming.put(tensor, f"{prefix}{name}")
    for prefix, optimizer in _optimizers(guards, reached):
        naming.optimizer(prefix, optimizer)
    for at, (generator, state) in enumerate(guards.generators):
        only = is_default(generator) or len(guards.generators) == 1
        naming.put(state, "random" if only else f"generator{at}")
    for leaf, grad in zip(guards.leaves, guards.grads, strict=True):
        if grad is not None:
            naming.put(grad, f"{naming.name_of(leaf) or 'tensor'}.grad")
    for name, value in reached:
        if isinstance(value, Tensor):
            naming.put(value, name)
    return naming.finish()


class _Naming:
    def __init__(self, guards: Guards) -> None:
        self.numbers = {id(storage): at for at, storage in enumerate(guards.storages)}
        self.found: list[list[str]] = [[] for _ in guards.storages]
        self.used: set[str] = set()

    def put(self, tensor: Tensor, name: str) -> None:
        """Add a name to the state that holds a tensor; do nothing for other tensors."""
        at = self.numbers.get(id(getattr(tensor._data, "storage", None)))
        if at is not None and name not in self.used:
            self.used.add(name)
            self.found[at].append(name)

    def name_of(self, tensor: Tensor) -> str:
        at = self.numbers.get(id(getattr(tensor._data, "storage", None)))
        return "" if at is None or not self.found[at] else self.found[at][0]

    def optimizer(self, prefix: str, optimizer: Optimizer) -> None:
        """Name an optimizer's state: by parameter, and its counters and rates."""
        for parameter, kept in optimizer.state.items():
            for key, tensor in kept.items():
                self.put(tensor, f"{prefix}.{self.name_of(parameter) or 'parameter'}.{key}")
        for number, group in enumerate(optimizer.param_groups):
            suffix = f".{number}" if len(optimizer.param_groups) > 1 else ""
            for rate in group.rates.values():
                self.put(rate, f"{prefix}.lr{suffix}")
            for (key, _), (tensor, _) in group.numbers.items():
                self.put(tensor, f"{prefix}.{key}{suffix}")
            for at, cohort in enumerate(group.cohorts):
                place = f".{at}" if len(group.cohorts) > 1 else ""
                for name, counter in cohort.counters.items():
                    self.put(counter, f"{prefix}.{name}{suffix}{place}")

    def finish(self) -> list[list[str]]:
        """Return all names; states without a name are numbered."""
        for at, names in enumerate(self.found):
            if not names:
                name = next(n for n in (f"state{at}", *(f"state{at}.{k}" for k in range(len(self.used) + 1)))
                            if n not in self.used)  # fmt: skip
                self.used.add(name)
                names.append(name)
        return self.found


def _models(guards: Guards, fn: Any, reached: list[tuple[str, Any]]) -> list[tuple[str, Module]]:
    """Return the outermost modules of a program, each with the prefix of its names."""
    if isinstance(fn, Module):
        return [("", fn)]
    known = set(map(id, guards.modules))
    named = [(name, value) for name, value in reached if isinstance(value, Module)
             and any(id(part) in known for part in value.modules())]  # fmt: skip
    inside = {id(part) for _, model in named for part in model.modules()}
    roots = [module for module in guards.modules if id(module) not in inside]
    parts = {id(part) for root in roots for part in root.modules() if part is not root}
    outer = [root for root in roots if id(root) not in parts]
    named += [(f"{type(root).__name__.lower()}{at or ''}", root) for at, root in enumerate(outer)]
    distinct = list({id(model): (name, model) for name, model in reversed(named)}.values())[::-1]
    return [("", distinct[0][1])] if len(distinct) == 1 else [(f"{name}.", model) for name, model in distinct]


def _optimizers(guards: Guards, reached: list[tuple[str, Any]]) -> Iterator[tuple[str, Optimizer]]:
    names = {id(value): name for name, value in reached if isinstance(value, Optimizer)}
    found = [owner for owner in guards.owners if isinstance(owner, Optimizer)]
    for at, optimizer in enumerate(found):
        yield names.get(id(optimizer), "optimizer" if len(found) == 1 else f"optimizer{at}"), optimizer

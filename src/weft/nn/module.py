"""``Module``: parameters, buffers and submodules, registered by attribute, and operations on all of them.

``states.py`` reads and writes state dicts, ``hooks.py`` runs hooks. Names, order and messages are PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from weft.autograd import no_grad
from weft.autograd.hooks import RemovableHandle
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, UnsupportedError, WeftError, mistake
from weft.nn.hooks import ModuleHooks
from weft.nn.parameter import Parameter
from weft.nn.states import IncompatibleKeys, gather_state, load_state
from weft.ops.registry.kinds import argument_class
from weft.ops.registry.lazy_fronts import MISFITS, Checked, refuse_misfits
from weft.tensors.tensor import Tensor
from weft.tensors.watch import watcher

M = TypeVar("M", bound="Module")


@argument_class("a Module")
class Module(Checked):
    """The base of all layers and models: subclass it, assign layers in ``__init__``, compute in ``forward``.

    >>> import weft as wf
    >>> class Net(wf.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = wf.nn.Linear(2, 3)
    ...     def forward(self, x):
    ...         return self.fc(x)
    >>> net = Net()
    >>> [name for name, _ in net.named_parameters()]
    ['fc.weight', 'fc.bias']
    >>> tuple(net(wf.ones(4, 2)).shape)
    (4, 3)
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]
    _hooks: ModuleHooks | None = None

    def __init__(self) -> None:
        self.__dict__.update(training=True, _parameters={}, _buffers={}, _modules={}, _transient=set())

    def forward(self, *inputs: Any) -> Any:
        """Compute the outputs; each subclass defines this method."""
        raise UnsupportedError(
            f"{type(self).__name__}: forward is not defined, expected the subclass to define it"
        )

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Call ``forward`` and the hooks; an error of weft's lists the path of layers in its notes."""
        watch = watcher.get()
        if watch is not None:
            watch.entered(self)
        try:
            hooks = self._hooks
            return self.forward(*inputs, **options) if hooks is None else hooks.call(self, inputs, options)
        except WeftError as error:
            error.add_note(f"  in {type(self).__name__}({self.extra_repr()})")
            raise
        except MISFITS:
            refuse_misfits(type(self).__name__, type(self).forward, (self, *inputs), options)
            raise

    # Hooks.

    def _hooked(self) -> ModuleHooks:
        if self._hooks is None:
            self.__dict__["_hooks"] = ModuleHooks()
        hooks = self._hooks
        assert hooks is not None
        return hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before ``forward``; its result, unless None, replaces the arguments.

        With ``with_kwargs`` the call is ``hook(module, args, kwargs)``, and the result both. The handle's ``remove()``
        removes the hook.
        """
        return self._hooked().add("before", "register_forward_pre_hook", hook, prepend, with_kwargs)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after ``forward``; its result, unless None, replaces the output.

        With ``with_kwargs`` the call is ``hook(module, args, kwargs, output)``. ``always_call`` raises
        ``UnsupportedError``.
        """
        if always_call:
            raise UnsupportedError(
                mistake(
                    "register_forward_hook",
                    "always_call",
                    True,
                    "False",
                    "a forward that raises has no output",
                )
            )
        return self._hooked().add("after", "register_forward_hook", hook, prepend, with_kwargs)

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, grad_output)`` once the outputs' gradients are known.

        Its result, unless None, replaces the gradients.
        """
        return self._hooked().add("backward_before", "register_full_backward_pre_hook", hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call ``hook(module, grad_input, grad_output)`` once the inputs' gradients are known.

        Its result, unless None, replaces the inputs' gradients. Both arguments are tuples, with ``None`` where a
        positional input or an output has no gradient. A ``forward`` that changes its input in place raises
        ``UnsupportedError``.
        """
        return self._hooked().add("backward", "register_full_backward_hook", hook, prepend)

    # Registration.

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        if "_parameters" not in tables:
            if isinstance(value, Tensor | Module):
                raise AttributeError(
                    f"{type(self).__name__}: {name} is assigned before Module.__init__() ran; "
                    f"call super().__init__() first"
                )
            object.__setattr__(self, name, value)
            return
        kinds: tuple[tuple[str, type], ...] = (
            ("_parameters", Parameter),
            ("_modules", Module),
            ("_buffers", Tensor),
        )
        home = next((table for table, kind in kinds[:2] if isinstance(value, kind)), None)
        if home is None:
            home = next((table for table, _ in kinds if name in tables[table]), None)
            if home is None:
                object.__setattr__(self, name, value)
                return
            kind = dict(kinds)[home]
            if value is not None and not isinstance(value, kind):
                raise ArgumentTypeError(
                    mistake(type(self).__name__, name, f"a {type(value).__name__}", f"a {kind.__name__} or None",
                            "the name is registered; delete the attribute first")
                )  # fmt: skip
        for table in ("_parameters", "_buffers", "_modules", "__dict__"):
            if table != home:
                (tables if table == "__dict__" else tables[table]).pop(name, None)
        if home != "_buffers":
            self._transient.discard(name)
        tables[home][name] = value

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            members = self.__dict__.get(table, {})
            if name in members:
                watch = watcher.get()
                if watch is not None:
                    watch.read(self, table, name)
                return members[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                self._transient.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._parameters, *self._buffers, *self._modules})

    def _register(self, table: str, kind: type, name: str, value: Any) -> None:
        where = f"{type(self).__name__}.register"
        if not isinstance(name, str):
            raise ArgumentTypeError(mistake(where, "name", repr(name), "a string"))
        if not name or "." in name:
            raise ArgumentError(mistake(where, "name", repr(name), "a name that is not empty and has no '.'"))
        if hasattr(self, name) and name not in self.__dict__[table]:
            raise ArgumentError(mistake(where, "name", repr(name), "a name that no other attribute has"))
        if value is not None and not isinstance(value, kind):
            raise ArgumentTypeError(
                mistake(where, name, f"a {type(value).__name__}", f"a {kind.__name__} or None")
            )
        self.__dict__[table][name] = value

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; ``None`` reserves the name (``bias=False``)."""
        if param is not None and not param.is_leaf:
            raise ArgumentError(
                mistake(f"{type(self).__name__}.register", name, "a computed tensor", "a leaf")
            )
        self._register("_parameters", Parameter, name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that moves with the module but is not trained; it is saved where it is ``persistent``."""
        self._register("_buffers", Tensor, name, tensor)
        (self._transient.discard if persistent else self._transient.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a submodule under a name."""
        self._register("_modules", Module, name, module)

    add_module = register_module

    # Traversal.

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Iterate over this module, under ``prefix``, and all its submodules with their dotted names, each once."""
        seen = set() if memo is None else memo
        if id(self) in seen:
            return
        if remove_duplicate:
            seen.add(id(self))
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    seen, f"{prefix}.{name}" if prefix else name, remove_duplicate
                )

    def modules(self) -> Iterator[Module]:
        """Iterate over this module and all its submodules."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Iterate over the direct submodules with their names, each once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """Iterate over the direct submodules."""
        return (module for _, module in self.named_children())

    def _named(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        owners = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else ((prefix, self),)
        )
        for path, module in owners:
            for name, value in module.__dict__[table].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Iterate over parameters with their dotted names, each once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Iterate over parameters, each once, as an optimizer takes them."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Iterate over buffers with their dotted names, each once."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Iterate over buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Return the submodule at a dotted path; ``AttributeError`` names the missing part."""
        module: Module = self
        for part in target.split(".") if target else ():
            child = module._modules.get(part)
            if child is None:
                raise AttributeError(
                    f"{type(self).__name__}: there is no submodule {target!r}; {type(module).__name__} has no module "
                    f"{part!r}, it has {list(module._modules)}"
                )
            module = child
        return module

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a dotted path; ``AttributeError`` where there is none."""
        path, _, name = target.rpartition(".")
        parameter = self.get_submodule(path)._parameters.get(name)
        if parameter is None:
            raise AttributeError(f"{type(self).__name__}: there is no parameter {target!r}")
        return parameter

    # Operations on the whole tree.

    def apply(self: M, fn: Callable[[Module], None]) -> M:
        """Call ``fn`` on every submodule, children before parents, and on this module last."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Set training or evaluation mode on this module and all its submodules."""
        if not isinstance(mode, bool):
            raise ArgumentTypeError(mistake(f"{type(self).__name__}.train", "mode", repr(mode), "a bool"))
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Set evaluation mode, as ``train(False)``."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set ``requires_grad`` of all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to None, or fill them with 0 where ``set_to_none`` is False."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = None if set_to_none else parameter.grad.detach().zero_()

    def to(self: M, *args: Any, dtype: DType | None = None, device: str | None = None) -> M:
        """Move parameters and buffers to a device, and convert those of floating point to a dtype.

        ``to("webgpu")``, ``to(wf.float64)``, ``to("cpu", wf.float16)``. Parameters and buffers stay the same objects.
        Nothing changes if a conversion fails. Build optimizers afterwards: their state lies beside the parameters.
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
                    mistake(
                        f"{type(self).__name__}.to",
                        "argument",
                        repr(argument),
                        "a dtype, a device or a tensor",
                    )
                )
        if dtype is not None and not dtype.is_floating_point:
            raise DTypeError(
                mistake(f"{type(self).__name__}.to", "dtype", dtype.name, "a floating point type")
            )

        def convert(tensor: Tensor) -> Tensor:
            return tensor.to(dtype=dtype if tensor.dtype.is_floating_point else None, device=device)

        return self._convert(convert)

    def _convert(self: M, fn: Callable[[Tensor], Tensor]) -> M:
        """Replace the memory of all parameters, their gradients and buffers, once all conversions have succeeded."""
        with no_grad():
            tensors = {id(t): t for t in (*self.parameters(), *self.buffers())}
            tensors |= {id(t.grad): t.grad for t in list(tensors.values()) if t.grad is not None}
            converted = [(tensor, fn(tensor.detach())) for tensor in tensors.values()]
        for tensor, replacement in converted:
            tensor._data = replacement._data
        return self

    def cpu(self: M) -> M:
        """Move parameters and buffers to the CPU."""
        return self.to(device="cpu")

    def float(self: M) -> M:
        """Convert floating point parameters and buffers to float32."""
        from weft.dtypes import float32

        return self.to(float32)

    def double(self: M) -> M:
        """Convert floating point parameters and buffers to float64."""
        from weft.dtypes import float64

        return self.to(float64)

    def half(self: M) -> M:
        """Convert floating point parameters and buffers to float16."""
        from weft.dtypes import float16

        return self.to(float16)

    def bfloat16(self: M) -> M:
        """Convert floating point parameters and buffers to bfloat16."""
        from weft.dtypes import bfloat16

        return self.to(bfloat16)

    # State and print.

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Return parameters and persistent buffers by dotted name, on the same memory; detached, or ``keep_vars``."""
        return gather_state(self, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values into parameters and buffers by name; return the missing and the unexpected keys.

        Values are tensors, NumPy arrays, or CPU tensors of other libraries. With ``assign`` the given tensors, with
        their dtype and device, replace the parameters and buffers instead of being copied.

        Raises:
            StateError: lists every wrong shape and, where ``strict``, the missing and unexpected keys. Nothing has
                changed then.
        """
        return load_state(self, state_dict, strict, assign)

    def extra_repr(self) -> str:
        """Return the module's options as its printed line shows them."""
        return ""

    def _child_lines(self) -> list[str]:
        return [f"({name}): {_indented(repr(module))}" for name, module in self._modules.items()]

    def __repr__(self) -> str:
        extra, children = self.extra_repr(), self._child_lines()
        name = type(self).__name__
        if not children:
            lines = extra.split("\n") if extra else []
            return f"{name}({extra})" if len(lines) <= 1 else f"{name}(\n  " + "\n  ".join(lines) + "\n)"
        return f"{name}(\n  " + "\n  ".join([*(extra.split("\n") if extra else []), *children]) + "\n)"


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")

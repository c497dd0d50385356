"""``register_kernel``: make an op of a user's WGSL or expression, and a function that calls it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weft import devices
from weft.custom import expressions, shader
from weft.custom.sizes import TYPES, Declared, declaration
from weft.custom.wgsl import Source, users_lines
from weft.dtypes import DType
from weft.errors import ArgumentError, ArgumentTypeError, DTypeError, KernelError, ShapeError, mistake
from weft.ops import OpSpec, TensorType, bind
from weft.ops.registry.table import OPS
from weft.tensors.tensor import Tensor

_RESERVED = frozenset(
    ("main", "parameters", "id", "local_id", "local_index", "group_id", "groups", "g", "out_")
)
_NAME = re.compile(r"[A-Za-z]\w*\Z")
_registered: dict[str, tuple[Any, CustomKernel]] = {}


@dataclass(frozen=True, eq=False)
class CustomKernel:
    """A registered kernel, called with its inputs and parameters by position or by name.

    A call returns a tensor, or a tuple for several outputs. Errors of shapes, types and arguments name the argument and
    the dimension.

    >>> import weft as wf
    >>> cube = wf.register_kernel("doc_cube", expression="x * x * x", inputs=["x"])
    >>> cube.name, cube(wf.tensor([2.0], device="cpu"))
    ('doc_cube', tensor([8.]))
    """

    name: str
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    parameters: Mapping[str, DType]
    op: OpSpec
    source: Source | None
    sizes: frozenset[str] = frozenset()
    """Integer parameters that occur in sizes; each value of them has a kernel of its own."""
    doc: str = ""
    __signature__: inspect.Signature = field(default_factory=inspect.Signature, repr=False)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Run the kernel on tensors of one device."""
        try:
            given = self.__signature__.bind(*arguments, **keywords).arguments
        except TypeError as error:
            raise ArgumentTypeError(f"{self.name}: {error}; its arguments are {self.__signature__}") from None
        operands = [self._tensor(declared, given[declared.name]) for declared in self.inputs]
        numbers = {
            name: _number(self.name, name, dtype, given[name]) for name, dtype in self.parameters.items()
        }
        values = [number for name, number in numbers.items() if name not in self.sizes]
        fixed = {name: int(number) for name, number in numbers.items() if name in self.sizes}
        if self.source is None:
            return expressions.run(self.op, self.name, self.inputs, self.outputs, operands, values, fixed)
        types = [TensorType(tuple(operand.shape), operand.dtype) for operand in operands]
        self.op.infer(*types, sizes=tuple(fixed.items()))  # raises the errors of shapes and types
        try:
            return bind(self.op, *operands, *values, sizes=tuple(fixed.items()))
        except KernelError as error:
            device = devices.open(str(operands[0].device) if operands else devices.default().name)
            before = self.source.lines_before(device.profile)
            raise KernelError(users_lines(str(error), before, self.source.text)) from None

    def _tensor(self, declared: Declared, given: Any) -> Tensor:
        if not isinstance(given, Tensor):
            raise ArgumentTypeError(
                mistake(
                    self.name,
                    f"argument {declared.name}",
                    type(given).__name__,
                    "a Tensor",
                    "use weft.tensor(...)",
                )
            )
        if declared.dtype is not None and given.dtype is not declared.dtype:
            raise DTypeError(
                mistake(self.name, f"argument {declared.name}", given.dtype.name, declared.dtype.name,
                        f"use .to(weft.{declared.dtype.name})" + ("" if self.source is not None else ", or declare "
                        f"{declared.name} without a type, which takes any"))
            )  # fmt: skip
        return given

    def __repr__(self) -> str:
        return f"<kernel {self.name}{self.__signature__}>"


def _number(kernel: str, name: str, dtype: DType, value: Any) -> bool | int | float:
    """Return the value of a parameter, converted to its declared kind."""
    if isinstance(value, Tensor):
        raise ArgumentTypeError(
            mistake(
                kernel, f"parameter {name}", "a Tensor", "a number", "use .item(), or declare it as an input"
            )
        )
    if dtype.is_integer and (not hasattr(value, "__index__") or isinstance(value, bool)):
        raise ArgumentTypeError(
            mistake(kernel, f"parameter {name}", repr(value), f"an integer ({dtype.name})")
        )
    if not dtype.is_integer and not hasattr(value, "__float__"):
        raise ArgumentTypeError(mistake(kernel, f"parameter {name}", repr(value), f"a number ({dtype.name})"))
    if dtype.is_integer:
        number = value.__index__()
        low, high = (
            (0, 2**dtype.bits - 1)
            if dtype.kind == "uint"
            else (-(2 ** (dtype.bits - 1)), 2 ** (dtype.bits - 1) - 1)
        )
        if not low <= number <= high:
            raise ArgumentError(
                mistake(kernel, f"parameter {name}", number, f"{low} to {high} ({dtype.name})")
            )
        return int(number)
    return float(value)


def register_kernel(
    name: str,
    *,
    source: str | None = None,
    expression: str | Mapping[str, str] | None = None,
    inputs: Sequence[str],
    outputs: Sequence[str] = (),
    parameters: Mapping[str, str] | None = None,
    workgroup_size: int | Sequence[int] = 64,
    workgroup_count: str | Sequence[str] | None = None,
    replace: bool = False,
    doc: str = "",
) -> CustomKernel:
    """Register a custom kernel, and return the function that runs it.

    With ``source`` the kernel is WGSL, for webgpu devices: the body of ``main``, or a text with an ``fn main`` and the
    functions that it calls. Bindings are generated: buffers, parameters and dimensions (u32) have their declared names.
    In a body, ``id`` is ``global_invocation_id``, and ``local_id``, ``local_index``, ``group_id`` and ``groups`` are
    the other built-ins. A buffer may be longer than its tensor, so compare ``id.x`` with ``n``. The kernel has no
    gradient; wrap it in an ``autograd.Function`` for one.

    With ``expression`` the kernel is pointwise and runs on all devices, with broadcasting, type promotion and a derived
    gradient. Declared without types, it can be checked by ``weft.autograd.gradcheck`` in float64.

    Args:
        name: the name of the kernel, which is unique.
        source: WGSL text.
        expression: an expression, or a dict with an expression for each output.
        inputs: declarations such as ``"x: f32[n, 2*m]"``. An input of an expression may omit its sizes (``"x: f32"``),
            its type (``"x[n]"``), or both (``"x"``). A size is an integer, a name, or arithmetic over names
            (``+ - * / // %``, ``ceil floor ceil_div min max``). A name that stands alone takes its value from the first
            input that has it; all other sizes are checked.
        outputs: declarations of the outputs; optional for an expression.
        parameters: types of numbers that are given at each call, such as ``{"a": "f32"}``. Integer parameters may occur
            in sizes.
        workgroup_size: the size of a workgroup, or up to three sizes.
        workgroup_count: one to three sizes; by default one invocation for each element of the first output.
        replace: replace another kernel of that name.
        doc: the documentation of the op.

    Raises:
        ArgumentError: a declaration is invalid, or another kernel has the name.
        ExpressionError: an expression or a size does not parse; the message shows the line with a caret.
        KernelError: at the first call, for WGSL that does not compile; the message shows the line with a caret.

    >>> import weft as wf
    >>> saxpy = wf.register_kernel(
    ...     "doc_saxpy", expression="a * x + y", inputs=["x: f32[n]", "y: f32[n]"], parameters={"a": "f32"}
    ... )
    >>> saxpy(wf.tensor([1.0, 2.0], device="cpu"), wf.tensor([3.0, 4.0], device="cpu"), a=10)
    tensor([13., 24.])
    """
    frozen = expression if isinstance(expression, str | None) else tuple(expression.items())
    count = workgroup_count if isinstance(workgroup_count, str | None) else tuple(workgroup_count)
    size = workgroup_size if isinstance(workgroup_size, int) else tuple(workgroup_size)
    asked = (source, frozen, tuple(inputs), tuple(outputs), tuple((parameters or {}).items()), size, count)
    known = _registered.get(name)
    if known is not None and not replace:
        if known[0] == asked:
            return known[1]
        raise ArgumentError(
            f"register_kernel: the name {name!r} is taken by another kernel, expected a new one; "
            f"pass replace=True to replace it"
        )
    kernel = _make(name, source, expression, inputs, outputs, parameters or {}, size, count, doc)
    for key in [key for key in OPS if key == f"custom.{name}" or key.startswith(f"custom.{name}.")]:
        del OPS[key]
    expressions.declare_all(kernel.op)
    _registered[name] = (asked, kernel)
    return kernel


def registration(name: str) -> str:
    """Return all arguments with which a kernel was registered, as text; empty where there is no kernel of that name."""
    known = _registered.get(name)
    return "" if known is None else repr(known[0])


def _make(
    name: str,
    source: str | None,
    expression: str | Mapping[str, str] | None,
    inputs: Sequence[str],
    outputs: Sequence[str],
    parameters: Mapping[str, str],
    size: int | tuple[int, ...],
    count: str | tuple[str, ...] | None,
    doc: str,
) -> CustomKernel:
    if not isinstance(name, str) or not _NAME.match(name):
        raise ArgumentError(
            mistake("register_kernel", "name", repr(name), "a letter, then letters, digits and _")
        )
    if (source is None) == (expression is None):
        given = "neither" if source is None else "both"
        raise ArgumentError(mistake(name, "source and expression", given, "exactly one of the two"))
    reads = tuple(declaration(name, text) for text in inputs)
    writes = tuple(declaration(name, text) for text in outputs)
    types = {key: _type(name, key, text) for key, text in parameters.items()}
    _check_names(name, reads, writes, types)
    if source is not None:
        op, made, sizes = shader.declare_source(name, source, reads, writes, types, size, count, doc)
    else:
        assert expression is not None
        if count is not None:
            raise ArgumentError(mistake(name, "workgroup_count", repr(count), "none with an expression"))
        op, writes = expressions.make(name, expression, reads, writes, types, doc)
        made, sizes = None, frozenset()
    arguments = [*(declared.name for declared in reads), *types]
    signature = inspect.Signature(
        [inspect.Parameter(a, inspect.Parameter.POSITIONAL_OR_KEYWORD) for a in arguments]
    )
    return CustomKernel(name, reads, writes, types, op, made, sizes, doc, signature)


def _type(kernel: str, name: str, text: str) -> DType:
    if text not in TYPES:
        raise ArgumentError(
            mistake(kernel, f"the type of parameter {name}", repr(text), f"one of {', '.join(TYPES)}")
        )
    return TYPES[text]


def _check_names(
    kernel: str, inputs: Sequence[Declared], outputs: Sequence[Declared], parameters: Mapping[str, DType]
) -> None:
    """Check that names are distinct and not reserved, and that every dimension is given by an input or parameter."""
    if not inputs:
        raise ArgumentError(mistake(kernel, "inputs", "none", "at least one, such as 'x: f32[n]'"))
    names = [*(value.name for value in (*inputs, *outputs)), *parameters]
    for name in names:
        if name in _RESERVED or name.startswith("weft") or not name.isidentifier():
            raise ArgumentError(
                mistake(kernel, "a name", repr(name), "a name that is not reserved", "choose another")
            )
        if names.count(name) > 1:
            raise ArgumentError(
                mistake(kernel, f"the name {name}", f"used {names.count(name)} times", "each name once")
            )
    dimensions = {name for value in (*inputs, *outputs) for name in value.names}
    both = sorted(dimensions & {value.name for value in (*inputs, *outputs)})
    if both or dimensions & _RESERVED:
        taken = both or sorted(dimensions & _RESERVED)
        raise ArgumentError(mistake(kernel, f"the dimension {taken[0]}", "a name in use", "a distinct name"))
    given = {
        size for source in inputs for size in source.sizes or () if size.isidentifier()
    } | parameters.keys()
    for declared in (*inputs, *outputs):
        for name in sorted(declared.names - given):
            raise ShapeError(
                f"{kernel}: no input gives the dimension {name} of {declared.name}; "
                f"let it stand alone in one input's shape, or make it a parameter"
            )
    for name in sorted(dimensions & parameters.keys()):
        if not parameters[name].is_integer:
            raise ArgumentError(
                mistake(kernel, f"parameter {name}", parameters[name].name, "an integer in a size")
            )

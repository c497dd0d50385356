"""Hand-written plans, with kernels that are generated for the device under test."""

from __future__ import annotations

import numpy

from weft import dtypes
from weft.codegen import generate, shared_bindings
from weft.devices.base import Device, Storage
from weft.dtypes import DType
from weft.expr import Expr, cast, const, load, parse, substitute, variable
from weft.expr.node import INDEX
from weft.kernels import Axis, Buffer, Kernel, Part, Store
from weft.kernels.derived import Check
from weft.plan import Dispatch, Place, Plan, PlanStep, Space
from weft.target import KernelSpec, Parameter, TargetProfile

POINT = variable("i0_0", INDEX)


def made(kernel: Kernel, profile: TargetProfile) -> KernelSpec:
    """Generate a kernel in the form that plans need."""
    spec = generate(kernel, profile)
    return spec if profile.dialect == "llvm" else shared_bindings(spec)


def pointwise(
    profile: TargetProfile,
    text: str,
    n: int,
    names: str = "a",
    parameters: str = "",
    shift: str = "0",
    dtype: DType = dtypes.float32,
) -> KernelSpec:
    """Return the kernel ``out[i + shift] = text`` over ``n`` elements of the buffers ``names``, integer ``parameters``."""
    types = dict.fromkeys(names, dtype) | dict.fromkeys(parameters, dtypes.int64)
    loads: dict[Expr, Expr] = {variable(name, dtype): load(name, POINT, dtype) for name in names}
    index = parse(f"i0_0 + {shift}", {"i0_0": INDEX} | dict.fromkeys(parameters, dtypes.int64))
    value = substitute(parse(text, types), loads)
    part = Part((Axis(POINT, const(n, INDEX)),), (Store("out", index, value),))
    buffers = (*(Buffer(name, dtype) for name in names), Buffer("out", dtype, "read_write"))
    given = tuple(Parameter(name, dtypes.int64) for name in parameters)
    return made(Kernel("pointwise", buffers, given, (part,)), profile)


def accumulate(profile: TargetProfile, n: int) -> KernelSpec:
    """Return the kernel ``s[i] += a[i]``, which updates a state in place."""
    value = load("s", POINT, dtypes.float32) + load("a", POINT, dtypes.float32)
    part = Part((Axis(POINT, const(n, INDEX)),), (Store("s", POINT, value),))
    buffers = (Buffer("a", dtypes.float32), Buffer("s", dtypes.float32, "read_write"))
    return made(Kernel("accumulate", buffers, (), (part,)), profile)


def checked(profile: TargetProfile, n: int, most: int) -> KernelSpec:
    """Return the kernel ``out[i] = a[i] + 1`` over int32, which reports an ``a[i]`` of ``most`` or more."""
    value = load("a", POINT, dtypes.int32)
    wide = variable("v", INDEX)
    valid = substitute(parse(f"v < {most}", {"v": INDEX}), {wide: cast(value, INDEX)})
    part = Part(
        (Axis(POINT, const(n, INDEX)),),
        (Store("out", POINT, value + const(1, dtypes.int32)),),
        checks=(Check(valid, cast(value, INDEX)),),
    )
    buffers = (Buffer("a", dtypes.int32), Buffer("out", dtypes.int32, "read_write"))
    return made(Kernel("checked", buffers, (), (part,)), profile)


def at(space: Space, index: int, size: int, offset: int = 0) -> Place:
    """Return a place; its offset is the last argument."""
    return Place(space, index, offset, size)


def chain(device: Device, count: int, n: int = 16) -> Plan:
    """Return a plan of ``count`` successive kernels with two arena slots; input and output have ``n`` float32."""
    spec = pointwise(device.profile, "a * 2.0 - 1.0", n)
    size = 4 * n
    slot = -(-size // 256) * 256
    steps: list[PlanStep] = []
    source = at("input", 0, size)
    for number in range(count):
        target = at("output", 0, size) if number == count - 1 else at("arena", 0, size, slot * (number % 2))
        steps.append(Dispatch(spec, (source, target)))
        source = target
    return Plan(tuple(steps), (2 * slot,), (size,), (), (size,))


def upload(device: Device, array: numpy.ndarray) -> Storage:
    """Return a new storage with the array's bytes."""
    storage = device.allocate(array.nbytes)
    device.write(storage, memoryview(numpy.ascontiguousarray(array)).cast("B"))
    return storage


def download(device: Device, storage: Storage, dtype: str = "float32") -> numpy.ndarray:
    """Return the storage's contents as an array."""
    return numpy.frombuffer(device.read(storage, 0, storage.size), dtype)

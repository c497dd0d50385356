"""Hand-written WGSL kernels for tests of the device, with parameters as immediates or in a uniform buffer."""

from __future__ import annotations

from collections.abc import Sequence

from weft import dtypes
from weft.target import Binding, KernelSpec, Parameter, TargetProfile, parameter_space

TYPES = {dtypes.int64: "i32", dtypes.uint32: "u32", dtypes.float32: "f32"}


def kernel(
    profile: TargetProfile,
    body: str,
    parameters: Sequence[tuple[str, dtypes.DType]] = (),
    accesses: str = "rw",
    count: tuple[str, str, str] = ("1", "1", "1"),
    name: str = "test",
    reports: bool = False,
    size: int = 64,
) -> KernelSpec:
    """Return a kernel over u32 buffers ``b0``, ``b1`` … (``r``ead or ``w``ritten); ``g`` is the invocation's index."""
    named = [*parameters, *([("report", dtypes.uint32)] if reports else [])]
    lines = [
        f"@group(0) @binding({i}) var<storage, {'read_write' if access == 'w' else 'read'}> b{i}: array<u32>;"
        for i, access in enumerate(accesses)
    ]
    if reports:
        status = len(accesses)
        lines.append(f"@group(0) @binding({status}) var<storage, read_write> status: array<atomic<u32>, 4>;")
    reads = []
    if named and parameter_space(len(named), profile) == "immediates":
        fields = ", ".join(f"{key}: {TYPES[dtype]}" for key, dtype in named)
        lines += [f"struct Parameters {{ {fields} }}", "var<immediate> given: Parameters;"]
        reads = [f"let {key} = given.{key};" for key, _ in named]
    elif named:
        lines.append(f"@group(1) @binding(0) var<uniform> given: array<vec4<u32>, {-(-len(named) // 4)}>;")
        reads = [
            f"let {key} = bitcast<{TYPES[dtype]}>(given[{i // 4}][{i % 4}]);"
            for i, (key, dtype) in enumerate(named)
        ]
    source = "\n".join([
        *lines,
        f"@compute @workgroup_size({size})",
        "fn main(@builtin(global_invocation_id) id: vec3<u32>) {",
        "  let g = id.x;",
        *(f"  {line}" for line in reads),
        f"  {body}",
        "}",
    ])  # fmt: skip
    bindings = [
        Binding(f"b{i}", dtypes.uint32, "read_write" if a == "w" else "read") for i, a in enumerate(accesses)
    ]
    inputs = tuple(binding for binding in bindings if binding.access == "read")
    outputs = tuple(binding for binding in bindings if binding.access == "read_write")
    declared = tuple(Parameter(key, dtype) for key, dtype in parameters)
    return KernelSpec(name, "wgsl", declared, inputs, outputs, (size, 1, 1), count, source, reports)

"""Generate the WGSL module of a custom kernel: bindings and parameters around the user's text; line numbers are kept.

The text is the body of ``main``, or an ``fn main`` with the functions that it calls. Buffers have their declared names
everywhere; parameters and dimensions have theirs in ``main``, and other functions read them from ``parameters``. A body
also has ``id`` (``global_invocation_id``), ``local_id``, ``local_index``, ``group_id`` and ``groups``
(``num_workgroups``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from weft import dtypes
from weft.codegen.wgsl.module import REPORT
from weft.custom import limits, loops
from weft.custom.sizes import Declared
from weft.dtypes import DType
from weft.errors import ArgumentError, KernelError, UnsupportedError, mistake
from weft.target import Binding, KernelSpec, Parameter, TargetProfile, parameter_space

ELEMENTS: dict[DType, str] = {
    dtypes.float32: "f32", dtypes.int32: "i32", dtypes.uint32: "u32", dtypes.int64: "i32", dtypes.float16: "f16",
}  # fmt: skip
"""The WGSL type of a buffer's elements; int64 tensors have 32 bits on a webgpu device."""

SCALARS: dict[DType, str] = {dtypes.float32: "f32", dtypes.int32: "i32", dtypes.uint32: "u32"}

GROUPS = ("weft_groups_x", "weft_groups_y", "weft_groups_z")
_MAIN = re.compile(r"\bfn\s+main\s*\(")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BUILTINS = (
    "@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_id) local_id: vec3<u32>, "
    "@builtin(local_invocation_index) local_index: u32, @builtin(workgroup_id) group_id: vec3<u32>, "
    "@builtin(num_workgroups) groups: vec3<u32>"
)


@dataclass(frozen=True)
class Source:
    """A user's WGSL with its declarations; ``spec`` generates the kernel of a target."""

    name: str
    text: str
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    parameters: tuple[tuple[str, DType], ...]
    """The values that ``main`` reads by name: the declared parameters, then the dimensions."""
    workgroup_size: tuple[int, int, int]

    @property
    def plain(self) -> str:
        """The text with comments replaced by spaces."""
        return _blank_comments(self.text)

    @property
    def loops(self) -> bool:
        """Whether the text has loops, which are instrumented on software drivers."""
        return loops.has_loops(self.plain)

    def check(self) -> None:
        """Raise ``ArgumentError`` for types without WGSL, for bindings in the text, and above the limits."""
        plain = self.plain
        limits.check(self.name, plain)
        if re.search(r"@\s*(group|binding)\b", plain):
            raise ArgumentError(
                f"{self.name}: source declares bindings (@group, @binding), expected none, since they are generated "
                f"from inputs and outputs; use the names that are declared there"
            )
        for value in (*self.inputs, *self.outputs):
            if value.dtype not in ELEMENTS:
                given = "without a type" if value.dtype is None else value.dtype.name
                raise ArgumentError(
                    mistake(self.name, value.name, given, "f32, f16, i32, u32 or i64 in a WGSL kernel",
                            "convert the tensor, or write the kernel as an expression")
                )  # fmt: skip
        for name, dtype in self.parameters:
            if dtype not in SCALARS:
                raise ArgumentError(mistake(self.name, f"parameter {name}", dtype.name, "f32, i32 or u32"))

    def spec(self, profile: TargetProfile) -> KernelSpec:
        """Return the kernel for a target; ``UnsupportedError`` where it lacks WGSL, ``KernelError`` above a limit."""
        if profile.capabilities.language != "wgsl":
            raise UnsupportedError(
                f"{self.name}: this kernel is written in WGSL, which runs on webgpu devices only, and its tensors "
                f"are on another device; move them with .to('webgpu') or .to('webgpu:software'), or register it with "
                f"expression=..., which runs on both"
            )
        buffers = (*self.inputs, *self.outputs)
        most = profile.storage_buffers
        if len(buffers) + self._watches(profile) > most:
            raise KernelError(
                mistake(self.name, "inputs and outputs", len(buffers), f"at most {most} on this device")
            )
        if any(buffer.dtype is dtypes.float16 for buffer in buffers) and "shader-f16" not in profile.features:
            raise KernelError(
                f"{self.name}: f16 buffers need the feature shader-f16, which this device lacks; use f32"
            )
        parameters = (*self.parameters, *((name, dtypes.uint32) for name in GROUPS))
        return KernelSpec(
            self.name,
            "wgsl",
            tuple(Parameter(name, dtype) for name, dtype in parameters),
            tuple(Binding(source.name, source.dtype or dtypes.float32) for source in self.inputs),
            tuple(
                Binding(output.name, output.dtype or dtypes.float32, "read_write") for output in self.outputs
            ),
            self.workgroup_size,
            GROUPS,
            "".join(self._around(profile)),
            reports=self._watches(profile),
        )

    def _watches(self, profile: TargetProfile) -> bool:
        return profile.software and self.loops

    def lines_before(self, profile: TargetProfile) -> int:
        """Return the number of lines of the module before the user's text."""
        return self._around(profile)[0].count("\n")

    def _around(self, profile: TargetProfile) -> tuple[str, str, str]:
        """Return the parts of the module: before the user's text, the text, and behind it."""
        head = self._declarations(profile)
        text, plain = self.text, self.plain
        if self._watches(profile):
            text = loops.watched(self.name, text, plain)
            plain = _blank_comments(text)
        reads = "".join(f"let {name} = parameters.{name}; " for name, _ in self.parameters)
        x, y, z = self.workgroup_size
        entry = f"@compute @workgroup_size({x}, {y}, {z})"
        found = _MAIN.search(plain)
        if found is None:
            return f"{head}{entry}\nfn main({_BUILTINS}) {{ {reads}\n", text, "\n}\n"
        opening = _body_start(plain, found.end())
        if opening is None:
            return head, text, "\n"  # invalid text, for which the compiler reports the error
        before, main = text[: found.start()], text[found.start() : opening]
        attribute = "" if "@compute" in plain else f"{entry} "
        return head, f"{before}{attribute}{main} {reads}{text[opening:]}", "\n"

    def _declarations(self, profile: TargetProfile) -> str:
        lines = (
            ["enable f16;"] if any(b.dtype is dtypes.float16 for b in (*self.inputs, *self.outputs)) else []
        )
        members = [f"{name}: {SCALARS[dtype]}, " for name, dtype in self.parameters]
        members += [f"{name}: u32, " for name in GROUPS]
        if self._watches(profile):
            members.append("report: u32, ")
        space = parameter_space(len(members), profile)
        where = "var<immediate>" if space == "immediates" else "@group(1) @binding(0) var<uniform>"
        lines += [f"struct Parameters {{ {''.join(members)}}}", f"{where} parameters: Parameters;"]
        for position, buffer in enumerate((*self.inputs, *self.outputs)):
            access = "read" if position < len(self.inputs) else "read_write"
            element = ELEMENTS[buffer.dtype or dtypes.float32]
            lines.append(
                f"@group(0) @binding({position}) var<storage, {access}> {buffer.name}: array<{element}>;"
            )
        if self._watches(profile):
            lines.append(
                f"@group(0) @binding({len(self.inputs) + len(self.outputs)}) "
                f"var<storage, read_write> status: array<atomic<u32>, 4>;"
            )
            lines += [REPORT, loops.HELPERS]
        return "\n".join(lines) + "\n"


def users_lines(message: str, before: int, text: str) -> str:
    """Return a compiler's message with line numbers of the module replaced by those of the user's text.

    The compiler writes line numbers as ``wgsl:12:5``, and before the ``│`` of each quoted line.
    """
    lines = text.count("\n") + 1

    def number(found: re.Match[str]) -> str:
        line = int(found[2]) - before
        return f"{found[1]}{line if 1 <= line <= lines else found[2]}{found[3]}"

    message = re.sub(r"(wgsl:)(\d+)(:)", number, message)
    return re.sub(r"(?m)^(\s*)(\d+)(\s*│)", number, message)


def _blank_comments(text: str) -> str:
    """Replace comments by spaces, so that positions do not change."""
    return _COMMENT.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _body_start(text: str, after: int) -> int | None:
    """Return the position behind the ``{`` of a function whose parameters begin at ``after``, or ``None``."""
    depth = 1
    for place in range(after, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            opening = text.find("{", place)
            return None if opening < 0 else opening + 1
    return None


def counts(name: str, found: Sequence[int], most: int) -> tuple[int, ...]:
    """Return workgroup counts after a check against the target's limit."""
    for axis, count in zip("xyz", found, strict=True):
        if not 0 <= count <= most:
            raise KernelError(
                mistake(name, f"workgroup_count in {axis}", f"{count:,}", f"0 to {most:,}",
                        "count in two dimensions: workgroup_count=('min(ceil(n / 64), 65535)', "
                        "'ceil(n / (64 * 65535))', '1'), and find the index from group_id and groups")
            )  # fmt: skip
    return tuple(found)

"""``Module`` collects a WGSL shader: bindings, parameters, helpers, the entry point; it checks the target's limits.

Derived kernels and library templates fill a module and ``finish`` it as a ``KernelSpec``. The layout of its bindings:
group 0 holds the buffers in order, then the status words where the kernel reports; parameters are
immediates, or a uniform struct at group 1 binding 0, of 4 bytes each in declared order.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from weft.codegen.wgsl.storage import View
from weft.dtypes import DType
from weft.errors import KernelError
from weft.expr import Expr
from weft.expr.wgsl_text import Declarations, identifier, type_name
from weft.target import Binding, Bound, KernelSpec, Parameter, TargetProfile, parameter_space

# What WebGPU guarantees where a profile gives no limit.
_DEFAULT_LIMITS = {
    "max-storage-buffers-per-shader-stage": 8,
    "max-compute-workgroup-storage-size": 16384,
    "max-compute-invocations-per-workgroup": 256,
    "max-compute-workgroup-size-x": 256,
    "max-compute-workgroup-size-y": 256,
    "max-compute-workgroup-size-z": 64,
    "max-compute-workgroups-per-dimension": 65535,
}

SOFTWARE_STEPS = 65535
"""llvmpipe silently leaves all loops of an invocation once they have taken this many steps together."""

REPORT = """fn weft_report(value: i32) {
    // the exchange may fail for no reason on some hardware; a failed one with the word still 0 is tried again
    for (var attempt = 0; attempt < 16; attempt++) {
        let result = atomicCompareExchangeWeak(&status[0], 0u, parameters.report + 1u);
        if (result.exchanged) {
            atomicStore(&status[1], bitcast<u32>(value));
        }
        if (result.exchanged || result.old_value != 0u) {
            return;
        }
    }
}"""


def limit(profile: TargetProfile, name: str) -> int:
    """Return the profile's limit of a WebGPU name, or else what every WebGPU device guarantees."""
    return profile.limits.get(name, _DEFAULT_LIMITS[name])


@dataclass
class Module:
    """The parts of a shader; ``finish`` makes its text."""

    name: str
    profile: TargetProfile
    parameters: tuple[Parameter, ...]
    views: tuple[View, ...]
    workgroup_size: tuple[int, int, int]
    reports: bool = False
    declarations: Declarations = field(default_factory=Declarations)
    functions: list[str] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    _shared: dict[str, tuple[str, int]] = field(default_factory=dict)
    _subgroups: bool = False

    def __post_init__(self) -> None:
        self.declarations.exact_division = self.profile.software

    @property
    def title(self) -> str:
        """The kernel's name in letters, digits and underscores."""
        return re.sub(r"\W", "_", self.name)

    @property
    def invocations(self) -> int:
        """Invocations in a workgroup."""
        x, y, z = self.workgroup_size
        return x * y * z

    def parameter(self, name: str) -> str:
        """Return the text that reads a parameter."""
        return f"parameters.{identifier(name)}"

    def subgroup(self) -> int:
        """Return the size of the subgroups that may exchange values, a power of two; 0 where they may not.

        A call numbers the invocations by their subgroups, as WGSL does not say which invocations a subgroup holds.
        """
        size = self.profile.subgroup
        ready = self.profile.dialect == "wgsl-native" and not self.profile.software
        if not ready or size < 4 or size & (size - 1) or self.invocations % size:
            return 0
        self._subgroups = True
        return size

    def bound_steps(self, steps: Expr) -> None:
        """Bound the loop steps of an invocation; too many raise ``KernelError``, here or at the dispatch."""
        if not self.profile.software:
            return
        message = (
            "a software WebGPU driver ends loops that are this long; use the cpu device, or smaller pieces"
        )
        if steps.function != "const":
            self.bounds.append(Bound(repr(steps), SOFTWARE_STEPS, message))
        elif steps.data > SOFTWARE_STEPS:
            raise KernelError(f"kernel {self.name}: {message} (here {steps.data}, at most {SOFTWARE_STEPS})")

    def shared(self, name: str, element: str, count: int) -> str:
        """Declare an array in workgroup memory and return its name; a declared name is the same array."""
        known = self._shared.setdefault(name, (element, count))
        assert known == (element, count), f"workgroup array {name} is declared twice, differently"
        return name

    def finish(self, body: Sequence[str], workgroup_count: tuple[str, str, str]) -> KernelSpec:
        """Return the kernel with ``body`` as its entry point; raise ``KernelError`` over a limit."""
        self._check_limits()
        reads = tuple(Binding(view.name, view.dtype) for view in self.views if not view.written)
        writes = tuple(Binding(view.name, view.dtype, "read_write") for view in self.views if view.written)
        return KernelSpec(
            self.title,
            "wgsl",
            self.parameters,
            reads,
            writes,
            self.workgroup_size,
            workgroup_count,
            self._source(body),
            self.reports,
            tuple(self.bounds),
        )

    def _source(self, body: Sequence[str]) -> str:
        bindings = [view.declaration(position) for position, view in enumerate(self.views)]
        if self.reports:
            bindings.append(
                f"@group(0) @binding({len(self.views)}) var<storage, read_write> status: array<atomic<u32>, 4>;"
            )
            self.declarations.functions["weft_report"] = REPORT
        shared = [
            f"var<workgroup> {name}: array<{kind}, {count}>;" for name, (kind, count) in self._shared.items()
        ]
        sections = [
            f"// {self.title}",
            self._parameters(),
            "\n".join(bindings),
            "\n".join(shared),
            self.declarations.text(),
            *self.functions,
            self._entry(body),
        ]
        return "\n\n".join(filter(None, sections)) + "\n"

    def _parameters(self) -> str:
        members = [f"    {identifier(each.name)}: {type_name(each.dtype)}," for each in self.parameters]
        if self.reports:
            members.append("    report: u32,")
        if not members:
            return ""
        space = parameter_space(len(members), self.profile)
        where = "var<immediate>" if space == "immediates" else "@group(1) @binding(0) var<uniform>"
        return "\n".join(["struct Parameters {", *members, "}", f"{where} parameters: Parameters;"])

    def _entry(self, body: Sequence[str]) -> str:
        size = ", ".join(map(str, self.workgroup_size))
        return "\n".join(
            [
                f"@compute @workgroup_size({size})",
                "fn main(",
                "    @builtin(workgroup_id) workgroup_id: vec3<u32>,",
                "    @builtin(num_workgroups) workgroups: vec3<u32>,",
                *self._numbers(),
                ") {",
                *(["    let local = subgroup * subgroup_size + subgroup_lane;"] if self._subgroups else []),
                # every grid has one layer, so this is 0
                *(["    weft_zero = workgroup_id.z;"] if "weft_zero" in self.declarations.privates else []),
                *body,
                "}",
            ]
        )

    def _numbers(self) -> list[str]:
        """Return the entry point's arguments that number an invocation in its workgroup."""
        if not self._subgroups:
            return ["    @builtin(local_invocation_index) local: u32,"]
        return [
            "    @builtin(subgroup_id) subgroup: u32,",
            "    @builtin(subgroup_size) subgroup_size: u32,",
            "    @builtin(subgroup_invocation_id) subgroup_lane: u32,",
        ]

    def _check_limits(self) -> None:
        """Compare the kernel's needs with the target's limits, by their WebGPU names."""
        storage = sum(_size(kind) * count for kind, count in self._shared.values())
        x, y, z = self.workgroup_size
        needed = {
            "max-storage-buffers-per-shader-stage": (
                len(self.views) + self.reports,
                "split the kernel into several",
            ),
            "max-compute-workgroup-storage-size": (storage, "choose a smaller tile"),
            "max-compute-invocations-per-workgroup": (self.invocations, "choose a smaller workgroup"),
            "max-compute-workgroup-size-x": (x, "choose a smaller workgroup"),
            "max-compute-workgroup-size-y": (y, "choose a smaller workgroup"),
            "max-compute-workgroup-size-z": (z, "choose a smaller workgroup"),
        }
        for name, (given, remedy) in needed.items():
            allowed = limit(self.profile, name)
            if given > allowed:
                raise KernelError(
                    f"kernel {self.name}: needs {given}, but {name} of this target is {allowed}; {remedy}"
                )


def _size(element: str) -> int:
    """Return the bytes of a WGSL type in workgroup memory."""
    if element.startswith("array<"):
        inner, count = element[6:-1].rsplit(",", 1)
        return _size(inner) * int(count)
    lanes = int(element[3]) if element.startswith("vec") else 1
    return 4 * (4 if lanes == 3 else lanes)


def supported(dtype: DType) -> DType:
    """Return the type; raise ``KernelError`` where WGSL cannot hold it."""
    type_name(dtype)
    return dtype

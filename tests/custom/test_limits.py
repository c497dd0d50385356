"""Limits of users' WGSL, which are checked before a driver sees it, and reports of loops that a driver aborts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft.custom import limits
from weft.errors import ArgumentError, KernelError

NAMES = (f"limited_{number}" for number in itertools.count())


def register(source: str, **options: object) -> wf.custom.CustomKernel:
    return wf.register_kernel(
        next(NAMES),
        source=source,
        inputs=["x: f32[n]"],
        outputs=["y: f32[n]"],
        **options,  # type: ignore[arg-type]
    )


def nested(opening: str, closing: str, count: int, inside: str = "1.0") -> str:
    return opening * count + inside + closing * count


TOO_MUCH = {
    "parentheses": ("y[0] = " + nested("(", ")", 3000) + ";", "nested deeper"),
    "indices": ("y[0] = " + nested("x[u32(", ")]", 200, "0.0") + ";", "nested deeper"),
    "arrays": ("var a: " + nested("array<", ", 1>", 3000, "f32") + ";", "nested deeper"),
    "braces": (nested("{", "}", 200, "y[0] = 1.0;"), "nested deeper"),
    "comments that hide nothing": ("/* ( */ y[0] = " + nested("(", ")", 200) + "; // )", "nested deeper"),
    "text": ("y[0] = 1.0;" * 20_000, "220,000 characters, expected at most 131,072"),
    "alternatives": ("if (id.x == 0u) { }" + " else if (id.x == 1u) { }" * 501, "501 uses of 'else if'"),
    "memory": ("var a: array<f32, 50000000>; y[0] = a[id.x];", "200,000,000 bytes, expected at most 65,536"),
    "memory of rows": ("var a: array<array<vec4<f32>, 1000>, 1000>; y[0] = a[0][0].x;", "16,000,000 bytes"),
    "memory by a constant": ("const N = 1000 * 1000u; fn main() { var a: array<u32, N + 1>; }", "4,000,004 bytes"),
    "memory by constants": ("const N = 1 << 10; const M = N * N; fn main() { var a: array<u32, M>; }", "4,194,304 bytes"),
    "memory of structs": (
        "struct S { a: array<f32, 10000>, b: vec3f } alias T = array<S, 9>; fn main() { var s: T; }", "360,144 bytes",
    ),
    "memory made at once": ("let a = array<f32, 20000>(); y[0] = a[id.x];", "80,000 bytes"),
    "a size that nothing gives": ("var a: array<f32, K>;", "the size of an array is 'K', expected an integer"),
    "a size by itself": ("const K = K; fn main() { var a: array<f32, K>; }", "the size of an array"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TOO_MUCH)
def test_excessive_kernels_are_refused_before_the_driver(kind: str) -> None:
    source, message = TOO_MUCH[kind]
    with pytest.raises(ArgumentError, match=message):
        register(source)


@pytest.mark.webgpu
def test_kernels_within_the_limits_are_compiled() -> None:
    kernel = register(
        "var a: array<f32, 4 * 64>; var r: array<vec2<f32>, 8>; for (var i = 0u; i < 256u; i++) { a[i] = f32(i); }\n"
        "if (id.x < n) { y[id.x] = " + nested("(", ")", 100, "a[id.x] + r[0].x + x[id.x]") + "; }"
    )
    device = wf.devices.open(ADAPTER)
    assert kernel(wf.ones(4, device=device.name)).tolist() == [1, 2, 3, 4]


@pytest.mark.webgpu
def test_the_work_of_a_dispatch_is_bounded() -> None:
    kernel = register("y[0] = 1.0;", workgroup_count=("65535", "65535", "1"), workgroup_size=256)
    with pytest.raises(
        ArgumentError, match=r"workgroup_count is 1,099,478,\d+,\d+ invocations of .* words, expected at"
    ):
        limits.check_work("k", "y[0] = 1.0;" * 20, 65535 * 65535 * 256, software=False)
    if wf.devices.open(ADAPTER).profile.software:
        with pytest.raises(ArgumentError, match="workgroup_count is"):
            kernel(wf.ones(4, device=ADAPTER))


@pytest.fixture
def software() -> Iterator[str]:
    device = wf.devices.open(ADAPTER)
    if not device.profile.software:
        pytest.skip("hardware ends no loop")
    yield device.name
    device.synchronize()


LOOPS = {
    "for": "for (var i = 0u; i < {n}; i++) {{ a += 1u; }}",
    "for without a step": "var i = 0u; for (; i < {n};) {{ i += 1u; a += 1u; }}",
    "for with break": "for (var i = 0u; ; i++) {{ if (i >= {n}) {{ break; }} a += 1u; }}",
    "while": "while (a < {n}) {{ a += 1u; }}",
    "while with continue": "while (a < {n}) {{ a += 1u; if (a % 2u == 0u) {{ continue; }} }}",
    "loop": "loop {{ if (a >= {n}) {{ break; }} a += 1u; }}",
    "loop with continuing": "loop {{ a += 1u; continuing {{ break if a >= {n}; }} }}",
    "in a switch": "loop {{ switch (a / {n}) {{ case 0u: {{ a += 1u; break; }} default: {{ }} }} "
    "if (a >= {n}) {{ break; }} }}",
    "nested": "for (var i = 0u; i < {n} / 100u; i++) {{ for (var k = 0u; k < 100u; k++) {{ a += 1u; }} }} "
    "a += {n} % 100u;",
}


@pytest.mark.webgpu
@pytest.mark.parametrize("kind", LOOPS)
def test_loops_that_a_driver_ends_are_reported(kind: str, software: str) -> None:
    x = wf.ones(5, device=software)
    for turns, cut in ((1, False), (60_000, False), (70_000, True)):
        source = (
            "var a = 0u; // for (\n"
            + LOOPS[kind].format(n=f"{turns}u")
            + "\nif (id.x < n) { y[id.x] = f32(a); }"
        )
        found = register(source)(x)
        if cut:
            with pytest.raises(KernelError, match="the driver ended a loop early"):
                found.numpy()
        else:
            np.testing.assert_array_equal(found.numpy(), np.full(5, turns, "float32"))


@pytest.mark.webgpu
def test_invocations_that_take_different_turns(software: str) -> None:
    """Neighbouring invocations share the driver's counter: some loop first, others later."""
    source = """
fn turns(count: u32) -> u32 {
    var a = 0u;
    for (var i = 0u; i < count; i++) { a += 1u; }
    return a;
}
fn main() {
    var a = 0u;
    if (id.x % 2u == 0u) { a = turns(40000u); } else { a = turns(39999u); }
    if (id.x < n) { y[id.x] = f32(a); }
}"""
    found = register(source.replace("fn main()", "fn main(@builtin(global_invocation_id) id: vec3<u32>)"))(
        wf.ones(8, device=software)
    )
    try:
        values = found.tolist()
    except KernelError:
        return
    assert values == [40000, 39999] * 4


@pytest.mark.webgpu
def test_barriers_stay_where_all_invocations_meet() -> None:
    tile = """
var<workgroup> part: array<f32, 64>;
@compute @workgroup_size(64, 1, 1)
fn main(@builtin(local_invocation_index) at: u32, @builtin(global_invocation_id) id: vec3<u32>) {
    part[at] = x[id.x];
    workgroupBarrier();
    for (var step = 32u; step > 0u; step /= 2u) {
        if (at < step) { part[at] += part[at + step]; }
        workgroupBarrier();
    }
    y[id.x] = part[0];
}"""
    found = register(tile)(wf.arange(64, device=ADAPTER).float())
    assert found.tolist() == [2016.0] * 64


@pytest.mark.webgpu
def test_mistakes_keep_their_lines_beside_watched_loops() -> None:
    with pytest.raises(KernelError, match=r"wgsl:3:"):
        register("for (var i = 0u; i < 4u; i++) {\n  let a = 1;\n  let b = nothing;\n}")(
            wf.ones(4, device=ADAPTER)
        )


@pytest.mark.webgpu
def test_a_loop_that_cannot_be_instrumented_is_refused(software: str) -> None:
    source = """
fn found() -> u32 { var a = 0u; loop { a += 1u; if (a > 5u) { return a; } } }
fn main() { y[0] = f32(found()); }"""
    with pytest.raises(KernelError, match="end it by break"):
        register(source)(wf.ones(4, device=software))

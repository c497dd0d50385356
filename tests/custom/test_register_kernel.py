"""Custom kernels: WGSL and expressions, sizes, several outputs, gradients, and errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy
import pytest

import weft as wf
from tests.conftest import ADAPTER
from weft import errors
from weft.custom.sizes import declaration, evaluate, names_in
from weft.devices.base import Device
from weft.errors import DTypeError, ExpressionError

SAXPY = "if (id.x < n) { out[id.x] = a * x[id.x] + y[id.x]; }"


def wgsl(name: str = "wgsl_saxpy", source: str = SAXPY, **changes: Any) -> Any:
    given = {
        "inputs": ["x: f32[n]", "y: f32[n]"], "outputs": ["out: f32[n]"], "parameters": {"a": "f32"},
        "workgroup_size": 64, "workgroup_count": "ceil(n / 64)", "replace": True,
    } | changes  # fmt: skip
    return wf.register_kernel(name, source=source, **given)


def on(adapter: str, *arrays: numpy.ndarray) -> list[wf.Tensor]:
    return [wf.tensor(array, device=adapter) for array in arrays]


@pytest.mark.webgpu
@pytest.mark.parametrize("count", [1, 63, 64, 1000, 70_000])
def test_wgsl_computes_at_any_length(count: int) -> None:
    random = numpy.random.default_rng(count)
    a, b = random.normal(size=(2, count)).astype("float32")
    x, y = on(ADAPTER, a, b)
    kernel = wgsl()
    numpy.testing.assert_allclose(kernel(x, y, 2.5).numpy(), 2.5 * a + b, rtol=1e-6, atol=1e-6)
    numpy.testing.assert_allclose(kernel(y=y, a=-1, x=x).numpy(), b - a, rtol=1e-6, atol=1e-6)


@pytest.mark.webgpu
def test_wgsl_reads_views_as_they_look() -> None:
    values = numpy.arange(24, dtype="float32").reshape(4, 6)
    (whole,) = on(ADAPTER, values)
    kernel = wgsl()
    x, y = whole[1], whole[:, 2].flip(0)[:0]
    numpy.testing.assert_array_equal(kernel(x, whole[3], 1.0).numpy(), values[1] + values[3])
    numpy.testing.assert_array_equal(
        kernel(whole.T[3], whole.T[1], 2.0).numpy(), 2 * values[:, 3] + values[:, 1]
    )
    assert kernel(y, y, 1.0).shape == (0,)


@pytest.mark.webgpu
def test_wgsl_with_functions_workgroup_memory_and_two_outputs() -> None:
    """Sums of pieces of 64 and the squares, over a size that is computed."""
    source = """
    var<workgroup> partial: array<f32, 64>;
    // fn main( in a comment is not it
    fn square(v: f32) -> f32 { return v * v * parameters.scale; }
    fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(local_invocation_index) local: u32,
            @builtin(workgroup_id) group: vec3<u32>) {
        var value = 0.0;
        if (id.x < n) { value = x[id.x]; squares[id.x] = square(value); }
        partial[local] = value;
        workgroupBarrier();
        if (local == 0u) {
            var sum = 0.0;
            for (var i = 0u; i < 64u; i++) { sum += partial[i]; }
            sums[group.x] = sum;
        }
    }
    """
    kernel = wf.register_kernel(
        "pieces", source=source, inputs=["x: f32[n]"], outputs=["sums: f32[ceil(n / 64)]", "squares: f32[n]"],
        parameters={"scale": "f32"}, workgroup_count="ceil(n / 64)", replace=True,
    )  # fmt: skip
    values = numpy.arange(130, dtype="float32")
    sums, squares = kernel(*on(ADAPTER, values), scale=0.5)
    padded = numpy.pad(values, (0, 62)).reshape(3, 64)
    numpy.testing.assert_array_equal(sums.numpy(), padded.sum(1))
    numpy.testing.assert_array_equal(squares.numpy(), values**2 / 2)


@pytest.mark.webgpu
def test_integer_parameters_may_occur_in_sizes() -> None:
    kernel = wf.register_kernel(
        "repeated", source="if (id.x < n * times) { out[id.x] = x[id.x % n]; }",
        inputs=["x: i32[n]"], outputs=["out: i32[times, n]"], parameters={"times": "u32"}, replace=True,
    )  # fmt: skip
    (x,) = on(ADAPTER, numpy.arange(5, dtype="int32"))
    for times in (1, 3, 20):
        assert kernel(x, times).numpy().tolist() == [list(range(5))] * times
    with pytest.raises(errors.ArgumentError, match="parameter times is -1, expected 0 to 4294967295"):
        kernel(x, -1)
    with pytest.raises(errors.ArgumentTypeError, match=r"parameter times is 1\.5, expected an integer"):
        kernel(x, 1.5)


@pytest.mark.webgpu
def test_compile_errors_show_the_users_line() -> None:
    source = "let i = id.x;\nif (i < n) {\n    out[i] = a * x[i] + missing;\n}"
    x, y = on(ADAPTER, *numpy.ones((2, 4), "float32"))
    for text in (source, f"fn main(@builtin(global_invocation_id) id: vec3<u32>) {{\n{source}\n}}"):
        line = text.splitlines().index("    out[i] = a * x[i] + missing;") + 1
        with pytest.raises(errors.KernelError) as caught:
            wgsl("wrong", text)(x, y, 1.0)
        message = str(caught.value)
        assert "missing" in message
        assert re.search(rf"wgsl:{line}:\d+", message), message
        assert re.search(rf"(?m)^\s*{line} │\s+out\[i\] = a \* x\[i\] \+ missing;\n.*\^+", message), message


@pytest.mark.webgpu
def test_a_function_gives_a_wgsl_kernel_its_gradient() -> None:
    square = wgsl("square_kernel", "if (id.x < n) { out[id.x] = x[id.x] * x[id.x]; }",
                  inputs=["x: f32[n]"], parameters={})  # fmt: skip

    class Square(wf.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: wf.Tensor) -> Any:
            ctx.save_for_backward(x)
            return square(x)

        @staticmethod
        def backward(ctx: Any, grad: wf.Tensor) -> Any:
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    (x,) = on(ADAPTER, numpy.array([1, -2, 3], "float32"))
    x.requires_grad_()
    Square.apply(x).sum().backward()
    assert x.grad.tolist() == [2, -4, 6]
    direct = square(x)
    with pytest.raises(
        errors.GradError, match=r"square_kernel: a gradient is needed of a kernel in WGSL.*Function"
    ):
        direct.sum().backward()
    with wf.no_grad():
        assert not square(x).requires_grad


@pytest.mark.webgpu
def test_wgsl_kernels_are_traced() -> None:
    kernel = wgsl()
    x, y = on(ADAPTER, *numpy.arange(6, dtype="float32").reshape(2, 3))
    traced = wf.compiler.trace(lambda p, q: kernel(p, q, 2.0) + 1, x, y)
    assert "custom.wgsl_saxpy" in [node.op for node in traced.graph.nodes]


@pytest.mark.webgpu
def test_many_calls_of_many_shapes_are_one_pipeline() -> None:
    kernel = wgsl("one_pipeline", SAXPY + " // of its own")
    gpu = wf.devices.open(ADAPTER)
    for count in (3, 64, 65, 999):
        x, y = on(ADAPTER, *numpy.ones((2, count), "float32"))
        assert kernel(x, y, float(count)).sum().item() == count * (count + 1)
    found = [spec.name for spec in list(gpu.pipelines._by_value)]  # type: ignore[attr-defined]
    assert found.count("one_pipeline") == 1


def test_wgsl_on_cpu_raises() -> None:
    x = wf.ones(3, device="cpu")
    with pytest.raises(
        errors.UnsupportedError, match=r"wgsl_saxpy.*written in WGSL.*webgpu devices only.*expression="
    ):
        wgsl()(x, x, 1.0)


def ones(*shape: int) -> wf.Tensor:
    return wf.ones(*shape, device="cpu")


MISTAKES: list[tuple[Callable[[Any], Any], type, str]] = [
    (lambda k: k(ones(3), ones(4), 1.0), errors.ShapeError,
     r"dimension 0 \(n\) of argument y is 4, expected 3 \(n=3 from x's dimension 0\)"),
    (lambda k: k(ones(3, 1), ones(3), 1.0), errors.ShapeError,
     r"argument x is of shape \(3, 1\), 2 dimensions, expected \[n\], 1 dimensions"),
    (lambda k: k(ones(3).to(wf.float64), ones(3), 1.0), errors.DTypeError,
     r"argument x is float64, expected float32; use \.to\(weft\.float32\)"),
    (lambda k: k([1.0], ones(3), 1.0), errors.ArgumentTypeError, "argument x is list, expected a Tensor"),
    (lambda k: k(ones(3), ones(3)), errors.ArgumentTypeError, "missing a required argument: 'a'"),
    (lambda k: k(ones(3), ones(3), 1.0, b=2), errors.ArgumentTypeError, "unexpected keyword argument 'b'"),
    (lambda k: k(ones(3), ones(3), "two"), errors.ArgumentTypeError, "parameter a is 'two', expected a number"),
    (lambda k: k(ones(3), ones(3), ones(1)), errors.ArgumentTypeError, "parameter a is a Tensor, expected a number"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), MISTAKES)
@pytest.mark.parametrize("form", ["wgsl", "expression"])
def test_mistakes_of_a_call_name_argument_given_and_expected(
    form: str, call: Callable[[Any], Any], kind: type, message: str
) -> None:
    kernel = wgsl() if form == "wgsl" else saxpy()
    with pytest.raises(kind, match=f"^{kernel.name}: .*{message}"):
        call(kernel)


DECLARATIONS: list[tuple[dict[str, Any], type, str]] = [
    ({"inputs": ["x f32"]}, errors.ArgumentError, "a declaration is 'x f32', expected the form 'x: f32"),
    ({"inputs": ["x: f33[n]"]}, errors.ArgumentError, "the type of x is f33, expected one of f64"),
    ({"inputs": []}, errors.ArgumentError, "inputs is none, expected at least one"),
    ({"outputs": []}, errors.ArgumentError, "outputs is none"),
    ({"outputs": ["out: f32[m]"]}, errors.ShapeError, "no input gives the dimension m of out"),
    ({"outputs": ["x: f32[n]"]}, errors.ArgumentError, "the name x is used 2 times"),
    ({"outputs": ["out: f32[n.real]"]}, errors.ExpressionError, r"'n.real' cannot stand in a size"),
    ({"outputs": ["out: f32[n +]"]}, errors.ExpressionError, r"size 'n \+' does not parse"),
    ({"outputs": ["out: f64[n]"]}, errors.ArgumentError, "out is float64, expected f32, f16, i32, u32 or i64"),
    ({"outputs": ["main: f32[n]"]}, errors.ArgumentError, "a name is 'main', expected a name that is not reserved"),
    ({"workgroup_size": 0}, errors.ArgumentError, "workgroup_size is 0, expected one to three positive"),
    ({"workgroup_size": (1, 1, 1, 1)}, errors.ArgumentError, "workgroup_size is 4 values"),
    ({"workgroup_count": "ceil(k / 64)"}, errors.ArgumentError, "workgroup_count is 'k', which no input gives"),
    ({"parameters": {"a": "f64"}}, errors.ArgumentError, "parameter a is float64, expected f32, i32 or u32"),
    ({"parameters": {"a": "float"}}, errors.ArgumentError, "the type of parameter a is 'float', expected one of"),
    ({"source": "@group(0) @binding(0) var<storage> z: array<f32>;"}, errors.ArgumentError, "declares bindings"),
    ({"expression": "x"}, errors.ArgumentError, "source and expression is both"),
    ({"source": None}, errors.ArgumentError, "source and expression is neither"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "kind", "message"), DECLARATIONS)
def test_mistakes_of_a_declaration(changes: dict[str, Any], kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        wgsl("mistaken", **changes)
    assert "custom.mistaken" not in wf.ops.OPS


def test_a_name_is_taken_once() -> None:
    first = wf.register_kernel("taken", expression="x + 1", inputs=["x"], replace=True)
    assert wf.register_kernel("taken", expression="x + 1", inputs=["x"]) is first
    with pytest.raises(
        errors.ArgumentError, match=r"the name 'taken' is taken by another kernel.*replace=True"
    ):
        wf.register_kernel("taken", expression="x + 2", inputs=["x"])
    assert first(ones(1)).item() == 2
    second = wf.register_kernel("taken", expression="x + 2", inputs=["x"], replace=True)
    assert second(ones(1)).item() == 3


# Expressions.


def saxpy() -> Any:
    return wf.register_kernel(
        "saxpy",
        expression="a * x + y",
        inputs=["x: f32[n]", "y: f32[n]"],
        parameters={"a": "f32"},
        replace=True,
    )


def test_an_expression_runs_everywhere(device: Device) -> None:
    random = numpy.random.default_rng(0)
    a, b = random.normal(size=(2, 1000)).astype("float32")
    x, y = on(device.name, a, b)
    numpy.testing.assert_allclose(saxpy()(x, y, a=3).numpy(), 3 * a + b, rtol=1e-6, atol=1e-6)


def test_the_gradient_of_an_expression_is_derived(device: Device) -> None:
    kernel = wf.register_kernel("bell", expression="exp(-x * x) * y", inputs=["x", "y"], replace=True)
    x = wf.tensor([[0.5], [-1.0]], device=device.name, requires_grad=True)
    y = wf.tensor([2.0, 3.0, 4.0], device=device.name, requires_grad=True)
    dx, dy = wf.autograd.grad(kernel(x, y).sum(), (x, y), create_graph=True)
    a, b = x.detach().numpy().astype("float64"), y.detach().numpy().astype("float64")
    numpy.testing.assert_allclose(dx.detach().numpy(), -2 * a * numpy.exp(-a * a) * b.sum(), rtol=1e-5)
    numpy.testing.assert_allclose(dy.detach().numpy(), [numpy.exp(-a * a).sum()] * 3, rtol=1e-5)
    (ddx,) = wf.autograd.grad(dx.sum(), x)
    numpy.testing.assert_allclose(ddx.numpy(), (4 * a * a - 2) * numpy.exp(-a * a) * b.sum(), rtol=1e-5)


def test_several_expressions_are_one_kernel(device: Device) -> None:
    kernel = wf.register_kernel(
        "polar", expression={"length": "sqrt(x*x + y*y) * s", "product": "x * y"}, inputs=["x: f32[n]", "y: f32[n]"],
        parameters={"s": "f32"}, replace=True,
    )  # fmt: skip
    x = wf.tensor([3.0, 5.0], device=device.name, requires_grad=True)
    y = wf.tensor([4.0, 12.0], device=device.name, requires_grad=True)
    kernel(x, y, 2.0)
    before = device.memory_stats().dispatches
    length, product = kernel(x, y, 2.0)
    assert device.memory_stats().dispatches == before + 1
    assert length.tolist() == [10, 26]
    assert product.tolist() == [12, 60]
    (length.sum() + (2 * product).sum()).backward()
    numpy.testing.assert_allclose(x.grad.numpy(), [6 / 5 + 8, 10 / 13 + 24], rtol=1e-6)
    only = wf.autograd.grad(kernel(x, y, 2.0)[1].sum(), y)[0]
    assert only.tolist() == [3, 5]


def test_mistakes_of_an_expression() -> None:
    with pytest.raises(errors.ExpressionError, match=r"(?s)missing.*\n\s+x \+ missing\n\s+\^"):
        wf.register_kernel("bad", expression="x + missing", inputs=["x"], replace=True)
    declared = wf.register_kernel(
        "bad", expression="x + 1", inputs=["x: f32[n, n]"], outputs=["o: i32[n, n]"], replace=True
    )
    with pytest.raises(errors.ShapeError, match=r"dimension 1 \(n\) of argument x is 3, expected 2"):
        declared(ones(2, 3))
    with pytest.raises(errors.DTypeError, match="output o is declared as int32, expected float32"):
        declared(ones(2, 2))


# Sizes.


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("ceil(n / 64)", {"n": 2**60 + 1}, 2**54 + 1),
        ("n // 2 + n % 2 - 1", {"n": 7}, 3),
        ("ceil_div(n * m, 3)", {"n": 5, "m": 2}, 4),
        ("max(min(n, 4), floor(m / 2))", {"n": 9, "m": 11}, 5),
        ("-(-n)", {"n": 3}, 3),
    ],
)
def test_sizes_are_exact(text: str, values: dict[str, int], expected: int) -> None:
    assert evaluate("k", text, values) == expected
    assert names_in(text) == values.keys()


def test_sizes_that_are_none() -> None:
    with pytest.raises(errors.ShapeError, match=r"the size n / 2 \(n=3\) is 3/2, expected an integer"):
        evaluate("k", "n / 2", {"n": 3})
    with pytest.raises(errors.ShapeError, match="divides by zero"):
        evaluate("k", "n / m", {"n": 3, "m": 0})
    with pytest.raises(errors.ExpressionError, match="too many or few"):
        evaluate("k", "ceil(n, 2)", {"n": 3})
    assert declaration("k", " x : f32 [ max(n, 2) , 3 ] ").sizes == ("max(n, 2)", "3")
    assert declaration("k", "x: f32[]").sizes == ()


def test_a_kernel_declared_without_types_is_checked_in_float64() -> None:
    for number, declared in enumerate((["x", "y"], ["x[n]", "y[n]"])):
        kernel = wf.register_kernel(f"untyped_{number}", expression="sin(x) * y", inputs=declared)
        operands = [wf.rand(3, dtype=wf.float64, device="cpu", requires_grad=True) for _ in range(2)]
        assert wf.autograd.gradcheck(kernel, tuple(operands))
    typed = wf.register_kernel("typed_0", expression="sin(x)", inputs=["x: f32"])
    assert typed(wf.ones((2, 3, 4))).shape == (2, 3, 4)  # any shape
    with pytest.raises(
        DTypeError, match=r"expected float32; .* or declare x without a type, which takes any"
    ):
        typed(wf.ones(2, dtype=wf.float64, device="cpu"))


def test_a_misspelt_function_is_reported_in_a_line() -> None:
    with pytest.raises(
        ExpressionError, match=r"there is no function 'sni' in expressions, did you mean sin\?"
    ) as caught:
        wf.register_kernel("misspelt", expression="sni(x)", inputs=["x: f32"])
    assert len(str(caught.value)) < 120

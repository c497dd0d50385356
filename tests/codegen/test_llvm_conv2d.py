"""The CPU's convolution and its gradients against PyTorch in float64: any window, blocks, jobs, threads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codegen.llvm_run import Array, contiguous, cpu
from weft import codegen, dtypes
from weft.devices.cpu import CpuDevice
from weft.dtypes import DType
from weft.errors import KernelError
from weft.kernels import KernelProgram, Library, Offset, Operand
from weft.ops.conv import blocks
from weft.ops.conv import cropped as convolution_cropped
from weft.ops.conv import kernels as convolution_kernels
from weft.ops.conv.sizes import Convolution, ConvolutionTask
from weft.ops.registry.spec import KernelRequest
from weft.ops.registry.temporaries import Scratch
from weft.target import CPU

Pair = tuple[int, int]
Sizes = tuple[int, ...]


def execute(device: CpuDevice, program: KernelProgram, arrays: Sequence[Array]) -> Array:
    """Run a program over operands and one output, the last array; gives the output."""
    given = [memoryview(array.reshape(-1)).cast("B") for array in arrays]
    storages = [device.allocate(data.nbytes) for data in given]
    for storage, data in zip(storages, given, strict=True):
        device.write(storage, data)
    storages += [device.allocate(dtype.itemsize * count) for dtype, count in program.temporaries]
    for step in program.steps:
        spec = codegen.generate(step.kernel, device.profile)  # type: ignore[arg-type]
        parameters = [0 if isinstance(each, Offset) else each for each in step.arguments]
        device.dispatch_kernel(spec, [storages[index] for index in step.buffers], parameters)  # type: ignore[arg-type]
    last = storages[len(arrays) - 1]
    return numpy.frombuffer(device.read(last, 0, last.size), arrays[-1].dtype).reshape(arrays[-1].shape)


def check(
    n: int, c: int, size: Sizes, o: int, kernel: Sizes, stride: Sizes = (), padding: Sizes = (),
    dilation: Sizes = (), groups: int = 1, dtype: DType = dtypes.float32,
) -> None:  # fmt: skip
    """The three kinds on one and on two threads, over memory that held NaN."""
    torch.manual_seed(n + c + o)
    stride, dilation = stride or (1,) * len(size), dilation or (1,) * len(size)
    padding = padding or (0,) * len(size)
    x = torch.randn(n, c, *size, dtype=torch.float64, requires_grad=True)
    w = torch.randn(o, c // groups, *kernel, dtype=torch.float64, requires_grad=True)
    convolve = getattr(torch.nn.functional, f"conv{len(size)}d")
    y = convolve(x, w, None, stride, padding, dilation, groups)
    grad = torch.randn_like(y)
    y.backward(grad)
    assert x.grad is not None and w.grad is not None
    cases = {"forward": (x, w, y), "input": (grad, w, x.grad), "weight": (grad, x, w.grad)}
    attributes = {
        "stride": stride,
        "padding": tuple((p, p) for p in padding),
        "dilation": dilation,
        "groups": groups,
    }
    for kind, tensors in cases.items():
        *given, wanted = (tensor.detach().numpy().astype(dtype.numpy) for tensor in tensors)
        operands = [
            Operand(index, dtype, array.shape, contiguous(array.shape), index)
            for index, array in enumerate((*given, wanted))
        ]
        program = convolution_kernels.lowering(kind)(
            KernelRequest(operands[:2], operands[2:], attributes, cpu().profile)
        )
        assert any(isinstance(step.kernel, Library) for step in program.steps)
        arrays = [*given, numpy.full_like(wanted, numpy.nan)]
        result, threaded = (execute(cpu(threads), program, arrays) for threads in (1, 2))
        assert result.tobytes() == threaded.tobytes(), kind
        scale = (1e-5 if dtype.bits == 32 else 1e-13) * max(1.0, float(abs(wanted).max()))
        numpy.testing.assert_allclose(result, wanted, rtol=0, atol=scale, err_msg=kind)


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(
    "given",
    [
        ((2, 3, (9, 11), 4, (3, 3)), {"padding": (1, 1)}),
        ((2, 4, (9, 20), 6, (3, 2)), {"stride": (2, 3), "padding": (1, 0), "groups": 2}),
        ((3, 6, (17, 33), 6, (3, 3)), {"stride": (2, 2), "padding": (1, 1), "dilation": (2, 1), "groups": 6}),
        ((1, 2, (40, 50), 1, (5, 5)), {"padding": (2, 2), "dilation": (1, 3)}),
        ((5, 1, (28, 28), 16, (3, 3)), {"padding": (1, 1)}),
        ((1, 3, (5, 5), 2, (1, 1)), {"stride": (3, 3), "padding": (4, 4)}),  # whole windows in the padding
        ((20, 2, (1, 300), 3, (1, 7)), {"padding": (0, 3)}),
    ],
)  # fmt: skip
def test_windows(given: tuple[tuple[int, ...], dict[str, Pair]], dtype: DType) -> None:
    positional, named = given
    check(*positional, **named, dtype=dtype)  # type: ignore[arg-type]


def test_several_blocks_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """More blocks than jobs, blocks of one row and of a few channels, and a last block that is not whole."""
    monkeypatch.setattr(blocks, "BLOCK", 4096)
    check(7, 5, (13, 18), 4, (3, 3), padding=(1, 1))
    check(3, 6, (23, 17), 4, (3, 2), stride=(2, 2), padding=(1, 1), groups=2)
    monkeypatch.setattr(blocks, "JOBS", 3)
    check(7, 5, (13, 18), 4, (3, 3), padding=(1, 1))


@settings(deadline=None)
@given(st.data())
def test_any_window(data: st.DataObject) -> None:
    draw = data.draw
    pair = st.tuples(st.integers(1, 3), st.integers(1, 4))
    kernel, stride, dilation = draw(pair), draw(pair), draw(pair)
    padding = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    least = [
        max(1, gap * (taps - 1) + 1 - 2 * pad)
        for gap, taps, pad in zip(dilation, kernel, padding, strict=True)
    ]
    size = tuple(each + draw(st.integers(0, 20)) for each in least)
    groups = draw(st.integers(1, 2))
    n, c, o = (draw(st.integers(1, 4)) for _ in range(3))
    check(n, c * groups, (size[0], size[1]), o * groups, kernel, stride, padding, dilation, groups)


def test_blocks_fit_the_cache() -> None:
    """Blocks of the sizes of the benchmark's layers take no more than they should, jobs no more than there are."""
    for x, w in [((8, 64, 56, 56), (64, 64, 3, 3)), ((64, 16, 14, 14), (32, 16, 3, 3))]:
        sizes = Convolution.of(
            x, w, {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
        )
        y = sizes.output_shape
        for kind, shapes in {"forward": (x, w, y), "input": (y, w, x), "weight": (y, x, w)}.items():
            values = [
                Operand(i, dtypes.float32, shape, contiguous(shape), i) for i, shape in enumerate(shapes)
            ]
            scratch = Scratch(3)
            blocks.block_steps(ConvolutionTask(kind, (values[0], values[1]), values[2], sizes), scratch)
            _, elements = scratch.taken[0]
            assert elements * 4 <= blocks.JOBS * (blocks.BLOCK + 64)


def test_what_the_kernel_does_not_take() -> None:
    options = (("kind", "forward"), ("step", 1))
    with pytest.raises(KernelError, match="all float32 or all float64"):
        codegen.generate(Library("conv2d", (dtypes.float16,) * 4, options), cpu().profile)
    with pytest.raises(KernelError, match="needs a BLAS"):
        codegen.generate(Library("conv2d", (dtypes.float32,) * 4, options), CPU)


@pytest.mark.parametrize(
    "given",
    [
        ((16, 5, (4, 4), 7, (3, 3)), {"padding": (1, 1)}),  # several images a block
        ((9, 6, (4, 5), 4, (2, 2)), {"stride": (2, 2), "groups": 2}),
        ((7, 4, (7, 9), 5, (3, 3)), {"stride": (2, 2), "padding": (1, 1)}),
        ((3, 4, (5, 40), 5, (4, 4)), {"stride": (2, 2), "padding": (1, 1)}),
        ((3, 4, (5, 40), 5, (1, 3)), {"stride": (1, 2), "padding": (0, 2)}),
        ((2, 20, (15, 15), 9, (1, 1)), {}),  # plain products
        ((5, 20, (3, 3), 9, (1, 1)), {"groups": 1}),
        ((2, 6, (15, 15), 9, (1, 1)), {"groups": 3}),
        ((2, 6, (15, 15), 9, (1, 1)), {"padding": (1, 1)}),
    ],
)  # fmt: skip
def test_forms_of_blocks(given: tuple[tuple[int, ...], dict[str, Pair]]) -> None:
    positional, named = given
    check(*positional, **named)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "kernel", "named"),
    [
        ((1, 1), (3, 3), {"padding": (1, 1)}),
        ((1, 6), (3, 3), {"padding": (1, 1)}),
        ((2, 2), (5, 7), {"padding": (2, 3)}),
        ((3, 1), (5, 5), {"padding": (2, 2), "stride": (2, 2)}),
        ((2, 3), (3, 3), {"padding": (4, 4), "dilation": (4, 2)}),
    ],
)
def test_taps_that_lie_in_the_padding_everywhere(size: Pair, kernel: Pair, named: dict[str, Pair]) -> None:
    check(5, 4, size, 6, kernel, **named)
    check(2, 4, size, 6, kernel, **named, groups=2)


def test_which_taps_are_used() -> None:
    attributes = {"stride": (1, 2), "padding": ((1, 1), (3, 3)), "dilation": (1, 1), "groups": 1}
    sizes = Convolution.of((1, 1, 1, 2), (1, 1, 3, 6), attributes)
    met = {
        (u, v)
        for u in range(3)
        for v in range(6)
        if any(p + u - 1 == 0 and 0 <= 2 * q + v - 3 < 2 for p in range(sizes.window.out[0]) for q in range(sizes.window.out[1]))
    }  # fmt: skip
    used = convolution_cropped.used_taps(sizes.window)
    assert used is not None
    assert met == set(itertools.product(*(range(*each) for each in used)))
    whole = Convolution.of((1, 1, 3, 3), (1, 1, 3, 3), attributes | {"padding": ((1, 1), (1, 1))})
    assert convolution_cropped.used_taps(whole.window) is None


@pytest.mark.parametrize(
    "named",
    [
        {"padding": (1, 1, 1)},
        {"padding": (2, 0, 1), "groups": 2},
        {"padding": (1, 1, 1), "stride": (2, 2, 2)},
        {"padding": (1, 2, 2), "dilation": (1, 2, 2)},
        {"padding": (4, 1, 1)},  # the gradient of the input has more padding than filters reach
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(5, 9, 20), (3, 4, 5), (2, 17, 16)], ids=str)
def test_three_dimensions(size: Sizes, named: dict[str, Sizes]) -> None:
    check(3, 4, size, 6, (3, 3, 2), **named)  # type: ignore[arg-type]
    check(2, 6, size, 4, (1, 1, 1), groups=2)


def test_memory_of_three_dimensions() -> None:
    """Columns of a few channels and rows at a time, not of the whole input."""
    x, w = (8, 16, 32, 56, 56), (32, 16, 3, 3, 3)
    attributes = {"stride": (1, 1, 1), "padding": ((1, 1),) * 3, "dilation": (1, 1, 1), "groups": 1}
    y = Convolution.of(x, w, attributes).output_shape
    for kind, shapes in {"forward": (x, w, y), "input": (y, w, x), "weight": (y, x, w)}.items():
        values = [Operand(i, dtypes.float32, shape, contiguous(shape), i) for i, shape in enumerate(shapes)]
        program = convolution_kernels.lowering(kind)(
            KernelRequest(values[:2], values[2:], attributes, cpu().profile)
        )
        assert sum(count for _, count in program.temporaries) * 4 < 16 << 20

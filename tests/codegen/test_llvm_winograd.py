"""The CPU's convolutions by Winograd's filtering against PyTorch in float64, and its matrices against plain sums."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.codegen.llvm_run import contiguous, cpu
from tests.codegen.test_llvm_conv2d import check
from weft import codegen, dtypes
from weft.codegen.llvm.lanewise import Lanewise, _opposite
from weft.errors import KernelError
from weft.expr.llvm_text import Lines
from weft.kernels import Library, Operand
from weft.kernels.library.winograd import Filtering, Matrix, transposed
from weft.ops.conv import kernels as convolution_kernels
from weft.ops.conv import winograd as convolution_winograd
from weft.ops.conv.sizes import Convolution
from weft.ops.registry.spec import KernelRequest

FILTERINGS = (
    Filtering(4, 3), Filtering(2, 3), Filtering(3, 2), Filtering(2, 2), Filtering(5, 2), Filtering(2, 5),
)  # fmt: skip


def _times(matrix: Matrix, vector: list[Fraction]) -> list[Fraction]:
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


@pytest.mark.parametrize("filtering", FILTERINGS, ids=lambda each: f"{each.outputs}x{each.taps}")
def test_the_matrices_are_exact(filtering: Filtering) -> None:
    inputs = [Fraction(7 * i * i - 11 * i + 3, 5) for i in range(filtering.size)]
    taps = [Fraction(3 - 2 * i * i, 7) for i in range(filtering.taps)]
    products = [
        a * b for a, b in zip(_times(filtering.inputs, inputs), _times(filtering.filters, taps), strict=True)
    ]
    assert _times(filtering.results, products) == [
        sum(inputs[at + tap] * taps[tap] for tap in range(filtering.taps)) for at in range(filtering.outputs)
    ]


def test_opposite_rows_are_found() -> None:
    """Both pairs of opposite points share their sums, in each matrix or in its transpose."""
    filtering = Filtering(4, 3)
    for matrix in (filtering.inputs, filtering.filters, transposed(filtering.results)):
        assert _opposite(matrix) == [(1, 2), (3, 4)]
        shared, plain = Lanewise(Lines(), "float"), Lanewise(Lines(), "float")
        names = [f"%v{number}" for number in range(len(matrix[0]))]
        shared.times(matrix, names)
        for row in matrix:
            plain.sum_of(row, names)
        assert len(shared.lines.text) < len(plain.lines.text)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Winograd's filtering wherever it can be computed, for few channels too."""
    monkeypatch.setattr(convolution_winograd, "LEAST", 1)
    monkeypatch.setattr(convolution_winograd, "PLAIN", math.inf)
    return monkeypatch


@pytest.mark.parametrize("outputs", [4, 2])
@settings(deadline=None, max_examples=20)
@given(st.data())
def test_any_image(outputs: int, data: st.DataObject) -> None:
    """Channels that fill no vector, images smaller than a tile, padding of 0 to 2, images a few at a time."""
    draw = data.draw
    padding = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    size = tuple(draw(st.integers(max(1, 3 - 2 * pad), 20)) for pad in padding)
    n, c, o = draw(st.integers(1, 5)), draw(st.integers(1, 35)), draw(st.integers(1, 35))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution_winograd, "LEAST", 1)
        patch.setattr(convolution_winograd, "PLAIN", math.inf)
        patch.setattr(convolution_winograd, "CHOICES", (Filtering(outputs, 3),))
        patch.setattr(convolution_winograd, "TOGETHER", draw(st.sampled_from([1, 1 << 18, 1 << 24])))
        check(n, c, (size[0], size[1]), o, (3, 3), padding=padding)


@pytest.mark.parametrize("outputs", [3, 2])
@settings(deadline=None, max_examples=20)
@given(st.data())
def test_any_image_with_strides_of_two(outputs: int, data: st.DataObject) -> None:
    """Phases of images of even and odd sizes, whose last rows may be in no window; padding of 0 to 3."""
    draw = data.draw
    padding = draw(st.integers(0, 3)), draw(st.integers(0, 3))
    size = tuple(draw(st.integers(max(1, 4 - 2 * pad), 21)) for pad in padding)
    n, c, o = draw(st.integers(1, 5)), draw(st.integers(1, 19)), draw(st.integers(1, 35))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution_winograd, "LEAST", 1)
        patch.setattr(convolution_winograd, "PLAIN", math.inf)
        patch.setattr(convolution_winograd, "CHOICES", (Filtering(outputs, 2),))
        patch.setattr(convolution_winograd, "TOGETHER", draw(st.sampled_from([1, 1 << 18, 1 << 24])))
        check(n, c, (size[0], size[1]), o, (4, 4), stride=(2, 2), padding=padding)


@settings(deadline=None, max_examples=20)
@given(st.data())
def test_any_image_of_three_dimensions(data: st.DataObject) -> None:
    """Taps of depth as channels, slices in the padding, several samples and parts of samples at a time."""
    draw = data.draw
    depth, taps = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    pads = (
        draw(st.integers(max(0, -(-(taps - depth) // 2)), 4)),
        draw(st.integers(0, 2)),
        draw(st.integers(0, 2)),
    )
    size = depth, *(draw(st.integers(max(1, 3 - 2 * pad), 12)) for pad in pads[1:])
    n, c, o = draw(st.integers(1, 4)), draw(st.integers(1, 19)), draw(st.integers(1, 18))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution_winograd, "LEAST", 1)
        patch.setattr(convolution_winograd, "LEAST_DEEP", 1)
        patch.setattr(convolution_winograd, "PLAIN", math.inf)
        patch.setattr(convolution_winograd, "TOGETHER", draw(st.sampled_from([1, 1 << 18, 1 << 24])))
        check(n, c, size, o, (taps, 3, 3), padding=pads)


def test_wide_images(always: pytest.MonkeyPatch) -> None:
    """Rows of more tiles than are transposed together."""
    check(1, 3, (6, 301), 5, (3, 3), padding=(1, 1))
    check(2, 17, (3, 129), 2, (3, 3), padding=(2, 0))
    check(1, 3, (6, 531), 5, (4, 4), stride=(2, 2), padding=(1, 1))


def test_float64_is_summed_plainly() -> None:
    """float64, in which gradients are checked by differences, keeps all digits."""
    check(2, 32, (16, 16), 32, (3, 3), padding=(1, 1), dtype=dtypes.float64)
    assert convolution_winograd.tiles_for("forward", _sizes(2, 32, 16, 32), dtypes.float64) is None


@pytest.mark.parametrize(
    ("shape", "outputs"),
    [((16, 64, 28, 64), 4), ((16, 256, 7, 256), 4), ((16, 512, 4, 512), 2), ((64, 8, 28, 16), None), ((1, 32, 1, 32), None)],
)  # fmt: skip
def test_the_form_that_is_chosen(shape: tuple[int, int, int, int], outputs: int | None) -> None:
    found = convolution_winograd.tiles_for("forward", _sizes(*shape), dtypes.float32)
    assert (found and found.filtering.outputs) == outputs


def test_three_dimensions_go_by_slices() -> None:
    attributes = {"stride": (1,) * 3, "padding": ((1, 1),) * 3, "dilation": (1,) * 3, "groups": 1}
    sizes = Convolution.of((2, 16, 16, 28, 28), (32, 16, 3, 3, 3), attributes)
    found = {
        kind: convolution_winograd.tiles_for(kind, sizes, dtypes.float32) is not None
        for kind in ("forward", "input", "weight")
    }
    assert found == {"forward": True, "input": False, "weight": True}


def test_strides_of_two_go_by_phases_where_filters_have_four_taps() -> None:
    def chosen(size: int, taps: int, stride: int = 2) -> int | None:
        attributes = {"stride": (stride,) * 2, "padding": ((1, 1),) * 2, "dilation": (1, 1), "groups": 1}
        sizes = Convolution.of((16, 64, size, size), (128, 64, taps, taps), attributes)
        found = convolution_winograd.tiles_for("forward", sizes, dtypes.float32)
        return found and found.filtering.outputs

    assert [chosen(36, 4), chosen(8, 4), chosen(32, 3), chosen(32, 4, 4)] == [3, 2, None, None]


def _sizes(n: int, c: int, size: int, o: int) -> Convolution:
    attributes = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    return Convolution.of((n, c, size, size), (o, c, 3, 3), attributes)


def test_scratch_is_bounded() -> None:
    """Tiles and products of a large batch take what a few images need."""
    x, w, y = (256, 64, 56, 56), (64, 64, 3, 3), (256, 64, 56, 56)
    attributes = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}
    for kind, shapes in {"forward": (x, w, y), "input": (y, w, x), "weight": (y, x, w)}.items():
        values = [Operand(i, dtypes.float32, shape, contiguous(shape), i) for i, shape in enumerate(shapes)]
        program = convolution_kernels.lowering(kind)(
            KernelRequest(values[:2], values[2:], attributes, cpu().profile)
        )
        assert any(
            isinstance(step.kernel, Library) and step.kernel.name == "winograd" for step in program.steps
        )
        assert sum(count for _, count in program.temporaries) * 4 < 1.2 * convolution_winograd.TOGETHER


def test_types_that_the_kernel_does_not_take() -> None:
    options = (("stage", "tiles"), ("outputs", 4), ("taps", 3), ("matrix", "inputs"))
    with pytest.raises(KernelError, match="all float32 or all float64"):
        codegen.generate(Library("winograd", (dtypes.float16,) * 2, options), cpu().profile)

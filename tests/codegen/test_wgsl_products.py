"""Products as a GPU runs them: operands in fours, the depth in pieces, vectors, and the choice among them.

Kernels that hardware would run, on the test adapter, against NumPy in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy
import pytest

import weft as wf
from tests.codegen.wgsl_run import dispatch
from tests.conftest import ADAPTER
from weft import codegen, devices, dtypes
from weft.codegen.wgsl.tile_sizes import TILES
from weft.devices.base import Device
from weft.dtypes import DType
from weft.errors import KernelError
from weft.kernels import Library, Operand
from weft.ops import OPS, bind
from weft.ops.matmul.linear import matmul_layout
from weft.ops.matmul.products import Asked, candidates, choose, gpu_program, piece, possible
from weft.ops.registry.machines import MACHINES, STAGE
from weft.target import BROWSER
from weft.tensors.eager import EAGER

pytestmark = pytest.mark.webgpu
Array = numpy.ndarray[Any, Any]
STAGED = [name for name, tile in TILES.items() if tile.depth]


@pytest.fixture(scope="module")
def gpu() -> Device:
    return devices.open(ADAPTER)


@pytest.fixture
def hardware(gpu: Device) -> Iterator[Device]:
    """The test adapter, taken for hardware by lowerings and generators."""
    before = gpu.profile
    EAGER.prepared.clear()
    gpu.profile = replace(before, software=False)
    yield gpu
    gpu.profile = before
    EAGER.prepared.clear()


@pytest.mark.parametrize("tile", STAGED)
@pytest.mark.parametrize(
    ("a_fours", "b_fours"), [("depth", "outer"), ("outer", "depth"), ("", "outer"), ("depth", "")]
)
@pytest.mark.parametrize("splits", [1, 3])
def test_operands_in_fours_and_pieces(
    gpu: Device, tile: str, a_fours: str, b_fours: str, splits: int
) -> None:
    """Ragged against the tile both ways; the last piece is shorter, and pieces lie one behind another."""
    m, n, k = 132, 68, 40
    rng = numpy.random.default_rng(0)
    a, b = rng.standard_normal((m, k)).astype("float32"), rng.standard_normal((k, n)).astype("float32")
    left, a_strides = (a.T, (1, m)) if a_fours == "outer" else (a, (k, 1))
    right, b_strides = (b.T, (1, k)) if b_fours == "depth" else (b, (n, 1))
    options = (("tile", tile), ("a", a_fours), ("b", b_fours), *((("split", True),) if splits > 1 else ()))
    parameters = [1, 1, m, n, k, 4, 0, 0, *a_strides, 8, 0, 0, *b_strides, 0, 0, 0, n, 1]
    parameters += [splits, 16, m * n] if splits > 1 else []
    padded = [
        numpy.concatenate([numpy.full(lead, 77, "float32"), each.ravel()])
        for lead, each in ((4, left), (8, right))
    ]
    blank = numpy.zeros(splits * m * n, "float32")
    buffers = [(dtypes.float32, each) for each in (*padded, blank)]
    got = dispatch(gpu, Library("matmul", (dtypes.float32,), options), buffers, parameters)[2].reshape(
        splits, m, n
    )
    for number in range(splits):
        part = slice(number * 16, min(k, number * 16 + 16)) if splits > 1 else slice(None)
        wanted = a[:, part].astype("float64") @ b[part].astype("float64")
        numpy.testing.assert_allclose(got[number], wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [dtypes.float32, dtypes.float16, dtypes.bfloat16], ids=lambda d: d.name)
@pytest.mark.parametrize("each", [1, 2, 4])
@pytest.mark.parametrize(("rows", "k"), [(1, 8), (19, 264), (70, 1024)])
def test_matvec(gpu: Device, dtype: DType, each: int, rows: int, k: int) -> None:
    """Rows that end inside a team, two batches, a row stride with a gap, strided results."""
    rng = numpy.random.default_rng(rows)
    matrix = rng.standard_normal((2, rows, k + 8)).astype(dtype.numpy)
    vector = rng.standard_normal((2, k)).astype(dtype.numpy)
    wanted = numpy.einsum("brk,bk->br", matrix[..., :k].astype("float64"), vector.astype("float64"))
    parameters = [2, 1, rows, k, 0, rows * (k + 8), 0, k + 8, 0, k, 0, 1, 2 * rows, 0, 2]
    out = numpy.zeros(4 * rows + 2, dtype.numpy)
    library = Library("matvec", (dtype,), (("rows", each),))
    buffers = [(dtype, matrix.ravel()), (dtype, vector.ravel()), (dtype, out)]
    got = dispatch(gpu, library, buffers, parameters)[2].astype("float64")
    scale = numpy.abs(wanted).max()
    limit = {"float32": 1e-5, "float16": 1e-3, "bfloat16": 1e-2}[dtype.name]
    numpy.testing.assert_allclose(
        got[1 : 1 + 4 * rows : 2].reshape(2, rows), wanted, rtol=0, atol=limit * scale
    )
    assert not got[::2].any()


SHAPES = [
    (1, 100, 200), (1, 4096, 512), (300, 1, 1024), (37, 1, 516), (37, 1, 7), (1, 1, 5000), (64, 1, 4001),
    (128, 128, 4096), (36, 40, 50000), (130, 140, 36), (7, 9, 11),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("letters", ["nn", "tn", "nt", "tt"])
def test_products_lowered_for_hardware(hardware: Device, shape: tuple[int, int, int], letters: str) -> None:
    m, n, k = shape
    rng = numpy.random.default_rng(1)
    a, b = rng.standard_normal((m, k)).astype("float32"), rng.standard_normal((k, n)).astype("float32")
    given = [
        wf.tensor(each if letter == "n" else numpy.ascontiguousarray(each.T), device=ADAPTER)
        for each, letter in zip((a, b), letters, strict=True)
    ]
    left, right = (
        each if letter == "n" else each.transpose(0, 1) for each, letter in zip(given, letters, strict=True)
    )
    got, wanted = (left @ right).numpy(), a.astype("float64") @ b.astype("float64")
    numpy.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * max(1.0, numpy.abs(wanted).max()))
    assert (left @ right).numpy().tobytes() == got.tobytes()


CONVOLUTIONS = [
    (8, 16, 20, 20, 32, 3, 1, 1),
    (2, 4, 9, 8, 6, 3, 2, 2),
    (32, 1, 28, 28, 8, 3, 1, 1),
    (1, 8, 7, 7, 4, 1, 1, 1),
]


@pytest.mark.parametrize("sizes", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("kind", ["convolution", "convolution_input", "convolution_weight"])
def test_convolutions_lowered_for_hardware(hardware: Device, kind: str, sizes: tuple[int, ...]) -> None:
    """The depth of the weight's gradient is cut into pieces; all equal the operation's NumPy reference."""
    n, c, h, w, o, kernel, stride, groups = sizes
    out = [(size + 2 - kernel) // stride + 1 for size in (h, w)]
    rng = numpy.random.default_rng(2)
    x, y = rng.standard_normal((n, c, h, w)), rng.standard_normal((n, o, *out))
    weight = rng.standard_normal((o, c // groups, kernel, kernel))
    attributes: dict[str, Any] = {
        "stride": (stride,) * 2, "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": groups
    }  # fmt: skip
    operands = {"convolution": (x, weight), "convolution_input": (y, weight), "convolution_weight": (y, x)}[
        kind
    ]
    if kind != "convolution":
        attributes["shape"] = (x if kind == "convolution_input" else weight).shape
    narrow = [each.astype("float32") for each in operands]
    reference = OPS[kind].reference
    assert reference is not None
    wanted = reference(*(each.astype("float64") for each in narrow), **attributes)
    got = bind(OPS[kind], *(wf.tensor(each, device=ADAPTER) for each in narrow), **attributes).numpy()
    numpy.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * numpy.abs(wanted).max())


def test_choices_are_sound(gpu: Device) -> None:
    hardware = replace(gpu.profile, software=False)
    assert (
        choose(gpu.profile, Asked(1, 4096, 4096, 4096)) == ("software", 1) if gpu.profile.software else True
    )
    assert choose(hardware, Asked(1, 4096, 4096, 4096)) == ("large", 1)
    assert choose(hardware, Asked(1, 64, 64, 1 << 20))[1] > 16
    for k in (1, 100, 4097, 1 << 20):
        for splits in (1, 2, 7, 128):
            assert piece(k, splits) * splits >= k
            assert splits == 1 or piece(k, splits) % 16 == 0


@pytest.mark.parametrize("vendor", MACHINES)
def test_the_table_describes_the_tiles(vendor: str) -> None:
    """The size and memory that a tile states are those of kernels with that tile."""
    for name, speed in MACHINES[vendor].speeds.items():
        tile = TILES[name]
        assert (tile.rows, tile.columns, tile.depth) == (speed.rows, speed.columns, STAGE)
        for turned, fours in enumerate((("", ""), ("depth", ""), ("depth", "depth"))):
            library = Library("matmul", (dtypes.float32,), (("tile", name), ("a", fours[0]), ("b", fours[1])))
            room = {**BROWSER.limits, "max-compute-workgroup-storage-size": speed.memory(turned)}
            codegen.generate(library, replace(BROWSER, limits=room, vendor=f"{vendor}{turned}{name}"))
            room["max-compute-workgroup-storage-size"] -= 16
            with pytest.raises(KernelError, match="choose a smaller tile"):
                codegen.generate(
                    library, replace(BROWSER, limits=room, vendor=f"{vendor}{turned}{name} less")
                )


@pytest.mark.parametrize("vendor", ["", *MACHINES])
def test_products_are_chosen_that_every_target_can_run(vendor: str) -> None:
    profile = replace(BROWSER, vendor=vendor)
    for shape in ((1, 4096, 4096, 4096), (1, 384, 384, 16384), (384, 256, 256, 64), (1, 65, 4097, 100)):
        for fours in (("", ""), ("depth", "outer"), ("depth", "depth")):
            tile, splits = choose(profile, Asked(*shape, fours=fours))
            options = (("tile", tile), ("a", fours[0]), ("b", fours[1]), *((("split", True),) * (splits > 1)))
            codegen.generate(Library("matmul", (dtypes.float32,), options), profile)


def test_vendors_choose_their_own_tiles(gpu: Device) -> None:
    hardware = replace(gpu.profile, software=False)
    chosen = {
        name: choose(replace(hardware, vendor=name), Asked(1, 4096, 4096, 4096))[0] for name in MACHINES
    }
    assert chosen == {"nvidia": "large", "amd": "large", "intel": "medium", "apple": "medium"}


def test_mistakes_are_named() -> None:
    with pytest.raises(KernelError, match="rows is 3, expected one of 1, 2, 4"):
        codegen.generate(Library("matvec", (dtypes.float32,), (("rows", 3),)), BROWSER)
    with pytest.raises(KernelError, match="expected the same floating type of 16 or 32 bits"):
        codegen.generate(Library("matvec", (dtypes.int32,)), BROWSER)


def test_a_measured_choice_is_taken_where_the_target_can_run_it(gpu: Device) -> None:
    hardware, asked = replace(gpu.profile, software=False, choices={}), Asked(2, 300, 200, 1000)
    assert choose(hardware, asked) == candidates(hardware, asked)[0]
    for answer in possible(hardware, asked):
        assert choose(replace(hardware, choices={str(asked): answer}), asked) == answer
        assert choose(replace(hardware, choices={str(asked): answer}), replace(asked, k=1004)) == choose(
            hardware, replace(asked, k=1004)
        )
    for answer in (("huge", 1), ("small", 5), ("small", 64), ("software", 1)):
        assert choose(replace(hardware, choices={str(asked): answer}), asked) == choose(hardware, asked)


BATCHES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    # shapes of both operands in memory, and the order of the batch's dimensions that each is seen in
    "turned": ((4, 3, 2, 20, 36), (2, 3, 4, 36, 24), (2, 1, 0), (0, 1, 2)),
    "both turned": ((4, 3, 2, 20, 36), (3, 2, 4, 36, 24), (2, 1, 0), (1, 0, 2)),
    "broadcast between": ((2, 1, 4, 20, 36), (1, 3, 1, 36, 24), (0, 1, 2), (0, 1, 2)),
    "broadcast and turned": ((4, 1, 2, 20, 36), (2, 3, 1, 36, 24), (2, 1, 0), (0, 1, 2)),
}


@pytest.mark.parametrize("name", BATCHES)
def test_batches_of_any_strides_take_the_tuned_kernel(hardware: Device, name: str) -> None:
    """Operands that do not coalesce into two dimensions are copied; no product runs with an invocation an element."""
    first, second, a_order, b_order = BATCHES[name]
    rng = numpy.random.default_rng(3)
    a, b = rng.standard_normal(first).astype("float32"), rng.standard_normal(second).astype("float32")
    left = wf.tensor(a, device=ADAPTER).permute(*a_order, 3, 4)
    right = wf.tensor(b, device=ADAPTER).permute(*b_order, 3, 4)
    wanted = a.transpose(*a_order, 3, 4).astype("float64") @ b.transpose(*b_order, 3, 4).astype("float64")
    with wf.profiler.profile() as found:
        got = (left @ right).numpy()
    numpy.testing.assert_allclose(got, wanted, rtol=0, atol=2e-5 * numpy.abs(wanted).max())
    assert [event.kernel for event in found.events][-1] == "matmul_float32_float32_float32"
    assert len(found.events) <= 3
    numpy.testing.assert_allclose(wf.jit(lambda x, y: x @ y)(left, right).numpy(), got, rtol=0, atol=1e-6)


def test_short_products_are_stored_in_fours(gpu: Device) -> None:
    """Plain products and pieces of deep products; results that are not in fours are stored element by element."""
    hardware = replace(gpu.profile, software=False, choices={})

    def stored(m: int, n: int, k: int) -> bool:
        a, b, c = (
            Operand(at, dtypes.float32, shape, (shape[1], 1), at)
            for at, shape in enumerate(((m, k), (k, n), (m, n)))
        )
        layout = matmul_layout(a, b, c)
        assert layout is not None
        (library, *_) = [step.kernel for step in gpu_program(a, b, c, layout, hardware, 3).steps]
        assert isinstance(library, Library)
        options = dict(library.options)
        assert bool(options.get("split")) == (k > 10000)
        return bool(options["c"])

    assert [stored(4096, 4096, k) for k in (64, 511, 512, 4096)] == [True, True, False, False]
    assert [stored(128, n, 1 << 14) for n in (128, 130)] == [True, False]
    assert not stored(4096, 4094, 64)

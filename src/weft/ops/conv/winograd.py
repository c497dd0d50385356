"""Convolutions of small filters by Winograd's minimal filtering, on targets with a BLAS.

It serves filters of 3x3 with stride 1, and filters of 4x4 with stride 2: these are filters of 2x2 over the four phases
of each channel, the image's even and odd rows and columns. In three dimensions the last two are filtered, and the taps
of the first count as channels.

The steps are: transform the image's tiles and the filters; multiply all tiles with all filters, one matrix product for
each element of a tile; transform the products to the result. A few images are processed at a time, so that the
intermediate values stay in the last-level cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from weft import dtypes
from weft.kernels import Argument, KernelStep, Library, Offset, Operand
from weft.kernels.library.winograd import Filtering
from weft.ops.conv.sizes import Convolution, ConvolutionTask
from weft.ops.matmul.linear import matmul_step
from weft.ops.registry.temporaries import Scratch

Options = tuple[tuple[str, int | str | bool], ...]

LANES = 16
"""Channels are padded to a multiple of this."""
LEAST, LEAST_DEEP = 32, 16
"""The least input and output channels; with fewer, filtering saves little and still adds rounding errors.

The second limit is for output channels in three dimensions, where a result sums more products.
"""
TOGETHER = 12 << 20
"""The most bytes of tiles and of their products at a time, unless a single image has more."""
CHOICES = (Filtering(4, 3), Filtering(2, 3), Filtering(3, 2), Filtering(2, 2))
"""F(4, 3) takes a quarter of a direct sum's products, F(2, 3) and F(3, 2) four ninths, F(2, 2) nine sixteenths."""
STEPS = {1: 3, 2: 2}
"""The taps of a filter, or of each of its phases, by stride."""
FILTER = {"forward": 43, "input": 33, "weight": 25}
"""The cost of transforming an element of a filter and copying it for the product.

The unit of this and the following costs is a multiplication within a matrix product. They are fitted to one thread of
an AMD EPYC (Zen 4), for 16 images of 28x28 by 64 channels to 2x2 by 512.
"""
TILE, PLAIN, COPY = 28, 1.15, 20
"""The costs of transforming an element of a tile; of a multiplication of the im2col form; and of copying an element of
a filter there."""


@dataclass(frozen=True)
class Tiles:
    """The tiles that cover an image of ``height`` x ``width`` results.

    ``step`` is the stride; an image has ``step`` squared phases, which count as channels.
    """

    filtering: Filtering
    height: int
    width: int
    step: int = 1

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.height // self.filtering.outputs)

    @property
    def columns(self) -> int:
        """Columns of tiles."""
        return -(-self.width // self.filtering.outputs)

    @property
    def numbers(self) -> int:
        """Elements of a transformed tile: products for a tile and a pair of channels."""
        return self.filtering.size**2


def tiles_for(kind: str, sizes: Convolution, dtype: dtypes.DType) -> Tiles | None:
    """Return the tiles of the least cost; ``None`` where another form is faster, or more accurate."""
    window, step = sizes.window, sizes.window.stride[-1]
    taps, deep = STEPS.get(step, 0), len(window.size) == 3
    channels = _channels(sizes)
    suits = (
        dtype is dtypes.float32
        and len(window.size) in (2, 3)
        and window.kernel[-2:] == (taps * step,) * 2
        and set(window.dilation) == {1}
        and set(window.stride) == {1 if deep else step}
        and sizes.groups == 1
        and channels >= LEAST
        and sizes.o >= (LEAST_DEEP if deep else LEAST)
        and all(0 <= before < taps * step for before, _ in window.padding[-2:])
        and not (deep and kind == "input")  # computed as a forward convolution with flipped filters
    )
    if not suits:
        return None
    height, width = window.out[-2:]
    if kind == "input":
        height, width = (
            size if step == 1 else -(-(size + before) // step)
            for size, (before, _) in zip(window.size, window.padding, strict=True)
        )
    plain = taps**2 * channels * sizes.o * (PLAIN * sizes.n * math.prod(window.out) + COPY)
    choices = [Tiles(filtering, height, width, step) for filtering in CHOICES if filtering.taps == taps]
    costs = {_cost(kind, tiles, sizes): tiles for tiles in choices}
    return costs[min(costs)] if costs and min(costs) < plain else None


def _channels(sizes: Convolution) -> int:
    """Return the number of input channels, times the phases or the depth's taps, which count as channels."""
    window = sizes.window
    return sizes.c * (window.kernel[0] if len(window.size) == 3 else window.stride[-1] ** 2)


def _images(sizes: Convolution) -> int:
    """Return the number of images of results; in three dimensions each slice of a volume is an image."""
    return sizes.n * math.prod(sizes.window.out[:-2])


def _cost(kind: str, tiles: Tiles, sizes: Convolution) -> float:
    """Return the cost of products and transforms, in multiplications within a matrix product."""
    count, c = _images(sizes) * tiles.rows * tiles.columns, _channels(sizes)
    products = count * c * sizes.o + FILTER[kind] * c * sizes.o + TILE * count * (c + sizes.o)
    return products * tiles.numbers


def steps(task: ConvolutionTask, tiles: Tiles, scratch: Scratch) -> list[KernelStep]:
    """Return the steps of a convolution or of one of its gradients by Winograd's filtering."""
    return _WinogradBuilder(task, tiles, scratch).steps()


class _WinogradBuilder:
    """Builds the steps of a convolution in groups of ``images`` images."""

    def __init__(self, task: ConvolutionTask, tiles: Tiles, scratch: Scratch) -> None:
        self.kind, self.ready, self.target, self.tiles = task.kind, task.operands, task.target, tiles
        self.sizes = sizes = task.sizes
        self.dtype, self.scratch, self.channels = task.target.dtype, scratch, _channels(sizes)
        self.all_images = _images(sizes)
        count = tiles.rows * tiles.columns
        room = 4 * tiles.numbers * count * (_padded(self.channels) + _padded(sizes.o))
        self.images = max(1, min(self.all_images, TOGETHER // room))
        self.images = -(-self.all_images // -(-self.all_images // self.images))  # evenly
        self.count = self.images * count
        self.pads = [before for before, _ in sizes.window.padding[-2:]]

    def steps(self) -> list[KernelStep]:
        """Return the steps."""
        return {"forward": self._forward, "input": self._input, "weight": self._weight}[self.kind]()

    def _forward(self) -> list[KernelStep]:
        x, w = self.ready
        filters = self._products(self.channels, self.sizes.o)
        tiles = self._products(self.count, self.channels)
        products = self._products(self.count, self.sizes.o)
        steps = [self._filter_step("filters", w, filters, turned=False)]
        for first in range(0, self.all_images, self.images):
            steps += [
                self._image_step("tiles", x, tiles, first, self.pads, "inputs", self.tiles.step),
                self._product(tiles, filters, products, first),
                self._image_step("results", self.target, products, first),
            ]
        return steps

    def _input(self) -> list[KernelStep]:
        y, w = self.ready
        filters = self._products(self.sizes.o, self.channels)
        tiles = self._products(self.count, self.sizes.o)
        products = self._products(self.count, self.channels)
        steps = [self._filter_step("filters", w, filters, turned=True)]
        reach, step = self.tiles.filtering.taps - 1, self.tiles.step
        pads = [reach - before if step == 1 else reach for before in self.pads]
        for first in range(0, self.all_images, self.images):
            steps += [
                self._image_step("tiles", y, tiles, first, pads, "inputs"),
                self._product(tiles, filters, products, first),
                self._image_step("results", self.target, products, first, self.pads, step=step),
            ]
        return steps

    def _weight(self) -> list[KernelStep]:
        y, x = self.ready
        inputs = self._products(self.count, self.channels)
        grads = self._products(self.count, self.sizes.o)
        products = self._products(self.sizes.o, self.channels)
        steps: list[KernelStep] = []
        for first in range(0, self.all_images, self.images):
            steps += [
                self._image_step("tiles", x, inputs, first, self.pads, "inputs", self.tiles.step),
                self._image_step("tiles", y, grads, first, [0, 0], "results"),
                self._product(_transposed(grads), inputs, products, first),
                self._filter_step("filter_gradient", self.target, products, more=first > 0),
            ]
        return steps

    def _products(self, lines: int, channels: int) -> Operand:
        """Take a temporary with a matrix (lines, padded channels) for each element of a transformed tile.

        A gap of ``LANES`` elements between matrices keeps them from competing for the same cache sets.
        """
        room = _padded(channels)
        apart = lines * room + LANES
        shape = (self.tiles.numbers, lines, channels)
        whole = self.scratch.take(self.dtype, (self.tiles.numbers * apart,))
        return replace(whole, shape=shape, strides=(apart, room, 1))

    def _product(self, a: Operand, b: Operand, c: Operand, first: int) -> KernelStep:
        count = self._images_from(first) * self.tiles.rows * self.tiles.columns
        if self.kind == "weight":
            a, b = _with(a, 2, count), _with(b, 1, count)
        else:
            a, c = _with(a, 1, count), _with(c, 1, count)
        step = matmul_step(a, b, c)
        assert step is not None, "one batch dimension always fits"
        return step

    def _images_from(self, first: int) -> int:
        return min(self.images, self.all_images - first)

    def _image_step(
        self, stage: str, image: Operand, products: Operand, first: int, pads: Sequence[int] = (0, 0),
        matrix: str = "", step: int = 1,
    ) -> KernelStep:  # fmt: skip
        window = self.sizes.window
        deep, (h, w) = len(window.size) == 3, image.shape[-2:]
        c, taps, pad = image.shape[1] * step**2, 1, 0
        if deep and stage == "tiles" and matrix == "inputs":
            taps, pad = window.kernel[0], window.padding[0][0]
        apart, room, _ = products.strides
        values = (image, products) if stage == "tiles" else (products, image)
        options: Options = (
            *((("matrix", matrix),) if matrix else ()),
            *((("step", step),) if step > 1 else ()),
            *((("deep", True),) if deep else ()),
        )
        arguments: tuple[Argument, ...] = (
            c * taps, h, w, *pads, self.tiles.rows, self.tiles.columns, first, self._images_from(first),
            Offset(image.index), room, apart, *((image.shape[2], taps, window.out[0], pad) if deep else (1, 1, 1, 0)),
        )  # fmt: skip
        return KernelStep(self._library(stage, options), tuple(value.index for value in values), arguments)

    def _filter_step(
        self, stage: str, filters: Operand, products: Operand, turned: bool = False, more: bool = False
    ) -> KernelStep:
        o, c, step = filters.shape[0], self.channels, self.tiles.step
        apart, room, _ = products.strides
        values = (filters, products) if stage == "filters" else (products, filters)
        options: Options = (
            *((("turned", True),) if turned else ()),
            *((("step", step),) if step > 1 else ()),
        )
        library = self._library(stage, options)
        return KernelStep(
            library,
            tuple(value.index for value in values),
            (o, c, Offset(filters.index), room, apart, int(more)),
        )

    def _library(self, stage: str, options: Options) -> Library:
        filtering = self.tiles.filtering
        chosen: Options = (
            ("stage", stage), ("outputs", filtering.outputs), ("taps", filtering.taps), *options
        )  # fmt: skip
        return Library("winograd", (self.dtype,) * 2, chosen)


def _padded(channels: int) -> int:
    return -(-channels // LANES) * LANES


def _transposed(matrices: Operand) -> Operand:
    (batch, rows, columns), (apart, down, across) = matrices.shape, matrices.strides
    return Operand(
        matrices.index, matrices.dtype, (batch, columns, rows), (apart, across, down), matrices.slot
    )


def _with(matrices: Operand, axis: int, count: int) -> Operand:
    """View the first ``count`` lines of an axis of the matrices: the last group of images may be smaller."""
    shape = (*matrices.shape[:axis], count, *matrices.shape[axis + 1 :])
    return Operand(matrices.index, matrices.dtype, shape, matrices.strides, matrices.slot)

"""Convolutions of small filters by Winograd's filtering, on targets with a BLAS.

Filters of 3x3 with stride 1, and of 4x4 with stride 2 as filters of 2x2 over four channels for each: the image's rows
and columns of even and of odd number. In three dimensions it is done in the last two, and taps of the first are
channels.

Tiles of the image and filters are transformed, products of all tiles with all filters follow, a batch of them for each
element of a tile, and what they give is transformed to the result. Images are taken a few at a time, so that what lies
between two steps stays in the last cache.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from weft import dtypes
from weft.kernels import Argument, KernelStep, Library, Offset, Operand
from weft.kernels.library.winograd import Filtering
from weft.ops.conv.sizes import Convolution
from weft.ops.matmul.linear import matmul_step
from weft.ops.registry.temporaries import temporary

Options = tuple[tuple[str, int | str | bool], ...]

LANES = 16
"""Channels are padded to a multiple of this."""
LEAST, LEAST_DEEP = 32, 16
"""Channels, of input and of output, below which little is saved and rounding errors would be for nothing.

The second: of results in three dimensions, where more is added for each.
"""
TOGETHER = 12 << 20
"""Bytes of tiles and of their products that are made at a time, if one image has no more."""
CHOICES = (Filtering(4, 3), Filtering(2, 3), Filtering(3, 2), Filtering(2, 2))
"""Of a plain sum's products F(4, 3) takes a quarter, F(2, 3) and F(3, 2) four ninths, F(2, 2) nine sixteenths."""
STEPS = {1: 3, 2: 2}
"""The taps of a filter, or of each of its phases, by stride."""
FILTER = {"forward": 43, "input": 33, "weight": 25}
TILE, PLAIN, COPY = 28, 1.15, 20
"""What costs as much as so many multiplications in a product of matrices: to transform a number of a filter (and to
copy it, as each product begins with), a number of a tile; a multiplication where windows are unfolded, and to copy
a number of a filter there.

Fitted to one thread of an AMD EPYC (Zen 4), 16 images of 28x28 by 64 channels to 2x2 by 512.
"""


@dataclass(frozen=True)
class Tiles:
    """The tiles that cover an image of ``height`` x ``width`` results, and how many numbers each has for a channel.

    ``step``: the stride; an image has ``step`` squared phases, which count as channels.
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
        """Products of a tile, a pair of channels."""
        return self.filtering.size**2


def tiles_for(kind: str, sizes: Convolution, dtype: dtypes.DType) -> Tiles | None:
    """The tiles that take the least work; ``None`` where another form is faster, or more exact."""
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
        and not (deep and kind == "input")  # which goes forward, by turned filters
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
    tiles = [Tiles(each, height, width, step) for each in CHOICES if each.taps == taps]
    costs = {_cost(kind, each, sizes): each for each in tiles}
    return costs[min(costs)] if costs and min(costs) < plain else None


def _channels(sizes: Convolution) -> int:
    """Channels with the phases or the taps of depth that are channels, too."""
    own = sizes.window
    return sizes.c * (own.kernel[0] if len(own.size) == 3 else own.stride[-1] ** 2)


def _images(sizes: Convolution) -> int:
    """Images of results: those of a sample's slices in three dimensions."""
    return sizes.n * math.prod(sizes.window.out[:-2])


def _cost(kind: str, tiles: Tiles, sizes: Convolution) -> float:
    """Multiplications in products, and what transforms are worth in them."""
    count, c = _images(sizes) * tiles.rows * tiles.columns, _channels(sizes)
    products = count * c * sizes.o + FILTER[kind] * c * sizes.o + TILE * count * (c + sizes.o)
    return products * tiles.numbers


def steps(
    kind: str, ready: Sequence[Operand], target: Operand, sizes: Convolution, tiles: Tiles, free: int
) -> tuple[list[KernelStep], list[Operand]]:
    """The steps for ``"forward"`` (x, w to y), ``"input"`` (y, w to x) or ``"weight"`` (y, x to w)."""
    return _WinogradBuilder(kind, ready, target, sizes, tiles, free).all()


class _WinogradBuilder:
    def __init__(
        self,
        kind: str,
        ready: Sequence[Operand],
        target: Operand,
        sizes: Convolution,
        tiles: Tiles,
        free: int,
    ) -> None:
        self.kind, self.ready, self.target, self.sizes, self.tiles = kind, ready, target, sizes, tiles
        self.dtype, self.free, self.channels = target.dtype, free, _channels(sizes)
        self.all_images = _images(sizes)
        each = tiles.rows * tiles.columns
        room = 4 * tiles.numbers * each * (_padded(self.channels) + _padded(sizes.o))
        self.images = max(1, min(self.all_images, TOGETHER // room))
        self.images = -(-self.all_images // -(-self.all_images // self.images))  # evenly
        self.count = self.images * each
        self.made: list[Operand] = []
        self.pads = [before for before, _ in sizes.window.padding[-2:]]

    def all(self) -> tuple[list[KernelStep], list[Operand]]:
        """The steps, and the scratch values."""
        steps = {"forward": self._forward, "input": self._input, "weight": self._weight}[self.kind]()
        return steps, self.made

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
                self._product(_turned(grads), inputs, products, first),
                self._filter_step("filter_gradient", self.target, products, more=first > 0),
            ]
        return steps

    def _products(self, lines: int, channels: int) -> Operand:
        """A scratch value of as many matrices as a tile has products, lines of channels, which are padded.

        Matrices lie a vector apart from where they would share places in a cache.
        """
        room = _padded(channels)
        apart = lines * room + LANES
        shape = (self.tiles.numbers, lines, channels)
        index = self.free + len(self.made)
        whole = temporary(index, self.dtype, (self.tiles.numbers * apart,))
        self.made.append(whole)
        return Operand(index, self.dtype, shape, (apart, room, 1), whole.slot)

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
        own = self.sizes.window
        deep, (h, w) = len(own.size) == 3, image.shape[-2:]
        c, taps, pad = image.shape[1] * step**2, 1, 0
        if deep and stage == "tiles" and matrix == "inputs":
            taps, pad = own.kernel[0], own.padding[0][0]
        apart, room, _ = products.strides
        values = (image, products) if stage == "tiles" else (products, image)
        options: Options = (
            *((("matrix", matrix),) if matrix else ()),
            *((("step", step),) if step > 1 else ()),
            *((("deep", True),) if deep else ()),
        )
        arguments: tuple[Argument, ...] = (
            c * taps, h, w, *pads, self.tiles.rows, self.tiles.columns, first, self._images_from(first),
            Offset(image.index), room, apart, *((image.shape[2], taps, own.out[0], pad) if deep else (1, 1, 1, 0)),
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
        own = self.tiles.filtering
        chosen: Options = (("stage", stage), ("outputs", own.outputs), ("taps", own.taps), *options)
        return Library("winograd", (self.dtype,) * 2, chosen)


def _padded(channels: int) -> int:
    return -(-channels // LANES) * LANES


def _turned(matrices: Operand) -> Operand:
    (batch, rows, columns), (apart, down, across) = matrices.shape, matrices.strides
    return Operand(
        matrices.index, matrices.dtype, (batch, columns, rows), (apart, across, down), matrices.slot
    )


def _with(matrices: Operand, axis: int, count: int) -> Operand:
    """Matrices of which only the first ``count`` lines of an axis are used: the last images may be fewer."""
    shape = (*matrices.shape[:axis], count, *matrices.shape[axis + 1 :])
    return Operand(matrices.index, matrices.dtype, shape, matrices.strides, matrices.slot)

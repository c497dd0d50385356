"""Operations on a GPU: weft's, PyTorch's on the same GPU, and weft's naive kernels, in one run.

``python benchmarks/gpu_speed.py [--device webgpu] [--only matmul,rows] [--quick]`` prints a Markdown table.
A row's time is the median of several batches of calls, each ended by a synchronisation. Before it is timed, every
operation is checked on fresh random inputs against NumPy in float64 (element-wise operations and rows on smaller
inputs than the timed ones, convolutions against PyTorch). Products are timed by their kernels alone, the naive ones
too; the rest is eager calls, Python included. Without CUDA the peer's column is empty.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy

import weft as wf
from weft import codegen, devices
from weft.devices.base import Device
from weft.kernels import KernelProgram, Offset, Operand
from weft.ops import OPS, bind
from weft.ops.matmul.linear import derived_matmul, matmul_program
from weft.ops.registry.functions import FUNCTIONS

try:
    import torch

    CUDA = torch.cuda.is_available()
except ImportError:
    CUDA = False

Array = numpy.ndarray[Any, Any]
RNG = numpy.random.default_rng()
CHECKED = 1 << 22
"""The most elements of inputs that are compared with NumPy; larger inputs are compared with PyTorch or by rows."""


@dataclass(frozen=True)
class Row:
    """A line of the table: ``work`` is bytes or floating-point operations, in ``unit`` (TB/s or TFLOP/s)."""

    group: str
    name: str
    work: float
    unit: str
    ours: Callable[[], Any]
    peer: Callable[[], Any] | None
    naive: Callable[[], Any] | None = None
    goal: str = ""


def median(call: Callable[[], Any], finish: Callable[[], Any], seconds: float) -> float:
    """Return the seconds of a call, the median of seven batches."""
    times: list[float] = []
    count, taken = 1, 0.0
    while taken < seconds / 2 and count < 4096:  # a single call may be delayed by other work
        call()
        finish()
        start = time.perf_counter()
        for _ in range(count):
            call()
        finish()
        taken = time.perf_counter() - start
        count *= 2
    count = max(1, round(count / 2 * seconds / taken))
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(count):
            call()
        finish()
        times.append((time.perf_counter() - start) / count)
    return statistics.median(times)


def close(name: str, got: Any, want: Array, tolerance: float) -> None:
    """Raise ``AssertionError`` if an error exceeds ``tolerance`` times the largest value."""
    error = numpy.abs(got.numpy().astype("float64") - want).max() / max(1.0, numpy.abs(want).max())
    if not error <= tolerance:
        raise AssertionError(f"{name}: off by {error:.2e} of the largest value, expected at most {tolerance}")


def random(shape: tuple[int, ...], dtype: str = "float32") -> Array:
    """Return new random numbers."""
    return RNG.standard_normal(shape, dtype="float32").astype(dtype)


def on_gpu(array: Array) -> Any:
    """Return PyTorch's copy on the GPU, or None."""
    return torch.from_numpy(array).cuda() if CUDA else None


def pointwise(device: str, quick: bool) -> Iterator[Row]:
    """Iterate over rows of element-wise operations over 1 GiB."""
    count = 1 << (20 if quick else 28)
    for function, operands in (("mul", 1), ("add", 2), ("exp", 1), ("relu", 1), ("tanh", 1)):
        few = [random((4099,)) for _ in range(operands)]
        target = FUNCTIONS[function].function if function in FUNCTIONS else getattr(wf, function)
        extra = (2.0,) if function == "mul" else ()
        numpy_form = {
            "mul": lambda x: x * 2.0,
            "add": lambda x, y: x + y,
            "relu": lambda x: numpy.maximum(x, 0),
        }
        want = numpy_form.get(function) or getattr(numpy, function)
        close(
            function,
            target(*(wf.tensor(x, device=device) for x in few), *extra),
            want(*(x.astype("float64") for x in few)),
            1e-6,
        )
        ours = [wf.randn(count, device=device) for _ in range(operands)]
        theirs = [torch.randn(count, device="cuda") for _ in range(operands)] if CUDA else []
        peer = None
        if CUDA:
            torch_function = getattr(torch, function)
            peer = lambda f=torch_function, a=theirs, e=extra: f(*a, *e)  # noqa: E731
        size = 4 * count * (operands + 1)
        yield Row(
            "pointwise",
            f"{function}, {count * 4 >> 20} MiB",
            size,
            "TB/s",
            lambda f=target, a=ours, e=extra: f(*a, *e),
            peer,
            goal="0.90",
        )


ROWS = (
    (16384, 16384),
    (65536, 4096),
    (262144, 1024),
    (1 << 20, 256),
    (1 << 22, 64),
    (131072, 1000),
    (262144, 1023),
)


def rows(device: str, quick: bool) -> Iterator[Row]:
    """Iterate over rows of sums over rows and columns, and softmax."""
    for shape in ROWS:
        m, n = (shape[0] >> 8 if quick else shape[0]), shape[1]
        few = random((max(1, min(m, CHECKED // n)), n))
        small = wf.tensor(few, device=device)
        wide = few.astype("float64")
        close("sum rows", wf.sum(small, 1), wide.sum(1), 1e-5)
        close("sum columns", wf.sum(small, 0), wide.sum(0), 1e-5)
        powers = numpy.exp(wide - wide.max(1, keepdims=True))
        close("softmax", wf.softmax(small, 1), powers / powers.sum(1, keepdims=True), 1e-6)
        x = wf.randn(m, n, device=device)
        y = torch.randn(m, n, device="cuda") if CUDA else None
        for name, ours, theirs, passes in (
            ("sum of rows", lambda x=x: wf.sum(x, 1), lambda y=y: y.sum(1), 1),
            ("sum of columns", lambda x=x: wf.sum(x, 0), lambda y=y: y.sum(0), 1),
            ("amax of rows", lambda x=x: wf.amax(x, 1), lambda y=y: y.amax(1), 1),
            ("softmax of rows", lambda x=x: wf.softmax(x, 1), lambda y=y: torch.softmax(y, 1), 2),
        ):
            yield Row(
                "rows",
                f"{name}, {m} x {n}",
                4.0 * m * n * passes,
                "TB/s",
                ours,
                theirs if CUDA else None,
                goal="0.80",
            )
        if shape == ROWS[0]:
            ours, theirs = (lambda x=x: wf.sum(x)), (lambda y=y: y.sum())
            yield Row(
                "rows",
                f"sum of all, {m} x {n}",
                4.0 * m * n,
                "TB/s",
                ours,
                theirs if CUDA else None,
                goal="0.80",
            )


def kernels_of(device: str, a: Any, b: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Return two functions that dispatch the kernels of a product: weft's choice, and the derived (naive) kernel."""
    opened = devices.open(device)
    m, n = a.shape[-2], b.shape[-1]
    out = wf.zeros(*a.shape[:-2], m, n, device=device, dtype=a.dtype)
    arrays = [value._data for value in (a, b, out)]
    operands = [Operand(i, each.dtype, each.shape, each.strides, i) for i, each in enumerate(arrays)]
    chosen = matmul_program(*operands, opened.profile, 3)
    plain = KernelProgram((derived_matmul(*operands),))
    return dispatcher(opened, chosen, arrays), dispatcher(opened, plain, arrays)


def dispatcher(device: Device, program: KernelProgram, arrays: list[Any]) -> Callable[[], None]:
    """Return a function that dispatches a program's steps, with temporaries that are allocated once."""
    storages = [each.storage for each in arrays]
    storages += [device.allocate(count * device.itemsize(dtype)) for dtype, count in program.temporaries]
    calls = []
    for step in program.steps:
        numbers = [0 if isinstance(argument, Offset) else argument for argument in step.arguments]
        calls.append(
            (codegen.generate(step.kernel, device.profile), [storages[i] for i in step.buffers], numbers)
        )

    def dispatch() -> None:
        for call in calls:
            device.dispatch_kernel(*call)

    return dispatch


MATMULS: tuple[tuple[str, tuple[int, ...], str, str], ...] = (
    ("nn", (512, 512, 512), "float32", ""),
    ("nn", (1024, 1024, 1024), "float32", ""),
    ("nn", (2048, 2048, 2048), "float32", ""),
    ("nn", (4096, 4096, 4096), "float32", "30 TFLOP/s"),
    ("nt", (4096, 4096, 4096), "float32", "30 TFLOP/s"),
    ("tn", (4096, 4096, 4096), "float32", ""),
    ("tt", (4096, 4096, 4096), "float32", ""),
    ("nn", (4095, 4095, 4095), "float32", ""),
    ("nn", (1000, 1000, 1000), "float32", ""),
    ("nn", (515, 517, 519), "float32", ""),
    ("nt", (515, 4099, 1025), "float32", ""),
    ("nn", (8192, 8192, 512), "float32", ""),
    ("nn", (512, 512, 65536), "float32", ""),
    ("tn", (64, 576, 100352), "float32", ""),
    ("nt", (16, 4096, 4096), "float32", ""),
    ("nn", (16, 4096, 4096), "float32", ""),
    ("nn", (4096, 16, 4096), "float32", ""),
    ("nn", (4096, 4096, 4096), "float16", ""),
    ("nn", (64, 256, 256, 64), "float32", ""),
    ("nt", (384, 256, 256, 64), "float32", ""),
    ("nn", (256, 256, 256), "float32", ""),
    ("nn", (128, 128, 128), "float32", ""),
    ("nn", (64, 64, 64), "float32", ""),
    ("nn", (128, 10, 128), "float32", ""),
)


def matmul(device: str, quick: bool) -> Iterator[Row]:
    """Iterate over rows of matrix products of many shapes; the letters say which operand is transposed."""
    for letters, sizes, dtype, goal in MATMULS:
        *batch, m, n, k = sizes
        if quick and m * n * k > 1 << 24:
            continue
        a = random((*batch, m, k) if letters[0] == "n" else (*batch, k, m), dtype)
        b = random((*batch, k, n) if letters[1] == "n" else (*batch, n, k), dtype)
        ours = [wf.tensor(x, device=device) for x in (a, b)]
        theirs = [on_gpu(x) for x in (a, b)]
        for i, letter in enumerate(letters):
            if letter == "t":
                ours[i] = ours[i].transpose(-1, -2)
                a, b = (a.swapaxes(-1, -2), b) if i == 0 else (a, b.swapaxes(-1, -2))
                theirs[i] = theirs[i].transpose(-1, -2) if CUDA else None
        picked = RNG.integers(0, m, 16)  # rows in float64
        want = a[..., picked, :].astype("float64") @ b.astype("float64")
        product = (ours[0] @ ours[1]).numpy()[..., picked, :].astype("float64")
        error = numpy.abs(product - want).max() / numpy.abs(want).max()
        limit = 2e-3 if dtype == "float16" else 2e-5
        if not error <= limit:
            raise AssertionError(f"matmul {letters} {sizes}: off by {error:.2e}, expected at most {limit}")
        work = 2.0 * m * n * k * int(numpy.prod(batch))
        peer = (lambda a=theirs: torch.matmul(*a)) if CUDA else None
        kernels, naive = kernels_of(device, *ours)
        usual = "1.2 of naive" if min(m, n, k) >= 512 else "1.0 of naive"
        yield Row(
            "matmul",
            f"{letters} {' x '.join(map(str, sizes))} {dtype}",
            work,
            "TFLOP/s",
            kernels,
            peer,
            naive,
            goal or usual,
        )


MATVECS = (
    ("nt", (16384, 8192), "float16", "3.5 TB/s"),
    ("nt", (16384, 8192), "float32", ""),
    ("nn", (16384, 8192), "float32", ""),
    ("nn", (16384, 8192), "float16", ""),
    ("nt", (4864, 896), "float16", ""),
    ("nt", (896, 4864), "float16", ""),
    ("nt", (4096, 4095), "float32", ""),
    ("nn", (4096, 4096), "float32", ""),
)


def matvec(device: str, quick: bool) -> Iterator[Row]:
    """Iterate over rows of a vector times a matrix of (outputs, inputs), stored as such (nt) or transposed (nn)."""
    for letters, (m, k), dtype, goal in MATVECS:
        if quick and m * k > 1 << 23:
            continue
        w = random((m, k) if letters == "nt" else (k, m), dtype)
        x = random((1, k), dtype)
        matrix, vector = wf.tensor(w, device=device), wf.tensor(x, device=device)
        matrix = matrix.transpose(0, 1) if letters == "nt" else matrix
        wide = w.astype("float64")
        want = x.astype("float64") @ (wide.T if letters == "nt" else wide)
        close(f"matvec {letters} {m} x {k}", vector @ matrix, want, 2e-3 if dtype == "float16" else 2e-5)
        v, t = on_gpu(x), on_gpu(w)
        t = t.t() if CUDA and letters == "nt" else t
        peer = (lambda v=v, t=t: v @ t) if CUDA else None
        kernels, naive = kernels_of(device, vector, matrix)
        yield Row(
            "matvec", f"{letters} {m} x {k} {dtype}", float(w.nbytes), "TB/s", kernels, peer, naive, goal
        )


CONVOLUTIONS = (
    (64, 64, 56, 56, 64, 3),
    (64, 1, 28, 28, 32, 3),
    (32, 128, 28, 28, 256, 3),
    (64, 256, 14, 14, 64, 1),
)


def conv2d(device: str, quick: bool) -> Iterator[Row]:
    """Iterate over rows of a convolution with padding, and of its two gradients."""
    for n, c, h, w, o, kernel in CONVOLUTIONS:
        if quick:
            n = 2
        x, weight = random((n, c, h, w)), random((o, c, kernel, kernel))
        pad = kernel // 2
        seed = random((n, o, h, w))
        ours = [wf.tensor(v, device=device) for v in (x, weight, seed)]
        attributes = {"stride": (1, 1), "padding": ((pad, pad),) * 2, "dilation": (1, 1), "groups": 1}
        theirs = [on_gpu(v) for v in (x, weight, seed)]
        kinds = (
            ("convolution", (0, 1), {}),
            ("convolution_input", (2, 1), {"shape": x.shape}),
            ("convolution_weight", (2, 0), {"shape": weight.shape}),
        )
        for position, (name, which, extra) in enumerate(kinds):
            call = lambda a=[ours[i] for i in which], n=name, e={**attributes, **extra}: bind(OPS[n], *a, **e)  # noqa: E731
            peer = None
            if CUDA:
                peers = (
                    lambda t=theirs, p=pad: torch.conv2d(t[0], t[1], padding=p),
                    lambda t=theirs, s=x.shape, p=pad: torch.nn.grad.conv2d_input(s, t[1], t[2], padding=p),
                    lambda t=theirs, s=weight.shape, p=pad: torch.nn.grad.conv2d_weight(
                        t[0], s, t[2], padding=p
                    ),
                )
                peer = peers[position]
                close(name, call(), peer().double().cpu().numpy(), 1e-3)
            work = 2.0 * n * h * w * o * c * kernel * kernel
            yield Row(
                "conv2d", f"{name} {n}x{c}x{h}x{w} to {o}, {kernel}x{kernel}", work, "TFLOP/s", call, peer
            )


GROUPS = {"pointwise": pointwise, "rows": rows, "matvec": matvec, "matmul": matmul, "conv2d": conv2d}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="webgpu")
    parser.add_argument("--only", default=",".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that the script runs")
    given = parser.parse_args()
    opened = devices.open(given.device)
    torch_name = f"PyTorch {torch.__version__}, {torch.cuda.get_device_name()}" if CUDA else "no CUDA"
    if CUDA:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    print(f"{time.strftime('%Y-%m-%d')}; {given.device}; peer: {torch_name}\n", flush=True)
    print("| what | ours | unit | PyTorch | of PyTorch | of naive | goal |\n|---|---|---|---|---|---|---|")
    seconds = 0.002 if given.quick else 0.1  # short batches measure the synchronisation
    for name in given.only.split(","):
        for row in GROUPS[name](given.device, given.quick):
            ours = median(row.ours, opened.synchronize, seconds)
            peer = median(row.peer, torch.cuda.synchronize, seconds) if row.peer else None
            naive = median(row.naive, opened.synchronize, seconds) if row.naive else None
            speed = [f"{row.work / each / 1e12:.2f}" if each else "" for each in (ours, peer)]
            ratios = [f"{each / ours:.2f}" if each else "" for each in (peer, naive)]
            print(
                f"| {row.name} | {speed[0]} | {row.unit} | {speed[1]} | {ratios[0]} | {ratios[1]} | {row.goal} |",
                flush=True,
            )


if __name__ == "__main__":
    with wf.no_grad():
        main()

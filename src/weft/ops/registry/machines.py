"""The cost model of matrix products: for each class of GPUs, the speed of each tile and the cost of a second kernel.

The shipped choices of tiles follow from this table. The entry for NVIDIA is measured; the other entries are derived
from data of the hardware. ``weft tune`` replaces them by measurements on the GPU at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft.target import TargetProfile

STAGE = 16
"""The depth of the operand tiles that are staged in workgroup memory at a time."""
WORKGROUP_MEMORY = 16384
"""Bytes of workgroup memory that every WebGPU device has, for profiles without that limit."""


@dataclass(frozen=True)
class Speed:
    """The speed of a tile: its output shape, TFLOP/s at full occupancy, and the latencies that count at low occupancy.

    ``at_once``: workgroups that a processor runs concurrently without slowing each other down. ``step``: microseconds
    of a workgroup for a step of ``STAGE`` in depth. ``around``: the cost of prologue and epilogue, in steps.
    """

    rows: int
    columns: int
    teraflops: float
    at_once: int
    step: float
    around: int

    def memory(self, turned: int) -> int:
        """Return the bytes of workgroup memory; ``turned`` operands are transposed into it, and padded."""
        return 16 * STAGE * ((self.rows + self.columns) // 4 + turned)


@dataclass(frozen=True)
class Machine:
    """A class of GPUs: the number of its processors (SMs, compute units), and the speed of each tile.

    ``second``: microseconds of a second dispatch. ``bandwidth``: bytes per microsecond that the kernel reads and writes
    which sums the partial products of a split depth. ``source``: how the numbers were found.
    """

    source: str
    processors: int
    second: float
    bandwidth: float
    speeds: Mapping[str, Speed]


H200 = Machine(
    "measured: H200, Vulkan, 30 shapes from 64 x 64 x 64 to 512 x 512 x 65536",
    132,
    5.0,
    2.7e6,
    {
        "small": Speed(32, 32, 20.0, 12, 0.026, 8),
        "medium": Speed(64, 64, 32.0, 4, 0.040, 16),
        "wide": Speed(32, 128, 33.0, 5, 0.0375, 16),
        "tall": Speed(128, 32, 35.0, 5, 0.039, 16),
        "large": Speed(128, 128, 40.0, 2, 0.112, 32),
    },
)


def _scaled(source: str, processors: int, second: float, bandwidth: float, **teraflops: float) -> Machine:
    """Return a machine whose step latencies are the H200's, scaled by the ratio of the processors' TFLOP/s."""
    speeds = {}
    for name, fast in H200.speeds.items():
        slower = (fast.teraflops / H200.processors) / (teraflops[name] / processors)
        speeds[name] = Speed(
            fast.rows, fast.columns, teraflops[name], fast.at_once, fast.step * slower, fast.around
        )
    return Machine(source, processors, second, bandwidth, speeds)


MACHINES: dict[str, Machine] = {
    "nvidia": H200,
    "amd": _scaled(
        "derived: RDNA 2 and 3 with 60 compute units, 20 TFLOP/s and 0.5 TB/s, the H200's ratios between tiles",
        60, 8.0, 0.5e6, small=6.0, medium=9.6, wide=9.9, tall=10.5, large=12.0,
    ),
    "intel": _scaled(
        "derived: Xe with 32 cores, 15 TFLOP/s and 0.5 TB/s; 128 registers a thread of 16 lanes are 64 numbers an "
        "invocation, which 8 x 8 accumulators alone would fill, so blocks of 4 x 4 are ahead",
        32, 10.0, 0.5e6, small=5.0, medium=7.5, wide=5.5, tall=5.5, large=3.0,
    ),
    "apple": _scaled(
        "derived: M series with 16 cores, 5 TFLOP/s and 0.2 TB/s; 32 KiB of workgroup memory hold one large tile at a "
        "time, so that barriers are not hidden",
        16, 10.0, 0.2e6, small=2.2, medium=3.2, wide=3.0, tall=3.0, large=2.6,
    ),
}  # fmt: skip
"""Machines by ``TargetProfile.vendor``; other vendors take the H200's. A software rasteriser has a single tile."""


def machine(profile: TargetProfile) -> Machine:
    """Return the machine of a target."""
    return MACHINES.get(profile.vendor, H200)


def fitting(profile: TargetProfile, turned: int) -> dict[str, Speed]:
    """Return the tiles that fit the target's workgroup memory, with their speeds."""
    room = profile.limits.get("max-compute-workgroup-storage-size", WORKGROUP_MEMORY)
    return {name: speed for name, speed in machine(profile).speeds.items() if speed.memory(turned) <= room}

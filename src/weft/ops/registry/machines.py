"""Classes of adapters as matrix products see them: how fast each tile is there, and what a second kernel costs.

The shipped table of choices. One entry is measured; the others follow from what is known of the hardware, and
``weft tune`` replaces them by measurements of the adapter at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from weft.target import TargetProfile

STAGE = 16
"""Depth that all tiles stage in workgroup memory at a time."""
WORKGROUP_MEMORY = 16384
"""Bytes that every WebGPU device has, where a profile does not say."""


@dataclass(frozen=True)
class Speed:
    """A tile's outputs, TFLOP/s with the whole machine at work, and what counts where a processor has few workgroups.

    ``at_once``: how many it runs in the time of one; ``step``: microseconds that one takes for a step in depth;
    ``around``: how many steps its beginning and its end are worth.
    """

    rows: int
    columns: int
    teraflops: float
    at_once: int
    step: float
    around: int

    def memory(self, turned: int) -> int:
        """Bytes of workgroup memory; ``turned``: how many operands are transposed on the way in, which are padded."""
        return 16 * STAGE * ((self.rows + self.columns) // 4 + turned)


@dataclass(frozen=True)
class Machine:
    """A class of adapters: processors that have workgroups of their own, and the tiles' speeds.

    ``second``: microseconds of one more dispatch; ``bandwidth``: bytes in a microsecond, read or written, by the sum of
    the pieces of a depth. ``source``: where the numbers come from.
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
    """A machine whose steps take as much longer than the H200's as its processors are slower."""
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
"""By ``TargetProfile.vendor``; of others the measured one is taken. A software rasteriser has one tile."""


def machine(profile: TargetProfile) -> Machine:
    """The class of a target."""
    return MACHINES.get(profile.vendor, H200)


def fitting(profile: TargetProfile, turned: int) -> dict[str, Speed]:
    """The tiles that the target's workgroup memory holds."""
    room = profile.limits.get("max-compute-workgroup-storage-size", WORKGROUP_MEMORY)
    return {name: speed for name, speed in machine(profile).speeds.items() if speed.memory(turned) <= room}

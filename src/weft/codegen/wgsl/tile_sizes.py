"""The tiles of matrix products: outputs of a workgroup and of an invocation, and how operands are staged."""

from __future__ import annotations

from dataclasses import dataclass

from weft.errors import KernelError
from weft.target import TargetProfile


@dataclass(frozen=True)
class Tile:
    """Outputs of a workgroup (``rows`` × ``columns``) and of an invocation (``row_block`` × ``column_block``).

    ``depth`` is how far the operands are staged in workgroup memory at a time; 0 reads them from the buffers.
    ``ahead`` loads the next stage into registers while the present one is multiplied. Accumulators are named
    variables: an indexed array of them would lie in memory.
    """

    rows: int
    columns: int
    row_block: int
    column_block: int
    depth: int
    ahead: bool = False

    @property
    def across(self) -> int:
        """Invocations along the columns."""
        return self.columns // self.column_block

    @property
    def down(self) -> int:
        """Invocations along the rows."""
        return self.rows // self.row_block

    @property
    def invocations(self) -> int:
        """Invocations of a workgroup."""
        return self.across * self.down


TILES: dict[str, Tile] = {
    "software": Tile(64, 64, 8, 8, 0),  # a software rasteriser has no fast workgroup memory
    "small": Tile(32, 32, 4, 4, 16, True),
    "medium": Tile(64, 64, 4, 4, 16, True),
    "wide": Tile(32, 128, 4, 8, 16, True),
    "tall": Tile(128, 32, 8, 4, 16, True),
    "large": Tile(128, 128, 8, 8, 16, True),
}


def choose_tile(profile: TargetProfile, options: dict[str, int | str | bool]) -> Tile:
    """Return the tile that the options name, or the target's default."""
    name = options.get("tile", "software" if profile.software else "medium")
    if name not in TILES:
        raise KernelError(f"tile is {name!r}, expected one of {', '.join(TILES)}")
    return TILES[str(name)]

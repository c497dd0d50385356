"""``ordered_fold`` on the ``cpu`` stands beside ``segment_fold``; importing it registers both."""

from weft.kernels.library.llvm_segment_fold import ordered_fold

__all__ = ["ordered_fold"]

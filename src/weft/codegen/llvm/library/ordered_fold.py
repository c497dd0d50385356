"""``ordered_fold`` on the ``cpu`` stands beside ``segment_fold``; importing it registers both."""

from weft.codegen.llvm.library.segment_fold import ordered_fold

__all__ = ["ordered_fold"]

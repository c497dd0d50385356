"""``ordered_fold`` on the ``cpu``: its template lies in ``segment_fold``, whose import registers both."""

from weft.codegen.llvm.library.segment_fold import ordered_fold

__all__ = ["ordered_fold"]

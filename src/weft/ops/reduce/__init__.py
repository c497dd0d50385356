"""Ops along dimensions: reductions (sums, extremes, statistics, norms), softmax, scans, sorting, searching, counts."""

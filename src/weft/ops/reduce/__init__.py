"""Folds over dimensions: sums, extremes, statistics, softmax, running folds, sorts, counts."""

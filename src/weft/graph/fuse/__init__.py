"""Kernel fusion: vertical fusion, horizontal fusion, and epilogues of matrix products."""

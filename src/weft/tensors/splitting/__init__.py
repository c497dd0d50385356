"""Calls on tensors larger than a binding: an interpreter below the eager one that splits them into calls on parts.

The largest binding of a device is part of a layout's number, so that only calls on such tensors come here:
``interpreter`` binds windows of large storages and splits; ``rules`` is the table of the dimensions along which an op
may be split; ``assembling`` has the ops whose results are put together from partial results.
"""

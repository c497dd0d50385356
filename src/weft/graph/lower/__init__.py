"""Lowering: graph nodes become kernel calls over named runs of memory."""

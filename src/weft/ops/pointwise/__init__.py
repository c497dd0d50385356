"""Ops of single elements, each declared by an expression."""

"""Runs the training by ``python -m examples.digits``."""

from examples.digits.train import main

main()

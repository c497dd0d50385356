"""Lets ``python -m examples.digits`` run the training."""

from examples.digits.train import main

main()

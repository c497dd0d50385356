"""An example: a small convolutional network learns scikit-learn's handwritten digits."""

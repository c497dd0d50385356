"""Matrix products, and the linear algebra that is built from them."""

"""`holdfast demo`: the whole loop in compressed time, in one of two worlds."""

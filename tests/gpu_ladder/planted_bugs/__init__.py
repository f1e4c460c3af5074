"""Bugs planted on purpose, which the ladder must catch, and correct kernels, which must pass."""

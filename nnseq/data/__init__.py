"""Readers of real formats and generators of synthetic tasks: arrays only, no Tensor."""

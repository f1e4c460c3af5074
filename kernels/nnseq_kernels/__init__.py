"""Compiled implementations of nnseq's recurrences: arrays in, arrays out.

`nnseq_kernels.<cell>.<implementation>` has `forward` and `backward` with the signature of the
reference `nnseq.cells.<cell>`. Nothing here imports nnseq, and importing a module here needs
neither a GPU nor CuPy: both are asked for at the first call that uses them.
"""

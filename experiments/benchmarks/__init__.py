"""Speed and memory of nnseq beside its peers and beside what the machine can do: see run.py."""

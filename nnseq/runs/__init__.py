"""What surrounds the training loop: the folder of a run, checkpoints, signals, lines, summary."""

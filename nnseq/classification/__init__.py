"""Classes of sequences: options, files, training and evaluation."""

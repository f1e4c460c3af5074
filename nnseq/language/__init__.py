"""Language models: options, networks, training, evaluation static and dynamic, samples."""

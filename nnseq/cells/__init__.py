"""Hand-derived recurrences over whole sequences: one file per cell, forward above backward."""

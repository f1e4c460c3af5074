"""Files of data: found, read whole, and refused with the place where they are wrong."""

from __future__ import annotations


class DataError(ValueError):
    """A data file that cannot be used: which, where, what came, what was expected, what to do."""

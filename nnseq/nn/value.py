"""Value: what modules take as an argument besides numbers, names and other modules."""


class Value:
    """Base class of initialisers, and of options that several parts of a network share.

    Subclasses are frozen dataclasses; a description holds their class's name and their fields.
    """

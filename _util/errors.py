"""The error of invalid input."""


class InputError(ValueError):
    """An input cannot be used. The message is one sentence: what, where, and what to do about it.

    Scripts print it and exit with code 2. What long work has finished by then is kept; nothing half-written is left.
    """

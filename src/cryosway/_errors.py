"""The exceptions and warnings that a user of cryosway can meet."""


class CryoswayError(Exception):
    """An expected failure: its message is the one sentence that the user reads.

    The message says what was found, in which file and row, and how to mend it.
    """


class CryoswayWarning(UserWarning):
    """Something the user should know about, by name, that does not stop the work."""

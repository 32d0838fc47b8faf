"""The error that a user, not a programmer, has to act on."""


class InputError(Exception):
    """Something the user gave cannot be used; the message names it, what was found and what is allowed."""

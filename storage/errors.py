"""The error of everything that lies on disk or on a server."""


class StorageError(Exception):
    """A file, store, model folder or server is missing or damaged; the message names it and what was expected."""


def first_line(error: Exception | str) -> str:
    """What an error says first, shortened; its type where it says nothing."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]

"""The error of everything that lies on disk or on a server."""


class StorageError(Exception):
    """A file, store, model folder or server is missing or damaged; the message names it and what was expected."""

"""The error of everything that lies on disk or on a server, and what libraries say of a disk that takes no more."""

import errno
import os
import re

# No room, or no right to write.
DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
# What safetensors and torch say of them, whose errors are no OSError.
NUMBERED = re.compile(r"\(os error (\d+)\)")
OF_TORCH = re.compile(r"inline_container|PytorchStreamWriter")


class StorageError(Exception):
    """A file, store, model folder or server is missing or damaged; the message names it and what was expected."""


def first_line(error: Exception | str) -> str:
    """What an error says first, shortened; its type where it says nothing."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]


def disk_fault(error: BaseException) -> str | None:
    """Why something could not be written, by an error or what caused it; None if it is about something else."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in DISK_FAULTS:
            return f"{cause.strerror}: {cause.filename}" if cause.filename else str(cause.strerror)
        if (found := NUMBERED.search(str(cause))) and int(found[1]) in DISK_FAULTS:
            return os.strerror(int(found[1]))
        if isinstance(cause, RuntimeError) and OF_TORCH.search(str(cause)):
            return f"is there room left on the disk? torch says: {first_line(cause)}"
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return None

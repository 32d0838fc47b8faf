"""What listens on this machine is never asked for through a proxy."""

import os

LOOPBACK = ("127.0.0.1", "localhost")


def keep_loopback_direct() -> None:
    """Name loopback in NO_PROXY of this process and of those that it starts; what is named there already stays.

    A company's proxy knows no server of this machine; it answers for it, and what it says misleads.
    """
    # Some programs read one spelling, some the other one, and those that read both take the one that they prefer.
    for variable in ("NO_PROXY", "no_proxy"):
        named = [name for name in os.environ.get(variable, "").split(",") if name.strip()]
        named += [name for name in LOOPBACK if name not in named]
        os.environ[variable] = ",".join(named)

"""python -m storage info|check|append|adopt: look into a store, verify every file of it, add the samples of another, or
make a store of what another program has copied, cut or appended to."""

import argparse
import signal
import sys
from pathlib import Path

from storage.errors import StorageError
from storage.stores.adoption import adopt_store
from storage.stores.csi_store import append_store, open_store, stored_kind
from storage.stores.inspection import check_store, describe_store


def info(path: Path) -> int:
    lines = describe_store(path)
    width = max(map(len, lines))
    for subject, text in lines.items():
        print(f"{subject:<{width}}  {text}")
    return 0


def check(path: Path) -> int:
    result = check_store(path)
    for fault in result.faults:
        print(fault)
    if result.faults:
        print(f"{result.lost} of {result.samples} samples lost")
        return 1
    print(f"{result.shards} shards, {result.samples} samples, every file is as it was written")
    return 0


def append(path: Path, source: Path, new_users: bool) -> int:
    kind = stored_kind(path)
    added = open_store(source, kind)
    before = append_store(path, added, kind, new_users)
    print(f"{path}: {added.sizes['sample']} samples added to {before}")
    return 0


def adopt(path: Path, target: Path) -> int:
    print(f"{target}: {adopt_store(path, target)} samples of {path}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m storage", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for command in (info, check, append, adopt):
        actions = commands.add_parser(command.__name__)
        actions.set_defaults(command=command)
        actions.add_argument("path", type=Path, help="folder of the store, ending in .zarr")
        if command is adopt:
            actions.add_argument("target", type=Path, help="folder of the new store; PATH itself is replaced")
        if command is append:
            actions.add_argument("source", type=Path, help="store of the same kind")
            actions.add_argument(
                "--new-users",
                action="store_true",
                help="the users of the source are others than those of the store: number their trajectories on",
            )
    arguments = vars(parser.parse_args())
    try:
        return arguments.pop("command")(**arguments)
    except StorageError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    # Who reads the output may stop, as `head` does: then this ends, too, and without a word.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())

"""A dataset of an HDF5 file that lies in this file and nowhere else."""

from pathlib import Path
from typing import TYPE_CHECKING

from wavefoundry.errors import InputError

if TYPE_CHECKING:
    import h5py


def dataset(path: Path, variable: str, file: "h5py.File") -> "h5py.Dataset | h5py.Group | None":
    """The object of that name, None where there is none; no link is followed, so that no other file is opened.

    Raises:
        InputError: the name, or a part of it, is a soft or external link, or the data lie outside of the file (external
            storage, a virtual dataset): they would be those of another file of this machine.
        Exception: the file is damaged.
    """
    import h5py

    place = file
    for part in variable.strip("/").split("/"):
        key = part.encode()
        if not isinstance(place, h5py.Group) or part in ("", ".") or not place.id.links.exists(key):
            return None
        if (kind := place.id.links.get_info(key).type) != h5py.h5l.TYPE_HARD:
            name = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "a link to another file"}
            raise InputError(
                f"{path}: {variable!r}: {part!r} is {name.get(kind, 'a link')}; allowed: data in the file itself"
            )
        place = place[part]
    if isinstance(place, h5py.Dataset):
        properties = place.id.get_create_plist()
        external = properties.get_external_count()
        if external or properties.get_layout() == h5py.h5d.VIRTUAL:
            found = "in external storage" if external else "a virtual dataset, which takes them from others"
            raise InputError(f"{path}: {variable!r} has its data {found}; allowed: data in the file itself")
    return place

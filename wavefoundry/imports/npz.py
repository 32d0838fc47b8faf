"""What an npz file says of an array, before the array is unpacked."""

import math
import zipfile
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from wavefoundry.errors import InputError
from wavefoundry.imports.limits import require_filled, require_memory, sizes

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
ENCRYPTED = 1


def described(path: Path, variable: str, archive: zipfile.ZipFile) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array of an npz file, whose member must hold just what they need.

    Raises:
        InputError: the member is encrypted or packed in another way than numpy does, the array holds Python objects,
            or it claims more, or less, than the member holds, than the stored bytes can fill, or than the memory.
        Exception: the member or its header cannot be read.
    """
    member, name = archive.getinfo(f"{variable}.npy"), f"{path}: {variable!r}"
    if member.flag_bits & ENCRYPTED:
        raise InputError(f"{name} is encrypted; allowed: npz files as numpy writes them")
    if member.compress_type not in METHODS:
        raise InputError(
            f"{name} is packed by zip method {member.compress_type}; allowed: {', '.join(METHODS.values())}"
        )
    with archive.open(member) as file:
        version = npy.read_magic(file)
        if version not in HEADERS:
            raise InputError(f"{name} has an npy header of version {version}, allowed: {', '.join(map(str, HEADERS))}")
        shape, _, dtype = HEADERS[version](file)
        held = member.file_size - file.tell()
    if dtype.hasobject:
        raise InputError(f"{name} holds Python objects; pickles are refused")
    require_filled(name, shape, dtype.itemsize, min(member.compress_size, path.stat().st_size))
    if held != math.prod(shape) * dtype.itemsize:
        raise InputError(
            f"{name} claims {sizes(shape)} numbers of {dtype}, {math.prod(shape) * dtype.itemsize} bytes; "
            f"{held} bytes are there"
        )
    require_memory(name, shape, dtype.itemsize)
    return shape, dtype

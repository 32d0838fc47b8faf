"""The bytes of a sharded variable: zarr v3's `sharding_indexed` with one CRC-32C per chunk, cut along `sample` alone.

zarr reads and writes the same files, one small asynchronous task a chunk, at a fraction of the speed of this module
(docs/data-contract.md): a shard is written in one pass without holding it, and read chunk by chunk into a buffer that
stays in the processor's cache.

A shard file is its chunks, each followed by its checksum, then the index (offset and length of every chunk, and a
checksum). How many samples make a chunk and a shard follows from the bytes of a sample alone, so that a store can grow.
"""

import hashlib
import math
import os
import shutil
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path

import google_crc32c
import numpy as np
import zarr

from storage.errors import StorageError
from storage.stores.manifest import Entry, Manifest

CHUNK_BYTES = 2 * 2**20
SHARD_BYTES = 32 * 2**20
# Of small samples: the last chunk of a variable is padded, and every shard has an entry for each of its chunks.
CHUNK_SAMPLES = 1024
SHARD_CHUNKS = 1024

CHECKSUM = np.dtype("<u4")
ENTRY = np.dtype("<u8")
ABSENT = np.iinfo(ENTRY).max


def chunk_and_shard(sample_bytes: int) -> tuple[int, int]:
    """Samples in a chunk and in a shard."""
    sample_bytes = max(1, sample_bytes)
    chunk = min(max(1, CHUNK_BYTES // sample_bytes), CHUNK_SAMPLES)
    return chunk, chunk * min(max(1, SHARD_BYTES // (chunk * sample_bytes)), SHARD_CHUNKS)


def fill_value(dtype: np.dtype):
    """What a missing entry reads as: NaN, which no store holds, where the type has it."""
    return dtype.type(np.nan) if dtype.kind in "fc" else dtype.type(0)


class DamageError(StorageError):
    """Samples that cannot be read back; `samples` is their range in the store, end excluded."""

    def __init__(self, store: Path, file: Path, fault: str, samples: range):
        lost = f"sample {samples[0]}" if len(samples) == 1 else f"samples {samples.start} to {samples.stop - 1}"
        super().__init__(f"{store}: {file.relative_to(store)}: {fault}; {lost} lost")
        self.samples = samples


@dataclass(frozen=True)
class StoredArray:
    """One sharded variable of a store, as its metadata describe it."""

    store: Path
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    chunk: int  # samples
    shard: int  # samples

    @classmethod
    def of(cls, store: Path, array: zarr.Array) -> "StoredArray":
        """
        Raises:
            StorageError: the array is not laid out as this module writes them.
        """
        name = array.basename
        if array.shards is None or array.shards[1:] != array.shape[1:] or array.chunks[1:] != array.shape[1:]:
            raise StorageError(f"{store}: variable {name!r} is not in shards of whole samples")
        return cls(store, name, array.dtype.newbyteorder("<"), array.shape, array.chunks[0], array.shards[0])

    @property
    def sample_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])

    @property
    def chunks(self) -> int:
        """In a full shard."""
        return self.shard // self.chunk

    @property
    def shards(self) -> int:
        return -(-self.shape[0] // self.shard)

    def place(self, shard: int) -> str:
        """Where in the store the file of a shard lies."""
        return "/".join([self.name, "c", str(shard), *["0"] * (len(self.shape) - 1)])

    def file(self, shard: int, folder: Path | None = None) -> Path:
        return (folder or self.store) / self.place(shard)

    def samples(self, shard: int, chunk: int | None = None) -> range:
        """Those of a shard, or of one of its chunks."""
        first = shard * self.shard + (chunk or 0) * self.chunk
        return range(first, min(first + (self.shard if chunk is None else self.chunk), self.shape[0]))

    def used_chunks(self, shard: int) -> int:
        return -(-len(self.samples(shard)) // self.chunk)

    def buffer(self) -> np.ndarray:
        """Room for one chunk and its checksum, to be used again for the next."""
        return np.empty(self.chunk * self.sample_bytes + CHECKSUM.itemsize, np.uint8)


class ShardReader:
    """An open shard file, closed by leaving the context.

    Raises:
        DamageError: the file is missing or its index cannot be trusted.
    """

    def __init__(self, array: StoredArray, shard: int):
        self._array, self._shard = array, shard
        self._path = array.file(shard)
        try:
            self._file = self._path.open("rb", buffering=0)
        except OSError as error:
            raise self._damage(f"cannot be opened ({error.strerror})") from error
        try:
            self._offsets = self._read_index()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()

    def read(self, chunk: int, buffer: np.ndarray) -> np.ndarray:
        """The samples of one chunk, padding included, as a view of `buffer` (`StoredArray.buffer`).

        Raises:
            DamageError: the chunk is cut short or its checksum disagrees.
        """
        try:
            self._file.seek(self._offsets[chunk])
            size = self._file.readinto(buffer.data)
        except OSError as error:
            raise self._damage(f"chunk {chunk} cannot be read ({error.strerror})", chunk) from error
        if size < len(buffer):
            raise self._damage(f"chunk {chunk} is cut short", chunk)
        values = _checked(buffer)
        if values is None:
            raise self._damage(f"checksum of chunk {chunk} disagrees", chunk)
        return values.view(self._array.dtype).reshape(self._array.chunk, *self._array.shape[1:])

    def _read_index(self) -> list[int]:
        buffer = np.empty(2 * self._array.chunks * ENTRY.itemsize + CHECKSUM.itemsize, np.uint8)
        size = os.fstat(self._file.fileno()).st_size
        if size < len(buffer):
            raise self._damage("is cut short")
        self._file.seek(size - len(buffer))
        self._file.readinto(buffer.data)
        index = _checked(buffer)
        if index is None:
            raise self._damage("checksum of the index disagrees")
        used = self._array.used_chunks(self._shard)
        offsets, lengths = index.view(ENTRY).reshape(-1, 2)[:used].T
        if (lengths != len(self._array.buffer())).any():
            raise self._damage("lacks chunks")
        return offsets.tolist()

    def _damage(self, fault: str, chunk: int | None = None) -> DamageError:
        return DamageError(self._array.store, self._path, fault, self._array.samples(self._shard, chunk))


class ShardWriter:
    """Writes one variable, however its samples are cut into parts; holds less than one chunk of it.

    Attributes:
        files: the shards that are complete, as a manifest lists them.
    """

    def __init__(self, folder: Path, name: str, dtype: np.dtype, sample_shape: tuple[int, ...]):
        sample_bytes = dtype.itemsize * math.prod(sample_shape)
        chunk, shard = chunk_and_shard(sample_bytes)
        self._folder = folder
        # The number of samples is not known before the end.
        self._array = StoredArray(folder, name, dtype.newbyteorder("<"), (0, *sample_shape), chunk, shard)
        self._pending = np.empty((chunk, *sample_shape), self._array.dtype)
        self._held = 0
        self._shard = 0
        self._file: BufferedWriter | None = None
        self._index: list[tuple[int, int]] = []
        self._digest = hashlib.sha256()
        self.files: dict[str, Entry] = {}

    def write(self, samples: np.ndarray) -> None:
        """Append samples, (sample, ...)."""
        samples = np.ascontiguousarray(samples, self._array.dtype)
        start = 0
        while start < len(samples):
            room = self._array.chunk - self._held
            piece = samples[start : start + room]
            start += len(piece)
            if len(piece) == self._array.chunk:
                self._write_chunk(piece)
                continue
            self._pending[self._held : self._held + len(piece)] = piece
            self._held += len(piece)
            if self._held == self._array.chunk:
                self._write_chunk(self._pending)
                self._held = 0

    def take_over(self, store: Path, samples: int, manifest: Manifest) -> None:
        """Start with the `samples` that `store` holds: its full shards as they are, the last one written anew.

        What its manifest says of the full ones is taken over, too: damage that nobody has seen yet stays visible.
        """
        before = StoredArray(
            store,
            self._array.name,
            self._array.dtype,
            (samples, *self._array.shape[1:]),
            self._array.chunk,
            self._array.shard,
        )
        self._shard = samples // before.shard
        for shard in range(self._shard):
            _link(before.file(shard), before.file(shard, self._folder))
            self.files[before.place(shard)] = manifest[before.place(shard)]
        if samples % before.shard == 0:
            return
        buffer = before.buffer()
        with ShardReader(before, self._shard) as reader:
            for chunk in range(before.used_chunks(self._shard)):
                self.write(reader.read(chunk, buffer)[: len(before.samples(self._shard, chunk))])

    def close(self) -> None:
        """Pad the last chunk and complete the last shard."""
        if self._held:
            self._pending[self._held :] = fill_value(self._array.dtype)
            self._write_chunk(self._pending)
            self._held = 0
        if self._file:
            self._complete_shard(self._file)

    def abandon(self) -> None:
        if self._file:
            self._file.close()

    def _write_chunk(self, samples: np.ndarray) -> None:
        file = self._file
        if file is None:
            path = self._array.file(self._shard)
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._file = path.open("wb")
            self._digest = hashlib.sha256()
        offset = file.tell()
        self._write(file, samples)
        self._index.append((offset, file.tell() - offset))
        if len(self._index) == self._array.chunks:
            self._complete_shard(file)

    def _complete_shard(self, file: BufferedWriter) -> None:
        index = np.full((self._array.chunks, 2), ABSENT, ENTRY)
        index[: len(self._index)] = self._index
        self._write(file, index)
        self.files[self._array.place(self._shard)] = Entry(file.tell(), self._digest.hexdigest())
        file.close()
        self._file, self._index = None, []
        self._shard += 1

    def _write(self, file: BufferedWriter, values: np.ndarray) -> None:
        """Values and their checksum."""
        content = values.reshape(-1).view(np.uint8)
        for part in (content.data, _checksum(content)):
            file.write(part)
            self._digest.update(part)


def read_checked_file(path: Path) -> bytes | None:
    """Content of a file that ends with its checksum (an array that is not sharded); None if it disagrees."""
    values = _checked(np.fromfile(path, np.uint8))
    return None if values is None else values.tobytes()


def _checksum(content: np.ndarray) -> bytes:
    return np.asarray(google_crc32c.value(content), CHECKSUM).tobytes()


def _checked(buffer: np.ndarray) -> np.ndarray | None:
    """The bytes before the checksum, or None if it disagrees."""
    values = buffer[: -CHECKSUM.itemsize]
    return values if _checksum(values) == buffer[-CHECKSUM.itemsize :].tobytes() else None


def _link(source: Path, target: Path) -> None:
    """The same file under another name; a copy where the file system cannot."""
    target.parent.mkdir(parents=True, exist_ok=True)
    # DVC may have put a link to its cache there.
    source = source.resolve()
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)

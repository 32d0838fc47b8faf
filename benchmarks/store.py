"""An epoch of shuffled torch batches out of files: our store against a pickle, gzip HDF5 and xbatcher; DVC's times.

python -m benchmarks.store: one torch thread (our reader has two threads of its own). Every round opens its files anew;
all of them lie in the page cache, so that formats are compared and not the disk. Each peer gets what is best for it:

- pickle: a list of one dict a user with a complex64 array, as LWM-Temporal's generator writes; loaded, then shuffled.
- hdf5: float32, gzip level 4, one chunk a sample, as WiMamba keeps its tokens; read sample by sample in shuffled order.
- xbatcher: its torch data set on our store, 64 consecutive samples a batch, batches shuffled (its samples are not:
  sample by sample it is slower still).
- memory_copy: numpy.copyto of the same bytes, the machine's bound.

"store" reads a first epoch; "store_next_epoch" the epochs after it, whose batches reuse memory. Rates are measured
again for both and the pickle with a process beside them that keeps one core busy.
"""

import json
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import torch
import xarray as xr
import xbatcher
from torch.utils.data import DataLoader, Dataset
from xbatcher.loaders.torch import MapDataset

from benchmarks.timing import medians
from storage.batches.batches import CSIBatches
from storage.stores.csi_store import split_attributes, write_store
from wavefoundry.report.tables import markdown_table, significant

SAMPLES, SHAPE, BATCH, ROUNDS = 8448, (16, 32, 32), 64, 5
PART = 768  # samples written at a time
DVC_ROUNDS = 3
BESIDE = ("store", "store_next_epoch", "pickle")  # measured again beside a busy core


def draw() -> np.ndarray:
    """Complex Gaussian CSI, which does not compress, as measured CSI does not."""
    return (
        np.random.default_rng(0).standard_normal((SAMPLES, *SHAPE[:-1], 2 * SHAPE[-1]), np.float32).view(np.complex64)
    )


def parts(csi: np.ndarray) -> Iterator[xr.Dataset]:
    about = {"units": "1", "long_name": "benchmark"}
    for start in range(0, SAMPLES, PART):
        part = csi[start : start + PART]
        yield xr.Dataset(
            {
                "csi": (("sample", "time", "antenna", "subcarrier"), part, about),
                "trajectory": ("sample", np.arange(start, start + len(part), dtype=np.int32), about),
                "split": ("sample", np.zeros(len(part), np.int8), split_attributes()),
            }
        )


def write_all(folder: Path, csi: np.ndarray) -> dict[str, float]:
    """The same samples in every format; returns the seconds that writing took."""

    def write_pickle():
        with (folder / "users.p").open("wb") as file:
            pickle.dump([{"channel": sample} for sample in csi], file, protocol=pickle.HIGHEST_PROTOCOL)

    def write_hdf5():
        with h5py.File(folder / "tokens.h5", "w") as file:
            real = csi.view(np.float32)
            file.create_dataset(
                "tokens", data=real, chunks=(1, *real.shape[1:]), compression="gzip", compression_opts=4
            )

    seconds = {}
    for name, write in {
        "store": lambda: write_store(folder / "csi.zarr", parts(csi), "csi"),
        "pickle": write_pickle,
        "hdf5": write_hdf5,
    }.items():
        start = time.perf_counter()
        write()
        seconds[name] = round(time.perf_counter() - start, 2)
    return seconds


class Samples(Dataset):
    """Anything that is indexed by sample."""

    def __init__(self, samples, read):
        self._samples, self._read = samples, read

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self._read(self._samples[index]))


def consume(batches) -> None:
    """What a training sees: every batch in turn, none kept."""
    count = sum(len(batch["csi"] if isinstance(batch, dict) else batch) for batch in batches)
    if count != SAMPLES:
        raise RuntimeError(f"{count} of {SAMPLES} samples came")


def our_loader(dataset: CSIBatches, epoch: int) -> DataLoader:
    sampler = dataset.batch_sampler(BATCH, seed=0)
    sampler.set_epoch(epoch)
    return DataLoader(dataset, batch_sampler=sampler, collate_fn=lambda batch: batch)


def readers(folder: Path) -> dict:
    """One function per format that reads an epoch from its files."""
    lasting = CSIBatches([folder / "csi.zarr"], "csi", "train")
    epochs = iter(range(10**6))

    def read_pickle():
        with (folder / "users.p").open("rb") as file:
            users = pickle.load(file)
        consume(DataLoader(Samples(users, lambda user: user["channel"]), BATCH, shuffle=True))

    def read_hdf5():
        with h5py.File(folder / "tokens.h5") as file:
            consume(DataLoader(Samples(file["tokens"], lambda row: row.view(np.complex64)), BATCH, shuffle=True))

    def read_xbatcher():
        store = xr.open_zarr(folder / "csi.zarr", consolidated=False, chunks=None)
        # All axes are named: xbatcher would fold the others into the batch.
        batches = MapDataset(xbatcher.BatchGenerator(store["csi"], {**store["csi"].sizes, "sample": BATCH}))
        consume(DataLoader(batches, batch_size=None, shuffle=True))

    return {
        "store": lambda: consume(our_loader(CSIBatches([folder / "csi.zarr"], "csi", "train"), 0)),
        "store_next_epoch": lambda: consume(our_loader(lasting, next(epochs))),
        "pickle": read_pickle,
        "hdf5": read_hdf5,
        "xbatcher": read_xbatcher,
    }


def time_copy() -> float:
    """Seconds of a memory copy of all samples; afterwards its memory is free again."""
    source = np.ones((SAMPLES, *SHAPE), np.complex64)
    target = np.ones_like(source)
    return medians({"copy": lambda: np.copyto(target, source)}, ROUNDS)["copy"]


def time_dvc(folder: Path) -> dict[str, float]:
    """Seconds of `dvc add` and `dvc checkout` of the store and of one plain file of its size, start-up included."""

    def dvc(*arguments: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "dvc", *arguments, "--quiet"], cwd=folder, check=True)
        return time.perf_counter() - start

    store, plain = folder / "csi.zarr", folder / "plain.bin"
    with plain.open("wb") as file:
        for shard in sorted((store / "csi").rglob("c/**/*")):
            if shard.is_file():
                file.write(shard.read_bytes())
    times: dict[str, list[float]] = {}
    for turn in range(DVC_ROUNDS + 1):
        shutil.rmtree(folder / ".dvc", ignore_errors=True)
        dvc("init", "--no-scm")
        for name, path in {"store": store, "plain": plain}.items():
            Path(f"{path}.dvc").unlink(missing_ok=True)
            added = dvc("add", path.name)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
            checked_out = dvc("checkout", f"{path.name}.dvc")
            if turn:
                times.setdefault(f"{name}_add", []).append(added)
                times.setdefault(f"{name}_checkout", []).append(checked_out)
    return {name: statistics.median(values) for name, values in times.items()}


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process that computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    words = {
        "store": "our store, first epoch",
        "store_next_epoch": "our store, later epochs",
        "pickle": "one pickle of all users (LWM-Temporal's layout)",
        "hdf5": "gzip HDF5, a chunk a sample (WiMamba's layout)",
        "xbatcher": "xbatcher on the same store",
        "memory_copy": "memory copy",
    }
    rates, busy = result["gigabytes_per_second"], result["gigabytes_per_second_beside_a_busy_core"]
    rows = [
        [
            words[name],
            significant(rate, 3),
            *(significant(rates[ours] / rate, 2) for ours in ("store", "store_next_epoch")),
            significant(busy[name], 3) if name in busy else "-",
            result["write_s"].get(name, "-"),
        ]
        for name, rate in rates.items()
    ]
    header = ["", "GB/s", "first epoch over it", "later epochs over it", "GB/s beside a busy core", "write [s]"]
    over = result["dvc_store_over_plain"]
    told = f"{result['samples']} samples of {tuple(result['shape'])} complex64, {result['gigabytes']} GB"
    dvc = f"of a plain file of that size: `dvc add` {over['add']}, `dvc checkout` {over['checkout']}"
    return f"{markdown_table(header, rows)}\n\n{told}. DVC's times of the store over those {dvc}."


def main() -> None:
    torch.set_num_threads(1)
    gigabytes = SAMPLES * np.prod(SHAPE) * 8 / 1e9
    copy = time_copy()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written = write_all(folder, draw())
        functions = readers(folder)
        read = medians(functions, ROUNDS)
        with busy_core():
            beside = medians({name: functions[name] for name in BESIDE}, ROUNDS)
        for path in (folder / "users.p", folder / "tokens.h5"):
            path.unlink()
        dvc = time_dvc(folder)
    rates = {name: round(gigabytes / seconds, 3) for name, seconds in {**read, "memory_copy": copy}.items()}
    rates_beside = {name: round(gigabytes / seconds, 3) for name, seconds in beside.items()}
    print(
        json.dumps(
            {
                "samples": SAMPLES,
                "shape": SHAPE,
                "gigabytes": round(float(gigabytes), 3),
                "batch": BATCH,
                "write_s": written,
                "read_s": {name: round(seconds, 3) for name, seconds in read.items()},
                "gigabytes_per_second": rates,
                "gigabytes_per_second_beside_a_busy_core": rates_beside,
                "store_over": {
                    name: round(rates["store"] / rates[name], 3) for name in rates if not name.startswith("store")
                },
                "store_next_epoch_over": {
                    name: round(rates["store_next_epoch"] / rates[name], 3)
                    for name in rates
                    if not name.startswith("store")
                },
                "dvc_s": {name: round(seconds, 2) for name, seconds in dvc.items()},
                "dvc_store_over_plain": {
                    step: round(dvc[f"store_{step}"] / dvc[f"plain_{step}"], 2) for step in ("add", "checkout")
                },
            }
        )
    )


if __name__ == "__main__":
    main()

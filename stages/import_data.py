"""Stage import@NAME: CSI, paths or a scene from files of one's own."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.csi import write_csi
from stages.json_files import write_json
from stages.paths import csi_store, figures_folder, paths_store, scenario_folder, summary_file
from stages.scale_out import MapUnits, workers
from stages.scenario import derived_seed, numbers, simulate
from stages.stage import clear_errors, stage
from wavefoundry.imports.options import Imported, ImportedArrays, ImportedDeepMIMO
from wavefoundry.imports.scene_files import require_own_meshes

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

# Samples that the picture is made of, and by which exchanged axes are noticed.
DRAWN = 500


def bring_in(section: Imported, seed: int, name: str, folder: Path, figures: Path, map_units: MapUnits) -> dict:
    """Write what a file holds into our stores, with a summary and pictures; returns the summary.

    Args:
        section: entry `name` of the group `imported` in params.yaml.
        seed: of the study.
        name: of the entry.
        folder: gets a summary, and a paths store where there are paths.
        figures: gets csi.png, and those of a scenario for a scene.
        map_units: does the units of work.
    """
    import numpy as np

    from storage.stores.csi_store import open_store, read_array
    from wavefoundry.imports.exchanged_axes import exchanged_axes

    target = csi_store(name)
    if isinstance(section, ImportedArrays):
        summary = {}
        csi = write_arrays(section, derived_seed(seed, "import", name), target)
    else:
        if isinstance(section, ImportedDeepMIMO):
            summary = write_paths(section, derived_seed(seed, "import", name), paths_store(folder))
        else:
            require_own_meshes(section)
            summary = simulate(section.twin, seed, name, folder, figures, map_units)
        csi = write_csi(paths_store(folder), target, section.ofdm, section, map_units)
    dataset = open_store(target, "csi")
    samples = dataset.sizes["sample"]
    some = read_array(target, dataset.isel(sample=np.linspace(0, samples - 1, min(DRAWN, samples)).astype(int)), "csi")
    draw(dataset, some, name, figures / "csi.png")
    summary |= csi
    if isinstance(section, ImportedArrays) and (doubt := exchanged_axes(some)):
        summary["axes_in_doubt"] = doubt
        print(f"import@{name}: {doubt}", flush=True)
    write_json(summary_file(folder), summary)
    return summary


def write_arrays(section: ImportedArrays, seed: int, target: Path) -> dict:
    """Write the CSI store of arrays in files, part by part; returns figures about it."""
    import numpy as np

    from storage.stores.csi_store import SPLITS, split_attributes, write_store
    from wavefoundry.imports.arrays import read_arrays

    gains, splits, total = [], [], None

    def parts() -> Iterator:
        nonlocal total
        for part in read_arrays(section, seed):
            total = part.attrs.get("windows_total")
            csi = part["csi"].values.astype(np.complex128)
            gains.append(10 * np.log10(np.mean(np.abs(csi) ** 2, axis=(1, 2, 3))))
            splits.append(part["split"].values)
            yield part.assign(split=part["split"].assign_attrs(split_attributes()))

    write_store(target, parts(), "csi")
    gain, split = np.concatenate(gains), np.concatenate(splits)
    counts = {f"samples_{name}": int((split == code).sum()) for code, name in enumerate(SPLITS)}
    figures = {"gain_median_db": float(np.median(gain)), "gain_min_db": float(gain.min())}
    left_out = {} if total is None else {"samples_without_path": total - len(gain)}
    return {"samples": len(gain)} | left_out | counts | figures


def write_paths(section: ImportedDeepMIMO, seed: int, target: Path) -> dict:
    """Write the paths store of a DeepMIMO scenario; returns figures about it."""
    import numpy as np

    from storage.stores.csi_store import assign_splits, split_attributes, write_store
    from wavefoundry.imports.deepmimo import read_deepmimo

    paths, receivers = read_deepmimo(section, seed)
    shares = section.split.train, section.split.validation, section.split.test
    codes = assign_splits(section.users, shares, np.random.default_rng([seed, 1]))
    paths = paths.assign(split=(("sample",), codes[paths["trajectory"].values], split_attributes()))
    write_store(target, paths, "paths")
    return {
        **receivers,
        "users": section.users,
        "links": paths.sizes["sample"],
        "share_line_of_sight": float(paths["los"].values.mean()),
        "paths_mean": float(paths["valid"].values.sum((1, 2)).mean()),
    }


def draw(dataset: "xr.Dataset", csi: "np.ndarray", name: str, path: Path) -> None:
    """Picture of a CSI store, made of the samples `csi` of it."""
    from storage.stores.csi_store import array_shape
    from wavefoundry.plots.csi import draw_csi

    time, band = dataset["time"].values, dataset["subcarrier"].values
    spacings = (float(time[1] - time[0]) if len(time) > 1 else None), float(band[1] - band[0])
    draw_csi(csi, array_shape(dataset), spacings, f"{name}, {dataset.sizes['sample']} samples", path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: imported")
    name = parser.parse_args().name
    with clear_errors():
        settings = params.read()
        section = settings.entry("imported", name)
    folder, figures = scenario_folder(name), figures_folder("scenario", name)
    outputs = [folder, csi_store(name), figures]
    with (
        stage(f"import@{name}", section=section, dependencies=[Path(section.files)], outputs=outputs) as run,
        workers(settings.workers, f"import of {name}") as map_units,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        run.log_metrics(numbers(bring_in(section, settings.seed, name, folder, figures, map_units)))
        for figure in sorted(figures.iterdir()):
            run.log_figure(figure)


if __name__ == "__main__":
    main()

"""Stage angle_delay@NAME: CSI store to angle-delay store, and an animation of one user."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from stages import params
from stages.csi import CARRIED
from stages.paths import angle_delay_store, csi_store, figures_folder
from stages.scale_out import MapUnits, workers
from stages.stage import clear_errors, stage
from wavefoundry.csi.options import AngleDelay

# A unit of work is a quarter of a gigabyte of CSI: less is done sooner than handed to another process.
SHARDS_PER_UNIT = 8


def transform_samples(csi, array: tuple[int, int, int], kept_bins: int):
    """Unit of work: (maps, scale, energy kept) of some samples as numpy arrays; maps are of unit RMS before the cut."""
    import torch

    from wavefoundry.csi.angle_delay import to_angle_delay
    from wavefoundry.csi.normalisation import rms_scale

    csi = torch.from_numpy(csi)
    scale = rms_scale(csi)
    maps = to_angle_delay(csi / scale, array, kept_bins)
    energy_kept = maps.abs().square().sum(dim=(1, 2, 3)) / csi[0].numel()
    return maps.numpy(), scale.flatten().numpy(), energy_kept.numpy()


def transform(source: Path, target: Path, figure: Path, section: AngleDelay, name: str, map_units: MapUnits) -> dict:
    """Write the angle-delay store, part by part, and the animation; returns the summary metrics."""
    import numpy as np

    from storage.stores.csi_store import array_shape, open_store, read_array, write_store
    from wavefoundry.csi.kept_delays import kept_delay_bins
    from wavefoundry.csi.path_response import chunks
    from wavefoundry.plots.angle_delay import animate

    store = open_store(source, "csi")
    runs = list(chunks(store.sizes["sample"], SHARDS_PER_UNIT * store["csi"].encoding["shards"][0]))
    kept = kept_delay_bins(store.sizes["subcarrier"], section.delay_fraction)
    energy_kept = []

    def parts() -> Iterator:
        units = ((read_array(source, store.isel(sample=run), "csi"), array_shape(store), kept) for run in runs)
        results = map_units(transform_samples, units, len(runs))
        for run, (maps, scale, energy) in zip(runs, results, strict=True):
            energy_kept.append(energy)
            yield _dataset(store.isel(sample=run), maps, scale, energy)

    write_store(target, parts(), "angle_delay")
    energy_kept = np.concatenate(energy_kept)
    maps = open_store(target, "angle_delay")
    user = int(np.argmax(maps["speed"].values)) if "speed" in maps else 0
    caption = f", {float(maps['speed'][user]):.1f} m/s" if "speed" in maps else ""
    animate(
        maps["csi"][user].values,
        maps["time"].values,
        maps["delay"].values,
        array_shape(store),
        f"{name}, sample {user}{caption}",
        figure,
    )
    return {
        "energy_kept_mean": float(energy_kept.mean()),
        "energy_kept_p5": float(np.quantile(energy_kept, 0.05)),
        "delay_bins": kept,
    }


def _dataset(samples, maps, scale, energy_kept):
    """The samples of a CSI store as an angle-delay data set."""
    import numpy as np
    import xarray as xr

    from storage.stores.csi_store import SAMPLE_VARIABLES

    subcarriers = samples.sizes["subcarrier"]
    spacing = float(samples["subcarrier"][1] - samples["subcarrier"][0])
    carried = [variable for variable in (*SAMPLE_VARIABLES, *CARRIED) if variable in samples]
    return xr.Dataset(
        {
            "csi": (
                ("sample", "time", "angle", "delay"),
                maps,
                {"units": "1", "long_name": "angle-delay CSI, unit RMS over the whole sample before truncation"},
            ),
            "scale": (
                ("sample",),
                scale,
                {"units": "1", "long_name": "RMS of the CSI sample: csi x scale undoes the normalisation"},
            ),
            "energy_kept": (
                ("sample",),
                energy_kept,
                {"units": "1", "long_name": "share of the energy in the delay bins kept"},
            ),
            **{variable: samples[variable] for variable in carried},
        },
        coords={
            "time": samples["time"],
            "angle": (
                "angle",
                np.arange(maps.shape[2], dtype=np.int32),
                {"units": "1", "long_name": "angle bin, DFT index over the antennas"},
            ),
            "delay": (
                "delay",
                np.arange(maps.shape[3]) / (subcarriers * spacing),
                {"units": "s", "long_name": "centre of the delay bin"},
            ),
        },
        attrs={**samples.attrs, "subcarriers": subcarriers, "subcarrier_spacing": spacing},
    )


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: scenarios or imported")
    name = parser.parse_args().name
    source, target = csi_store(name), angle_delay_store(name)
    figure = figures_folder("angle_delay", name).with_suffix(".gif")
    settings = params.read()
    label = "imported_angle_delay" if name in settings.imported else "angle_delay"
    section = settings.angle_delay
    with (
        stage(f"{label}@{name}", section=section, dependencies=[source], outputs=[target, figure]) as run,
        workers(settings.workers, f"angle-delay maps of {name}") as map_units,
    ):
        run.log_metrics(transform(source, target, figure, section, name, map_units))
        run.log_figure(figure)


if __name__ == "__main__":
    main()

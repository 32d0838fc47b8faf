"""Stage angle_delay@NAME: CSI store to angle-delay store, and an animation of one user."""

import argparse
from pathlib import Path

from stages import params
from stages.stage import clear_errors, stage


def transform(source: Path, target: Path, figure: Path, section, name: str) -> dict:
    """Write the angle-delay store and the animation; returns the summary metrics."""
    import numpy as np
    import torch
    import xarray as xr

    from storage.csi_store import SAMPLE_VARIABLES, open_store, read_array, write_store
    from wavefoundry.csi.angle_delay import to_angle_delay
    from wavefoundry.csi.normalisation import rms_scale
    from wavefoundry.plots.angle_delay import animate

    store = open_store(source, "csi")
    csi = torch.from_numpy(read_array(source, store, "csi"))
    array_shape = (store.attrs["array_rows"], store.attrs["array_columns"])
    kept = section.kept_bins(csi.shape[-1])
    scale = rms_scale(csi)
    maps = to_angle_delay(csi / scale, array_shape, kept)
    energy_kept = (maps.abs().square().sum(dim=(1, 2, 3)) / csi.shape[1] / csi.shape[2] / csi.shape[3]).numpy()

    spacing = float(store["subcarrier"][1] - store["subcarrier"][0])
    delays = np.arange(kept) / (csi.shape[-1] * spacing)
    dataset = xr.Dataset(
        {
            "csi": (
                ("sample", "time", "angle", "delay"),
                maps.numpy(),
                {"units": "1", "long_name": "angle-delay CSI, unit RMS over the whole sample before truncation"},
            ),
            "scale": (
                ("sample",),
                scale.flatten().numpy(),
                {"units": "1", "long_name": "RMS of the CSI sample: csi x scale undoes the normalisation"},
            ),
            "energy_kept": (
                ("sample",),
                energy_kept.astype(np.float32),
                {"units": "1", "long_name": "share of the energy in the delay bins kept"},
            ),
            **{variable: store[variable] for variable in SAMPLE_VARIABLES},
        },
        coords={
            "time": store["time"],
            "angle": (
                "angle",
                np.arange(maps.shape[2], dtype=np.int32),
                {"units": "1", "long_name": "angle bin, DFT index over the antennas"},
            ),
            "delay": ("delay", delays, {"units": "s", "long_name": "centre of the delay bin"}),
        },
        attrs={**store.attrs, "subcarriers": csi.shape[-1], "subcarrier_spacing": spacing},
    )
    write_store(target, dataset, "angle_delay")
    user = int(np.argmax(dataset["speed"].values))
    animate(
        maps[user].numpy(),
        store["time"].values,
        delays,
        f"{name}, sample {user}: {float(store['speed'][user]):.1f} m/s",
        figure,
    )
    return {
        "energy_kept_mean": float(energy_kept.mean()),
        "energy_kept_p5": float(np.quantile(energy_kept, 0.05)),
        "delay_bins": kept,
    }


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: scenarios")
    name = parser.parse_args().name
    source, target = Path(f"data/csi/{name}.zarr"), Path(f"data/angle_delay/{name}.zarr")
    figure = Path(f"figures/angle_delay/{name}.gif")
    section = params.read().angle_delay
    with stage(f"angle_delay@{name}", section=section, dependencies=[source], outputs=[target, figure]) as run:
        run.log_metrics(transform(source, target, figure, section, name))
        run.log_figure(figure)


if __name__ == "__main__":
    main()

"""Stage csi@NAME: path parameters to CSI (time x antenna x subcarrier)."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from stages import params
from stages.paths import csi_store, paths_store, scenario_folder
from stages.scale_out import MapUnits, workers
from stages.stage import clear_errors, stage
from wavefoundry.csi.options import OFDM

# What CSI and angle-delay stores take over besides what the schema asks for, where it is there.
CARRIED = ("window", "base_station")
COORDINATES = ("time", "antenna", "element_position")


def write_csi(source: Path, target: Path, ofdm: OFDM, parameters: BaseModel, map_units: MapUnits) -> dict:
    """Write the CSI of a paths store as a CSI store, part by part; returns figures about it.

    Args:
        source: paths store.
        target: CSI store.
        ofdm: subcarriers, timing advance, samples per unit of work.
        parameters: the whole entry of params.yaml, kept as an attribute of the store.
        map_units: does the units of work.
    """
    import numpy as np

    from storage.stores.csi_store import open_store, write_store
    from wavefoundry.csi.path_response import chunks, frequency_response

    paths = open_store(source, "paths")
    runs = list(chunks(paths.sizes["sample"], ofdm.links_per_call))
    gains = []

    def parts() -> Iterator:
        units = ((_loaded(source, paths, links), ofdm) for links in runs)
        for links, csi in zip(runs, map_units(frequency_response, units, len(runs)), strict=True):
            values = csi.numpy()
            gains.append(10 * np.log10(np.mean(np.abs(values.astype(np.complex128)) ** 2, axis=(1, 2, 3))))
            yield _dataset(paths.isel(sample=links), values, ofdm, parameters)

    write_store(target, parts(), "csi")
    gain = np.concatenate(gains)
    return {"samples": len(gain), "gain_median_db": float(np.median(gain)), "gain_min_db": float(gain.min())}


def _loaded(source: Path, paths, links: slice):
    """Some samples of a paths store in memory."""
    from storage.stores.csi_store import read_array

    some = paths.isel(sample=links)
    return some.assign({name: some[name].copy(data=read_array(source, some, name)) for name in some.data_vars})


def _dataset(samples, csi, ofdm: OFDM, parameters: BaseModel):
    """The samples of a paths store as a CSI data set."""
    import xarray as xr

    from storage.stores.csi_store import SAMPLE_VARIABLES
    from wavefoundry.csi.path_response import subcarrier_offsets

    carried = [name for name in (*SAMPLE_VARIABLES, *CARRIED) if name in samples]
    return xr.Dataset(
        {
            "csi": (
                ("sample", "time", "antenna", "subcarrier"),
                csi,
                {"units": "1", "long_name": "channel frequency response, base station to user"},
            ),
            **{name: samples[name] for name in carried},
        },
        coords={
            **{name: samples[name] for name in COORDINATES},
            "subcarrier": (
                "subcarrier",
                subcarrier_offsets(ofdm),
                {"units": "Hz", "long_name": "offset of the subcarrier from the carrier frequency"},
            ),
        },
        attrs={
            **samples.attrs,
            "bandwidth": ofdm.subcarriers * ofdm.subcarrier_spacing,
            "parameters": json.dumps(parameters.model_dump(), sort_keys=True),
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: scenarios")
    name = parser.parse_args().name
    with clear_errors():
        settings = params.read()
        scenario = settings.entry("scenarios", name)
    source, target = paths_store(scenario_folder(name)), csi_store(name)
    with (
        stage(f"csi@{name}", section=scenario.ofdm, dependencies=[source], outputs=[target]) as run,
        workers(settings.workers, f"CSI of {name}") as map_units,
    ):
        run.log_metrics(write_csi(source, target, scenario.ofdm, scenario, map_units))


if __name__ == "__main__":
    main()

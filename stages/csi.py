"""Stage csi@NAME: path parameters to CSI (time x antenna x subcarrier)."""

import argparse
import json
from pathlib import Path

from stages import params
from stages.stage import clear_errors, stage
from wavefoundry.twin.config import Scenario

# What the CSI store takes over from the paths store besides what the schema asks for.
CARRIED = ("window",)
COORDINATES = ("time", "antenna", "element_position")


def synthesise(source: Path, target: Path, scenario: Scenario) -> dict:
    """Write the CSI store; returns figures about it."""
    import numpy as np
    import xarray as xr

    from storage.csi_store import SAMPLE_VARIABLES, open_store, read_array, write_store
    from wavefoundry.csi.path_response import frequency_response, subcarrier_offsets

    ofdm = scenario.ofdm
    store = open_store(source, "paths")
    paths = store.assign({name: store[name].copy(data=read_array(source, store, name)) for name in store.data_vars})
    csi = frequency_response(paths, ofdm)
    dataset = xr.Dataset(
        {
            "csi": (
                ("sample", "time", "antenna", "subcarrier"),
                csi,
                {"units": "1", "long_name": "channel frequency response, base station to user"},
            ),
            **{name: paths[name] for name in (*SAMPLE_VARIABLES, *CARRIED)},
        },
        coords={
            **{name: paths[name] for name in COORDINATES},
            "subcarrier": (
                "subcarrier",
                subcarrier_offsets(ofdm),
                {"units": "Hz", "long_name": "offset of the subcarrier from the carrier frequency"},
            ),
        },
        attrs={
            **paths.attrs,
            "bandwidth": ofdm.subcarriers * ofdm.subcarrier_spacing,
            "parameters": json.dumps(scenario.model_dump(), sort_keys=True),
        },
    )
    write_store(target, dataset, "csi")
    gain = 10 * np.log10(np.mean(np.abs(csi.astype(np.complex128)) ** 2, axis=(1, 2, 3)))
    return {"samples": len(csi), "gain_median_db": float(np.median(gain)), "gain_min_db": float(gain.min())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: scenarios")
    name = parser.parse_args().name
    with clear_errors():
        scenario = params.read().entry("scenarios", name)
    source, target = Path(f"data/scenario/{name}/paths.zarr"), Path(f"data/csi/{name}.zarr")
    with stage(f"csi@{name}", section=scenario.ofdm, dependencies=[source], outputs=[target]) as run:
        run.log_metrics(synthesise(source, target, scenario))


if __name__ == "__main__":
    main()

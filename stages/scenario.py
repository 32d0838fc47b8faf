"""Stage scenario@NAME: moving users, their propagation paths, and a picture of the scene."""

import argparse
import hashlib
import json
from pathlib import Path

from stages import params
from stages.stage import clear_errors, stage


def scenario_seed(seed: int, name: str) -> int:
    """Seed of one scenario: the others stay as they are when one is added."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4])


def simulate(twin, seed: int, name: str, store: Path, summary: Path, figure: Path) -> dict:
    """Write the paths store, the summary and the picture; returns the summary."""
    import numpy as np
    from tqdm import tqdm

    from storage.csi_store import assign_splits, split_attributes, write_store
    from wavefoundry.plots.scene import draw_scene
    from wavefoundry.twin.build import build

    if twin.kind == "tr38901":
        import torch

        # The rounding of sums depends on the number of threads.
        torch.set_num_threads(1)
    built = build(twin, seed, lambda calls, total: tqdm(calls, desc=f"paths of {name}", total=total))
    codes = assign_splits(
        len(built.tracks.speed),
        (twin.split.train, twin.split.validation, twin.split.test),
        np.random.default_rng([seed, 1]),
    )
    paths = built.paths.assign(split=(("sample",), codes[built.paths["trajectory"].values], split_attributes()))
    write_store(store, paths.assign_attrs(seed=seed), "paths")
    summary.write_text(json.dumps(built.summary, indent=2) + "\n")
    draw_scene(built, name, figure)
    return built.summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: scenarios")
    name = parser.parse_args().name
    with clear_errors():
        settings = params.read()
        scenario = settings.entry("scenarios", name)
    store, summary = Path(f"data/scenario/{name}/paths.zarr"), Path(f"data/scenario/{name}/summary.json")
    figure = Path(f"figures/scenario/{name}.png")
    outputs = [store, summary, figure]
    with stage(f"scenario@{name}", section=scenario.twin, dependencies=[], outputs=outputs) as run:
        run.log_metrics(simulate(scenario.twin, scenario_seed(settings.seed, name), name, store, summary, figure))
        run.log_figure(figure)


if __name__ == "__main__":
    main()

"""Stage scenario@NAME: moving users, their propagation paths, and pictures of them."""

import argparse
import hashlib
import json
from pathlib import Path

from stages import params
from stages.json_files import write_json
from stages.paths import figures_folder, paths_store, scenario_folder, summary_file
from stages.scale_out import MapUnits, workers
from stages.stage import clear_errors, stage
from wavefoundry.twin.options import RayTracedTwin, StatisticalTwin


def derived_seed(seed: int, *subjects: str) -> int:
    """Seed of one subject: the others stay as they are when one is added."""
    return int.from_bytes(hashlib.sha256("/".join((str(seed), *subjects)).encode()).digest()[:4])


def motion_seed(seed: int, name: str, twin: RayTracedTwin | StatisticalTwin) -> int:
    """Seed of users and splits: equal for scenarios with equal sites."""
    subject = json.dumps(twin.site.model_dump(), sort_keys=True) if isinstance(twin, RayTracedTwin) else name
    return derived_seed(seed, "motion", subject)


def simulate(twin, seed: int, name: str, folder: Path, figures: Path, map_units: MapUnits) -> dict:
    """Build a twin; write its paths store and summary into `folder` and its pictures; returns the summary.

    Args:
        twin: ray-traced or statistical.
        seed: of the study.
        name: of the entry in params.yaml.
        folder: gets a paths store and a summary.
        figures: gets scene.png, and paths.gif of a ray-traced twin.
        map_units: does the units of work.
    """
    import numpy as np

    from storage.stores.csi_store import SPLITS, assign_splits, split_attributes, write_store
    from wavefoundry.plots.scene import draw_scene
    from wavefoundry.twin.build import build

    motion = motion_seed(seed, name, twin)
    shares = twin.site.split if isinstance(twin, RayTracedTwin) else twin.split
    codes = assign_splits(
        twin.user_count, (shares.train, shares.validation, shares.test), np.random.default_rng([motion, 1])
    )
    test_users = codes == SPLITS.index("test")
    built = build(twin, test_users, motion, derived_seed(seed, "channel", name), map_units)
    paths = built.paths.assign(split=(("sample",), codes[built.paths["trajectory"].values], split_attributes()))
    write_store(paths_store(folder), paths.assign_attrs(seed=seed), "paths")
    write_json(summary_file(folder), built.summary)
    draw_scene(built, name, figures / "scene.png")
    if isinstance(twin, RayTracedTwin):
        from wavefoundry.plots.paths import animate_paths

        # The user that was reached most often, of these the fastest one.
        reached = np.bincount(built.paths["trajectory"].values, minlength=twin.user_count)
        user = int(np.lexsort((built.trajectories.speed, reached))[-1])
        caption = f"{name}, user {user}: {built.trajectories.speed[user]:.1f} m/s"
        animate_paths(built.paths, user, caption, figures / "paths.gif")
    return built.summary


def numbers(summary: dict) -> dict[str, float]:
    """What can be recorded as metrics: a summary may hold sentences, too."""
    return {key: value for key, value in summary.items() if isinstance(value, int | float)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: scenarios")
    name = parser.parse_args().name
    with clear_errors():
        settings = params.read()
        scenario = settings.entry("scenarios", name)
    folder, figures = scenario_folder(name), figures_folder("scenario", name)
    with (
        stage(f"scenario@{name}", section=scenario.twin, dependencies=[], outputs=[folder, figures]) as run,
        workers(settings.workers, f"paths of {name}") as map_units,
    ):
        folder.mkdir(parents=True, exist_ok=True)
        summary = simulate(scenario.twin, settings.seed, name, folder, figures, map_units)
        run.log_metrics(numbers(summary))
        for figure in sorted(figures.iterdir()):
            run.log_figure(figure)


if __name__ == "__main__":
    main()

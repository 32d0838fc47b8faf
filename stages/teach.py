"""Stage teach@MODEL: train a teacher by masked reconstruction of the CSI of its data sets."""

import argparse
from pathlib import Path

from stages import params
from stages.csi import store_path
from stages.stage import clear_errors, stage
from stages.training import history_file, train_seeds, warm_start
from storage.runs import Run
from wavefoundry.config import TeachWiFo


def teach_wifo(run: Run, stores: list[Path], section: TeachWiFo, **options):
    """One WiFo and its history."""
    from storage.batches import CSIBatches
    from wavefoundry.models.wifo import WiFo, WiFoConfig
    from wavefoundry.training.trainer import train

    config = WiFoConfig(
        **section.architecture.model_dump(), masking=section.masking.model_dump(), snr_db=section.snr_db
    )
    model = WiFo(config)
    if section.warm_start:
        warm_start(run, model, "wifo")
    return train(model, CSIBatches(stores, "csi", "train"), config=section.training, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: teach")
    name = parser.parse_args().name
    with clear_errors():
        parameters = params.read()
        section = parameters.entry("teach", name)
    stores = [store_path(dataset) for dataset in parameters.learnt_by(name)]
    outputs = [Path("models") / name, history_file(name)]
    with stage(f"teach@{name}", section=section, dependencies=stores, outputs=outputs) as run:
        train_seeds(
            run, f"teach@{name}", section, stores, lambda **options: teach_wifo(run, stores, section, **options)
        )


if __name__ == "__main__":
    main()

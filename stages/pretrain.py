"""Stage pretrain@lwm_temporal: masked channel modelling on the angle-delay stores, then fine-tuning for prediction."""

import argparse
from collections.abc import Callable
from pathlib import Path

from stages import params
from stages.angle_delay import store_path
from stages.stage import clear_errors, stage
from stages.training import history_file, train_seeds


def backbone_folder(name: str, seed: int) -> Path:
    """Where the pretrained network lies, before its fine-tuning."""
    return Path("models") / name / f"backbone_seed_{seed}"


def pretrain_lwm_temporal(
    stores: list[Path], parameters: params.Params, *, seed: int, checkpoints: Path, on_epoch: Callable
):
    """One predictor, and the history of both of its trainings."""
    from storage.batches import CSIBatches
    from storage.checkpoints import save_model
    from wavefoundry.models.lwm_temporal import (
        LWMTemporal,
        LWMTemporalConfig,
        LWMTemporalPredictor,
        LWMTemporalPredictorConfig,
    )
    from wavefoundry.training.curriculum import MaskingCurriculum
    from wavefoundry.training.few_shot import FewShot
    from wavefoundry.training.trainer import train

    section = parameters.pretrain.lwm_temporal
    dataset = fine_tuning_set = CSIBatches(stores, "angle_delay", "train")
    if section.prediction.few_shot is not None:
        # Before the pretraining: too few samples are found at once.
        fine_tuning_set = FewShot(dataset, section.prediction.few_shot, seed)
    architecture = section.architecture.model_dump() | {
        "mask_strategies": section.masking.strategies,
        "augmentation": section.augmentation and section.augmentation.model_dump(),
        "keep_percentage": parameters.angle_delay.keep_percentage,
    }
    backbone, pretraining = train(
        LWMTemporal(LWMTemporalConfig(**architecture)),
        dataset,
        config=section.training,
        seed=seed,
        checkpoints=checkpoints / "pretraining",
        on_epoch=on_epoch,
        callbacks=[MaskingCurriculum(section.masking)],
    )
    save_model(backbone, backbone_folder("lwm_temporal", seed))

    history = [{"stage": "pretraining"} | row for row in pretraining]
    if section.prediction.inference_only:
        predictor = LWMTemporalPredictor(LWMTemporalPredictorConfig(**architecture, residual=False))
        predictor.load_backbone(backbone)
        return predictor.eval(), history

    config = LWMTemporalPredictorConfig(
        **architecture | {"temporal_offsets": section.prediction.temporal_offsets},
        snr_db=section.prediction.snr_db,
        known_fraction=section.prediction.known_fraction,
        horizon=section.prediction.horizon,
    )
    predictor = LWMTemporalPredictor(config)
    predictor.load_backbone(backbone)
    # Epochs count on, so that both trainings lie on one axis.
    done = section.training.epochs
    predictor, fine_tuning = train(
        predictor,
        fine_tuning_set,
        config=section.prediction.training,
        seed=seed,
        checkpoints=checkpoints / "prediction",
        on_epoch=lambda row, step: on_epoch(row | {"epoch": row["epoch"] + done}, step),
    )
    history += [{"stage": "prediction"} | row | {"epoch": row["epoch"] + done} for row in fine_tuning]
    return predictor, history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: pretrain")
    name = parser.parse_args().name
    with clear_errors():
        parameters = params.read()
        section = parameters.entry("pretrain", name)
    stores = [store_path(dataset) for dataset in parameters.learnt_by(name)]
    outputs = [Path("models") / name, history_file(name)]
    with stage(f"pretrain@{name}", section=section, dependencies=stores, outputs=outputs) as run:
        train_seeds(
            run,
            f"pretrain@{name}",
            section,
            stores,
            lambda **options: pretrain_lwm_temporal(stores, parameters, **options),
        )


if __name__ == "__main__":
    main()

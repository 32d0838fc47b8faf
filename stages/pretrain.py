"""Stage pretrain@MODEL: masked channel modelling of a foundation model.

LWM-Temporal reads angle-delay stores and is then fine-tuned for prediction; WiMamba and LWM read snapshots of CSI.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from stages import params
from stages.angle_delay import store_path as angle_delay_path
from stages.csi import store_path as csi_path
from stages.model_folders import backbone_folder
from stages.stage import clear_errors, stage
from stages.training import history_file, train_seeds


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


def pretrain_snapshot_model(name: str, stores: list[Path], parameters: params.Params, **options):
    """One WiMamba or LWM, and its history."""
    from storage.batches import CSIBatches
    from wavefoundry.models.lwm import LWM, LWMConfig
    from wavefoundry.models.wimamba import WiMamba, WiMambaConfig
    from wavefoundry.training.trainer import train

    network, config = {"wimamba": (WiMamba, WiMambaConfig), "lwm": (LWM, LWMConfig)}[name]
    section = parameters.entry("pretrain", name)
    model = network(config(**section.architecture.model_dump()))
    return train(model, CSIBatches(stores, "csi", "train"), config=section.training, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: pretrain")
    name = parser.parse_args().name
    with clear_errors():
        parameters = params.read()
        section = parameters.entry("pretrain", name)
    store_path = csi_path if name in params.SNAPSHOT_MODELS else angle_delay_path
    stores = [store_path(dataset) for dataset in parameters.learnt_by(name)]

    def train_one(**options):
        if name in params.SNAPSHOT_MODELS:
            return pretrain_snapshot_model(name, stores, parameters, **options)
        return pretrain_lwm_temporal(stores, parameters, **options)

    outputs = [Path("models") / name, history_file(name)]
    with stage(f"pretrain@{name}", section=section, dependencies=stores, outputs=outputs) as run:
        train_seeds(run, f"pretrain@{name}", section, stores, train_one)


if __name__ == "__main__":
    main()

"""Stage distill@STUDENT: distil a teacher into a narrower student, or train the same student alone."""

import argparse
from pathlib import Path

from stages import params
from stages.csi import store_path
from stages.model_folders import model_folder
from stages.stage import clear_errors, stage
from stages.training import history_file, train_seeds, warm_start
from storage.runs import Run
from wavefoundry.config import DistilWiFo


def distil(run: Run, name: str, stores: list[Path], teacher_folder: Path, section: DistilWiFo, **options):
    """One student and its history. With and without a teacher it starts, sees batches and solves puzzles alike."""
    import wavefoundry.models  # noqa: F401 - registers the architectures
    from storage.batches import CSIBatches
    from storage.checkpoints import load_model
    from wavefoundry.distillation.autonomous_passive import AutonomousPassiveSwitch
    from wavefoundry.distillation.mcakd import Distillation
    from wavefoundry.models.wifo import WiFo
    from wavefoundry.training.trainer import train

    teacher = load_model(teacher_folder)
    dataset = CSIBatches(stores, "csi", "train")
    student = WiFo(type(teacher.config)(**teacher.config.to_diff_dict() | {"hidden_size": section.hidden_size}))
    if section.warm_start:
        warm_start(run, student, name)
    if section.mcakd is None:
        return train(student, dataset, config=section.training, **options)
    switch = AutonomousPassiveSwitch(section.mcakd.autonomous_passive)
    distillation = Distillation(student, teacher, section.mcakd)
    distillation, history = train(distillation, dataset, config=section.training, callbacks=[switch], **options)
    return distillation.student, history


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: distill")
    name = parser.parse_args().name
    with clear_errors():
        parameters = params.read()
        section = parameters.entry("distill", name)
    stores = [store_path(dataset) for dataset in parameters.learnt_by(name)]
    # All students have the same teacher, its first seed.
    teacher = model_folder(section.teacher, getattr(parameters.teach, section.teacher).seeds[0])
    inputs = [*stores, teacher]
    outputs = [Path("models") / name, history_file(name)]
    with stage(f"distill@{name}", section=section, dependencies=inputs, outputs=outputs) as run:
        train_seeds(
            run,
            f"distill@{name}",
            section,
            inputs,
            lambda **options: distil(run, name, stores, teacher, section, **options),
        )


if __name__ == "__main__":
    main()

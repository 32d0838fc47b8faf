"""Stage distill@NAME: a student learns from its teacher by an objective, or alone."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stages import params
from stages.paths import (
    history_file,
    inputs_file,
    language_model_files,
    model_folder,
    models_folder,
    store,
    training_time_file,
)
from stages.stage import clear_errors, stage
from stages.training import require_one_process, train_seeds
from wavefoundry.networks.family import model_module
from wavefoundry.objectives.objective import training_module

if TYPE_CHECKING:
    from stages.entries import Model
    from wavefoundry.training.session import Trained, TrainingSession


def distil(
    model: "Model", teacher: "Model", objective: str | None, folder: Path, session: "TrainingSession"
) -> "Trained":
    """One student. With and without a teacher it starts, sees batches and solves puzzles alike.

    Args:
        model: the student's entry.
        teacher: the teacher's entry.
        objective: name of what the student learns by; None: it learns alone.
        folder: of the trained teacher.
        session: of this seed.
    """
    from storage.models.model_folder import load_model
    from wavefoundry.networks.config import register

    family = model_module(model.family)
    if objective is None:
        return family.train(model.options, session)
    register(teacher.family)
    shown = load_model(folder)
    student = family.build(model.options, session.delay_fraction)
    return training_module(objective).distil(student, shown, model.objective, session)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="entry of params.yaml: distill")
    name = parser.parse_args().name
    with clear_errors():
        require_one_process()
        parameters = params.read()
        model = parameters.model(name, ["distill"])
        teacher = parameters.model(model.teacher or "")
    entry = parameters.distill[name]
    objective = parameters.objective_name(name)
    stores = [store(model.options.reads, dataset) for dataset in parameters.learnt_by(name)]
    # All students have the same teacher, its first seed.
    folder = model_folder(teacher.name, teacher.seeds[0])
    built_on = [path for used in model.options.language_models for path in language_model_files(used)]
    inputs = [*stores, *built_on, folder, *(inputs_file(name, what) for what in ("options", "stores", "code"))]
    outputs = [models_folder(name), history_file(name), training_time_file(name)]
    with stage(f"distill@{name}", section=entry, dependencies=inputs, outputs=outputs) as run:
        train_seeds(
            run,
            "distill",
            model,
            stores,
            inputs,
            parameters.angle_delay.delay_fraction,
            lambda session: distil(model, teacher, objective, folder, session),
        )


if __name__ == "__main__":
    main()

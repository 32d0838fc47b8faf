"""Stages pretrain@NAME and teach@NAME: train the network of an entry, in the phases that its family has."""

from stages import params
from stages.arguments import group_and_name
from stages.paths import history_file, inputs_file, language_model_files, models_folder, store, training_time_file
from stages.stage import clear_errors, stage
from stages.training import require_one_process, train_seeds
from wavefoundry.networks.family import model_module

GROUPS = ("pretrain", "teach")


def main() -> None:
    group, name = group_and_name("stages.train", __doc__, GROUPS)
    with clear_errors():
        require_one_process()
        parameters = params.read()
        model = parameters.model(name, [group])
    stores = [store(model.options.reads, dataset) for dataset in parameters.learnt_by(name)]
    built_on = [path for used in model.options.language_models for path in language_model_files(used)]
    inputs = [*stores, *built_on, *(inputs_file(name, what) for what in ("options", "stores", "code"))]
    outputs = [models_folder(name), history_file(name), training_time_file(name)]
    with stage(f"{group}@{name}", section=model.options, dependencies=inputs, outputs=outputs) as run:
        train_seeds(
            run,
            group,
            model,
            stores,
            inputs,
            parameters.angle_delay.delay_fraction,
            lambda session: model_module(model.family).train(model.options, session),
        )


if __name__ == "__main__":
    main()

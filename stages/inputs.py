"""Stage inputs: what each entry of params.yaml depends on, as digests in small files.

For every entry NAME, in data/inputs/NAME:

- options.json: of a network all options by which it is built and trained, those of a student with its teacher's;
- stores.json: of a network the stores that it learns from, and the language models that it builds on;
- scored.json: the questions and suites that it answers, the CSI stores that these are about, and their scales;
- embedded.json: of a network the CSI store of whose slots the downstream tasks ask it for representations;
- fed_back.json: of a network the CSI stores whose slots it feeds back;
- timed.json: the questions of which its latency is measured, and the CSI stores that these are about;
- code.json: the code of its family, of its objective and its teacher's family, or of its method;
- serving.json: the code by which it is registered and served.

In data/inputs: tasks.json, the stores and the code of the downstream tasks; compared.json, the data sets over which
means are taken; answered.json, what the report tells of who answers what and has learnt from what. In metrics/feedback:
asked.json, the data sets whose slots each codec feeds back; the tables of the codecs come beside it, and others depend
on that folder where there are none.

The stages of an entry depend on these files, and so on nothing that concerns other entries alone: a data set that is
added and held out makes no training run again. What follows from params.yaml stands in them as it is, and not as the
code that finds it: a new check of params.yaml makes no stage run again.
"""

import argparse
import shutil
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from stages import params
from stages.dependencies import closure
from stages.json_files import write_json
from stages.paths import ANSWERED, COMPARED, FEEDBACK_ASKED, INPUTS, TASKS, inputs_file, language_model_files, store
from stages.stage import clear_errors
from storage.digests import digest
from wavefoundry.deployment.method_export import GRAPHS

# No data set has a name with a blank. The key is there where there is something to say, so that the file of a network
# without language models is as it was before there were any.
LANGUAGE_MODELS = "language models"


def language_model_digests(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The md5 of folder and dictionary of some language models, by path, under the key that they have in stores.json;
    nothing of no language models."""
    found = {path.as_posix(): digest(path) for name in names for path in language_model_files(name)}
    return {LANGUAGE_MODELS: found} if found else {}


def code_digests(modules: Iterable[str]) -> dict[str, str]:
    """The md5 of the files of some modules and of all that they import."""
    return {file.as_posix(): digest(file) for file in closure(module for module in modules if find_spec(module))}


def training_options(parameters: params.Params, name: str) -> dict:
    """All that params.yaml says of a training; which data sets it holds out is told by the stores that it has."""
    model = parameters.models[name]
    return {
        "family": model.family,
        "options": model.options.model_dump(mode="json"),
        "seeds": list(model.seeds),
        "teacher": model.teacher,
        "objective": parameters.objective_name(name),
        "objective_options": None if model.objective is None else model.objective.model_dump(mode="json"),
        "delay_fraction": parameters.angle_delay.delay_fraction if model.options.reads == "angle_delay" else None,
    }


def model_modules(parameters: params.Params, name: str) -> list[str]:
    """The modules that build and train the network of an entry; a student's objective runs its teacher, too."""
    model = parameters.models[name]
    modules = [f"wavefoundry.networks.{model.family}.model"]
    objective = parameters.objective_name(name)
    if objective is not None:
        modules.append(f"wavefoundry.objectives.{objective}.training")
        modules.append(f"wavefoundry.networks.{parameters.models[model.teacher or ''].family}.model")
    return modules


def answers(parameters: params.Params) -> dict:
    """What the report tells of who answers what and has learnt from what."""
    return {
        "answered": {name: parameters.answered(name) for name in parameters.answering},
        "learnt": {name: parameters.learnt_by(name) for name in parameters.models},
        "codecs": parameters.codecs,
        "slot_duration": {name: parameters.facts(name).slot_duration for name in parameters.sequences},
        "left_out": parameters.left_out,
    }


@clear_errors()
def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    parameters = params.read()
    shutil.rmtree(INPUTS, ignore_errors=True)
    stores: dict[Path, str] = {}

    def digests(kind: str, names: Iterable[str]) -> dict[str, str]:
        found = {}
        for dataset in names:
            path = store(kind, dataset)
            if path not in stores:
                stores[path] = digest(path)
            found[dataset] = stores[path]
        return found

    for name in [*parameters.models, *parameters.predictors]:
        answered, timed = parameters.answered(name), parameters.first_answered(name)
        datasets = dict.fromkeys(dataset for _, dataset in answered)
        facts = {dataset: parameters.facts(dataset) for dataset in datasets}
        write_json(
            inputs_file(name, "scored"),
            {
                "stores": digests("csi", datasets),
                "questions": answered,
                "suites": {
                    suite: parameters.answered_in(suite, name) for suite in parameters.evaluate.prediction.suites
                },
                "scales": {
                    dataset: {"slot_duration": known.slot_duration, "subcarrier_spacing": known.subcarrier_spacing}
                    for dataset, known in facts.items()
                },
            },
        )
        write_json(inputs_file(name, "timed"), {"stores": digests("csi", timed.values()), "questions": timed})
        if name in parameters.models:
            model = parameters.models[name]
            write_json(inputs_file(name, "options"), training_options(parameters, name))
            learnt = digests(model.options.reads, parameters.learnt_by(name))
            built_on = language_model_digests(model.options.language_models)
            write_json(inputs_file(name, "stores"), learnt | built_on)
            write_json(inputs_file(name, "embedded"), digests("csi", parameters.embedded(name)))
            write_json(inputs_file(name, "fed_back"), digests("csi", parameters.fed_back(name)))
            write_json(inputs_file(name, "code"), code_digests(model_modules(parameters, name)))
            write_json(inputs_file(name, "serving"), code_digests([f"wavefoundry.networks.{model.family}.serving"]))
        else:
            method, _ = parameters.method_options(name)
            module = f"wavefoundry.predictors.{method}"
            write_json(inputs_file(name, "code"), code_digests([module]))
            write_json(inputs_file(name, "serving"), code_digests([module, f"{GRAPHS}.{method}"]))
    write_json(COMPARED, {"prediction": parameters.compared, "feedback": parameters.feedback_compared})
    write_json(ANSWERED, answers(parameters))
    write_json(FEEDBACK_ASKED, {name: parameters.fed_back(name) for name in parameters.codecs})
    section = parameters.evaluate.downstream
    if section is None:
        write_json(TASKS, {})
        return
    write_json(
        TASKS,
        {
            "stores": digests("csi", (section.channels, section.beams)),
            "code": code_digests({f"wavefoundry.tasks.{task.task}" for task in section.tasks.values()}),
        },
    )


if __name__ == "__main__":
    main()

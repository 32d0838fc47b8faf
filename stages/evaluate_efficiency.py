"""Stages evaluate_efficiency_GROUP@NAME: what one entry costs.

Of a backbone a forward pass over synthetic channels of growing size, of a predictor one prediction. Numbers of
parameters, tokens and operations are a function of the network alone; latencies, memory and energy differ from run to
run and lie in a table of their own.
"""

from functools import partial
from typing import TYPE_CHECKING

from stages import params
from stages.arguments import PREDICTOR_GROUPS, group_and_name
from stages.loading import load_network, load_predictors, load_split, predictor_folders
from stages.paths import embedder_folder, inputs_file, measured_file, scores_file
from stages.questions import question_about
from stages.stage import clear_errors, stage
from storage.tables import write_table

if TYPE_CHECKING:
    import torch

    from wavefoundry.evaluation.options import Efficiency
    from wavefoundry.networks.capabilities import Embedder, Predictor

# Where latencies and memory are measured, in the column `part`; of a GPU it is its name.
CPU = "CPU, one thread"


def synthetic_channels(section: "Efficiency") -> list["torch.Tensor"]:
    """Complex Gaussian channels (batch, slot, antenna, subcarrier) of the sizes of a params section."""
    import torch

    generator = torch.Generator().manual_seed(section.channel_seed)
    return [
        torch.randn(section.batch_size, section.slots, *size, dtype=torch.complex64, generator=generator)
        for size in section.sizes
    ]


def cost_of_embedding(
    model: "Embedder", section: "Efficiency", patch_size: int | None, device: str
) -> tuple[list[dict], list[dict]]:
    """Rows of tokens and operations at every size, or why the backbone cannot read it, and of latency and memory."""
    import torch

    from wavefoundry.errors import InputError
    from wavefoundry.evaluation.efficiency import embed, embedding_flops, median_ms, peak_memory, peak_memory_of_gpu

    counted: list[dict] = []
    measured: list[dict] = []
    where = CPU if device == "cpu" else torch.cuda.get_device_name()
    for csi in synthetic_channels(section):
        size = {"question": f"{csi.shape[2]} x {csi.shape[3]}"}
        try:
            tokens, flops = embedding_flops(model, csi, patch_size)
        except InputError as error:
            counted.append(size | {"metric": "left_out", "part": str(error)})
            continue
        counted += [size | {"metric": "tokens", "value": tokens}, size | {"metric": "flops", "value": flops}]
        call = partial(embed, model, csi, patch_size)
        if device == "cuda":
            call = partial(embed, model.to("cuda"), csi.to("cuda"), patch_size)  # type: ignore[attr-defined]
        latency = median_ms(call, section.repetitions)
        memory = peak_memory(call, call) if device == "cpu" else peak_memory_of_gpu(call)
        measured.append(size | {"part": where, "metric": "latency_ms", "value": latency})
        measured.append(size | {"part": where, "metric": "peak_mebibytes", "value": memory / 2**20})
        if device == "cuda":
            model.to("cpu")  # type: ignore[attr-defined]
    return counted, measured


def cost_of_prediction(parameters: params.Params, name: str, predictor: "Predictor") -> list[dict]:
    """The latency of every question, on samples of the first data set of the study that is answered, and its energy
    where the machine tells it."""
    from wavefoundry.evaluation.efficiency import latency_ms
    from wavefoundry.evaluation.energy import millijoules

    section, rows = parameters.evaluate.efficiency, []
    for question, dataset in parameters.first_answered(name).items():
        csi = load_split(dataset, "test")[: section.batch_size]
        known, _, wanted = question_about(parameters, question, dataset).split(csi)
        latency = latency_ms(predictor, known, wanted, section.prediction_repetitions)
        labels = {"question": question, "dataset": dataset, "part": CPU}
        rows.append(labels | {"metric": "latency_ms", "value": latency})
        energy = millijoules(partial(predictor.predict, known, *wanted), section.prediction_repetitions)
        if energy is not None:
            rows.append(labels | {"metric": "energy_mj", "value": energy})
    return rows


def main() -> None:
    group, name = group_and_name("stages.evaluate_efficiency", __doc__, PREDICTOR_GROUPS)
    with clear_errors():
        parameters = params.read()
        folders = predictor_folders(parameters, group, name)[:1]
    section = parameters.evaluate.efficiency
    inputs = [*folders, inputs_file(name, "timed"), inputs_file(name, "code")]
    outputs = [scores_file("efficiency", name), measured_file(name)]
    with stage(f"evaluate_efficiency_{group}@{name}", section=section, dependencies=inputs, outputs=outputs) as run:
        import torch

        from wavefoundry.evaluation.efficiency import parameter_count
        from wavefoundry.evaluation.results import as_table
        from wavefoundry.networks.capabilities import Embedder

        # Before any thread is started: memory is measured in forked processes.
        torch.set_num_threads(1)
        counted: list[dict] = []
        measured: list[dict] = []
        predictors = load_predictors(parameters, group, name)
        if group != "predictors":
            seed = parameters.models[name].seeds[0]
            network = load_network(parameters, name, embedder_folder(name, seed))
            counted.append({"metric": "parameters", "value": parameter_count(predictors.get(seed, network))})
            sizes = parameters.models[name].options.granularities
            if isinstance(network, Embedder):
                for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
                    counted_here, measured_here = cost_of_embedding(
                        network, section, None if sizes is None else section.patch_size, device
                    )
                    counted += counted_here if device == "cpu" else []
                    measured += measured_here
        else:
            counted.append({"metric": "parameters", "value": 0})
        for predictor in list(predictors.values())[:1]:
            measured += cost_of_prediction(parameters, name, predictor)
        labels = {"evaluation": "efficiency", "model": name}
        write_table(scores_file("efficiency", name), as_table(labels | row for row in counted))
        write_table(measured_file(name), as_table(labels | row for row in measured))
        run.log_metrics(
            {f"{row.get('question', 'all')}.{row['metric']}": row["value"] for row in counted if "value" in row}
        )


if __name__ == "__main__":
    main()

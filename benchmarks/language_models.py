"""What networks on a language model need to learn: memory and time of one training step in the published sizes.

python -m benchmarks.language_models: one thread. GPT-2's architecture with six blocks and fresh weights (neither
weights nor data change what a step needs), a batch of 8 samples of 20 slots, 32 antenna ports and 48 subcarriers, of
which all ports are continued from 16 slots to 4: 256 sequences. A step is the forward and the backward pass and the
update by AdamW. Memory is what the peak resident size of a process rises by, with gradients and the optimiser's state,
and beside it the weights, which were there before; the time is the median of 3 steps after a warm-up. Then what stage
`language_model` takes for each entry of params.yaml: to fetch or read the source, unpack it and compute the dictionary.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from benchmarks.port_predictors import networks
from benchmarks.timing import medians, seconds
from stages import params
from stages.language_model import prepare
from stages.stage import clear_errors
from wavefoundry.deployment.served_folder import mebibytes
from wavefoundry.errors import InputError
from wavefoundry.evaluation.efficiency import peak_memory
from wavefoundry.report.tables import markdown_table

NAMES = ("csi_alm", "llm4cp", "csi_alm_light")
BATCH, SLOTS, PORTS, SUBCARRIERS = 8, 20, 32, 48
ROUNDS = 3
PREPARED = {"seconds": 0, "rise_gibibytes": 2, "mebibytes": 0}  # figures of an entry, and their digits in the table


def stepping(network: nn.Module) -> Callable[[], None]:
    """One training step of a network, with an optimiser of its own."""
    generator = torch.Generator().manual_seed(0)
    csi = torch.randn(BATCH, SLOTS, PORTS, SUBCARRIERS, dtype=torch.complex64, generator=generator)
    optimiser = torch.optim.AdamW([weight for weight in network.parameters() if weight.requires_grad], fused=True)

    def step() -> None:
        optimiser.zero_grad()
        network(csi, generator)["loss"].backward()
        optimiser.step()

    return step


def step_of(network: nn.Module) -> dict[str, float]:
    network.train()
    weights = sum(weight.nbytes for weight in network.parameters())
    # In a process of its own, in which nothing is warm: all that the step keeps is part of it.
    peak = peak_memory(stepping(network), lambda: None)
    taken = medians({"step": stepping(network)}, ROUNDS)["step"]
    return {"step_seconds": taken, "rise_gibibytes": peak / 2**30, "weights_gibibytes": weights / 2**30}


def prepared(parameters: params.Params, name: str) -> dict[str, float | str]:
    """What an entry of the language models takes, or why it cannot be had."""
    section = parameters.entry("language_models", name)
    with tempfile.TemporaryDirectory() as folder:

        def prepare_here() -> None:
            prepare(section, name, Path(folder, "model"), Path(folder, "dictionary.safetensors"))

        try:
            taken = seconds(prepare_here)
        except InputError as error:
            return {"missing": str(error)}
        size = mebibytes(Path(folder))
        return {"seconds": taken, "rise_gibibytes": peak_memory(prepare_here, lambda: None) / 2**30, "mebibytes": size}


def table(result: dict) -> str:
    """Markdown of what `main` prints."""
    header = ["network", "weights [GiB]", "a step beyond them [GiB]", "a step [s]"]
    figures = ("weights_gibibytes", "rise_gibibytes", "step_seconds")
    rows = [[name, *(f"{row[figure]:.2f}" for figure in figures)] for name, row in result["steps"].items()]
    told = [markdown_table(header, rows)]
    rows = []
    for name, found in result["prepared"].items():
        if "missing" in found:
            told.append(found["missing"])
        else:
            rows.append([name, *(f"{found[key]:.{digits}f}" for key, digits in PREPARED.items())])
    return "\n\n".join([*told, markdown_table(["entry", "time [s]", "memory [GiB]", "on disk [MiB]"], rows)])


@clear_errors()
@threadpool_limits.wrap(limits=1)
def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    parameters = params.read()
    steps = {name: step_of(network) for name, network in networks(NAMES)}
    print(json.dumps({
        "threads": 1, "sequences": BATCH * PORTS, "steps": steps,
        "prepared": {name: prepared(parameters, name) for name in parameters.language_models},
    }))  # fmt: skip


if __name__ == "__main__":
    main()

"""What one process of several does in the tests of shared trainings; alone, it is the process they are compared with.

torchrun --standalone --nproc-per-node 2 -m tests.training.shared FOLDER
"""

import json
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from tests.training.toy import CONFIG, Batches, Denoiser, KillAt, KilledError, Shuffled
from wavefoundry.errors import InputError
from wavefoundry.training.trainer import train

PLAIN = CONFIG.model_copy(update={"epochs": 3, "max_grad_norm": 0.1})


class Uneven(Batches):
    """21 samples, in batches of 4 and one of a single sample, which two processes cannot share."""

    def __init__(self):
        self.samples = torch.randn(21, 8, generator=torch.Generator().manual_seed(0))

    def batch_sampler(self, batch_size, seed):
        return WithRemainder(len(self), batch_size, seed)


class WithRemainder(Shuffled):
    def __len__(self):
        return self.size // self.batch_size + 1

    def __iter__(self):
        order = torch.randperm(self.size, generator=torch.Generator().manual_seed(self.epoch))
        return iter([part.tolist() for part in order.split(self.batch_size)])


class Plain(nn.Module):
    """Draws nothing, and counts the samples that it has seen."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.sizes = []

    def forward(self, inputs, generator):
        self.sizes.append(len(inputs))
        error = self.layers(inputs) - inputs.flip(1)
        return {"loss": error.square().mean(), "modulus": error.detach().abs().mean()}


class Watched(Denoiser):
    """Keeps what it has drawn from the given generator and by dropout."""

    def __init__(self):
        super().__init__()
        self.drawn = []

    def forward(self, inputs, generator):
        self.drawn.append([torch.rand((), generator=generator).item(), F.dropout(torch.ones(64)).sum().item()])
        return super().forward(inputs, generator)


def plain(folder: Path, name: str) -> dict:
    """What a training of a network without draws leaves behind."""
    rows = []
    model, history = train(
        Plain(),
        Uneven(),
        config=PLAIN,
        seed=3,
        checkpoints=folder / "plain",
        on_epoch=lambda row, step: rows.append([row["epoch"], step]),
    )
    save_file(dict(model.layers.state_dict()), folder / f"plain_{name}.safetensors")
    return {"history": history, "reported": rows, "sizes": model.sizes}


def main(folder: Path, name: str) -> None:
    found = {"plain": plain(folder, name)}
    for again in ("first", "second"):
        model = Watched()
        trained, history = train(model, Batches(), config=CONFIG, seed=3, checkpoints=folder / again)
        save_file(dict(trained.layers.state_dict()), folder / f"{again}_{name}.safetensors")
        found[again] = {"history": history, "drawn": model.drawn}
    try:
        train(Watched(), Batches(), config=CONFIG, seed=3, checkpoints=folder / "killed", callbacks=[KillAt(12)])
    except KilledError:
        trained, history = train(Watched(), Batches(), config=CONFIG, seed=3, checkpoints=folder / "killed")
        save_file(dict(trained.layers.state_dict()), folder / f"resumed_{name}.safetensors")
        found["resumed"] = {"history": history}
    try:
        train(
            Plain(), Batches(), config=CONFIG.model_copy(update={"batch_size": 5}), seed=3, checkpoints=folder / "odd"
        )
    except InputError as error:
        found["odd"] = str(error)
    (folder / f"{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), os.environ["RANK"])
    torch.distributed.destroy_process_group()

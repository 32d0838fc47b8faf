"""A training small enough to be killed and repeated: run as a script it trains once and saves weights and history.

python tests/training/toy.py CHECKPOINTS RESULT [SECONDS_PER_STEP]
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import TrainerCallback

from wavefoundry.training.options import Training
from wavefoundry.training.trainer import train

CONFIG = Training(
    epochs=6,
    batch_size=4,
    learning_rate=1e-2,
    weight_decay=0.01,
    warmup_fraction=0.1,
    max_grad_norm=1.0,
    epochs_per_checkpoint=2,
    precision="float32",
)


class Batches(torch.utils.data.Dataset):
    """20 samples in 5 batches, in another order each epoch."""

    def __init__(self):
        self.samples = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.samples)

    def __getitems__(self, indices):
        return {"inputs": self.samples[indices]}

    def batch_sampler(self, batch_size, seed):
        return Shuffled(len(self), batch_size, seed)


class Shuffled(torch.utils.data.Sampler):
    def __init__(self, size, batch_size, seed):
        self.size, self.batch_size, self.seed, self.epoch = size, batch_size, seed, 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.size // self.batch_size

    def __iter__(self):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.size)
        return iter(order.reshape(-1, self.batch_size).tolist())


class Denoiser(nn.Module):
    """Draws from the given generator and, by dropout, from the global one: both must survive an interruption."""

    def __init__(self, seconds_per_step=0.0):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.2), nn.GELU(), nn.Linear(16, 8))
        self.seconds_per_step = seconds_per_step

    def forward(self, inputs, generator):
        time.sleep(self.seconds_per_step)
        noise = torch.randn(inputs.shape, generator=generator)
        loss = (self.layers(inputs + 0.1 * noise) - inputs).square().mean()
        return {"loss": loss, "noise": noise.mean()}


class KilledError(Exception):
    pass


class KillAt(TrainerCallback):
    """Ends the training at a step, as a kill would: no clean-up runs in between."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **context):
        if state.global_step == self.step:
            raise KilledError


if __name__ == "__main__":
    torch.set_num_threads(1)
    checkpoints, result = map(Path, sys.argv[1:3])
    model, history = train(
        Denoiser(float(sys.argv[3]) if len(sys.argv) > 3 else 0.0),
        Batches(),
        config=CONFIG,
        seed=3,
        checkpoints=checkpoints,
    )
    save_file(model.state_dict(), result)
    result.with_suffix(".json").write_text(json.dumps(history))

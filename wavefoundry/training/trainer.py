"""Training on transformers' Trainer: AdamW, warm-up and cosine, checkpoints, and a resume that leaves no trace.

A training that was killed and started again ends in the same weights and the same history, to the bit: batches are a
function of (seed, epoch), what a model draws is a function of (seed, step), and weights, optimiser, schedule, random
states and history come back from the last complete checkpoint.

Under torchrun or `accelerate launch` several processes share every batch: the settings, the number of steps and the
schedule mean what they mean in one process, gradients are those of the mean over the whole batch, and a network that
draws nothing takes the same steps up to rounding. What is drawn (masks, noise, dropout) differs from process to
process, and so from what one process draws for the same samples; the same number of processes repeats it to the bit. A
loss that is no mean over samples, such as one over the masked values of a batch, becomes the mean of those of the
parts, weighted by their samples.
"""

import json
import math
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import nn
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging

from wavefoundry.errors import InputError
from wavefoundry.training.options import Training
from wavefoundry.training.session import TrainingData

# Written last into a checkpoint: a folder without it was left by a training killed while saving.
COMPLETE = "complete"
# The rows of a checkpoint's history: transformers keeps them, too, but sorts their columns by name.
HISTORY = "history.json"

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")


def train(
    model: Network,
    dataset: TrainingData,
    *,
    config: Training,
    seed: int,
    checkpoints: Path,
    on_epoch: Callable[[dict, int], None] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> tuple[Network, list[dict]]:
    """Train `model` in place, or finish a training that was interrupted.

    Args:
        model: called as `model(**batch, generator=torch.Generator)`, returns a dict of scalar tensors with "loss"; the
            generator (CPU) is the only source of randomness that survives an interruption by construction, being
            seeded from (seed, step). Its method `no_weight_decay()`, where it has one, names the weights that decay
            leaves alone besides biases and norms.
        dataset: what is learnt from.
        seed: of batches and draws. The initial weights are the caller's.
        checkpoints: folder of this training alone; the caller keys it by inputs and parameters and removes it once
            the trained model is saved.
        on_epoch: called with each row of the history and the number of steps taken; after a resume first with the
            rows of the epochs that were trained before. Of several processes only the first one calls it.
        callbacks: transformers callbacks. They may read the rows of the past epochs in `state.log_history`, and add
            columns to the last one in `on_epoch_end`. State of their own would be lost in a resume: decide from rows.

    Returns:
        The model (on the CPU, in evaluation mode) and the history: one row per epoch with "epoch" (from 1), the mean
        over its batches of every scalar the model returned (of "loss" always; of others over the batches that have
        them), and "learning_rate" after its last step. Nothing in it depends on time or host.

    Raises:
        InputError: the loss became NaN or infinite, or several processes cannot share a batch evenly.
    """
    checkpoints = Path(checkpoints)
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        optim="adamw_torch_fused",
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_fraction,  # transformers reads a value below 1 as a share of the steps
        bf16=config.precision == "bfloat16",
        use_cpu=not torch.cuda.is_available(),  # otherwise transformers asks for a GPU as soon as bf16 is wanted
        seed=seed,
        logging_strategy="no",
        save_strategy="no",  # _Checkpoints asks for them
        report_to="none",
        remove_unused_columns=False,
        disable_tqdm=not sys.stderr.isatty(),
    )
    processes, process = arguments.world_size, arguments.process_index
    if config.batch_size % processes:
        raise InputError(
            f"training.batch_size is {config.batch_size}, which {processes} processes cannot share evenly; "
            f"allowed: multiples of {processes}"
        )
    # The first process removes what is incomplete before the others look.
    with arguments.main_process_first(local=False):
        last = _last_complete(checkpoints)
    history = _History(last)
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        history=history,
        callbacks=[_Epochs(), history, *callbacks, _Report(on_epoch), _Checkpoints(checkpoints, config)],
    )
    if process:
        # Trainer has seeded all processes alike: dropout would repeat.
        torch.manual_seed(_drawn(seed, 0, process))
    trainer.remove_callback(PrinterCallback)
    # Of saving weights, milliseconds each; the bar of the training itself stays.
    logging.disable_progress_bar()
    trainer.train(resume_from_checkpoint=str(last) if last else None)
    # bf16 wraps forward in autocast; the caller gets the plain model back.
    model = trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return model.cpu().eval(), list(trainer.state.log_history)


class _Trainer(Trainer):
    def __init__(self, *, history: "_History", **options):
        super().__init__(**options)
        self._history = history

    def get_train_dataloader(self) -> DataLoader:
        dataset = cast(TrainingData, self.train_dataset)
        sampler = dataset.batch_sampler(self.args.per_device_train_batch_size, self.args.seed)
        return DataLoader(cast(Dataset, dataset), batch_sampler=sampler, collate_fn=_as_read)

    def get_decay_parameter_names(self, model) -> list[str]:
        # Trainer itself leaves biases and norms alone.
        exempt: set[str] = getattr(model, "no_weight_decay", set)()
        return [name for name in super().get_decay_parameter_names(model) if name not in exempt]

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        process, processes = self.args.process_index, self.args.world_size
        inputs, share = _part(inputs, process, processes)
        generator = torch.Generator().manual_seed(_drawn(self.args.seed, self.state.global_step, process))
        outputs = model(**inputs, generator=generator)
        self._history.add(outputs, share)
        # Gradients are averaged over processes.
        loss = outputs["loss"] if processes == 1 else share * processes * outputs["loss"]
        return (loss, outputs) if return_outputs else loss

    def log(self, logs, start_time=None) -> None:
        # The rows of _History are the whole log: the summary that Trainer would add holds wall-clock times.
        pass


class _Epochs(TrainerCallback):
    """Tells the batch sampler which epoch it shuffles."""

    def on_epoch_begin(self, args, state, control, **context):
        context["train_dataloader"].batch_sampler.set_epoch(int(state.epoch or 0))


class _History(TrainerCallback):
    """Averages what the model returns into one row per epoch, kept in the Trainer's state and so in checkpoints."""

    def __init__(self, last: Path | None):
        self._last = last

    def on_train_begin(self, args, state, control, **context):
        if self._last is not None:
            state.log_history = json.loads((self._last / HISTORY).read_text())

    def on_epoch_begin(self, args, state, control, **context):
        self._sums: dict[str, torch.Tensor] = {}
        self._counts: dict[str, float] = {}

    def add(self, outputs: dict[str, torch.Tensor], share: float) -> None:
        """Outputs of one step, of this share of its batch."""
        if not share:
            return
        for name, value in outputs.items():
            self._sums[name] = self._sums.get(name, 0) + share * value.detach().double()
            self._counts[name] = self._counts.get(name, 0) + share

    def on_epoch_end(self, args, state, control, **context):
        row = {"epoch": round(state.epoch)} | self._means()
        if not math.isfinite(row["loss"]):
            raise InputError(
                f"training diverged: the loss of epoch {row['epoch']} is {row['loss']}; "
                f"learning_rate is {args.learning_rate:g}, a smaller one is needed"
            )
        row["learning_rate"] = context["lr_scheduler"].get_last_lr()[0]
        state.log_history.append(row)

    def _means(self) -> dict[str, float]:
        """Over the batches of all processes, the same in each of them."""
        own = {name: (total.item(), self._counts[name]) for name, total in self._sums.items()}
        everyone: list[dict[str, tuple[float, float]]] = gather_object([own])
        means = {}
        for name in dict.fromkeys(name for found in everyone for name in found):
            totals, counts = zip(*(found[name] for found in everyone if name in found), strict=True)
            means[name] = sum(totals) / sum(counts)
        return means


class _Report(TrainerCallback):
    """Hands the rows to `on_epoch`, and prints them where there is no progress bar; of all processes the first does."""

    def __init__(self, on_epoch: Callable[[dict, int], None] | None):
        self._on_epoch = on_epoch

    def on_train_begin(self, args, state, control, **context):
        for row in state.log_history:
            self._report(row, round(row["epoch"] / args.num_train_epochs * state.max_steps), state)

    def on_epoch_end(self, args, state, control, **context):
        self._report(state.log_history[-1], state.global_step, state)
        if args.disable_tqdm and state.is_world_process_zero:
            row = state.log_history[-1]
            print(f"epoch {row['epoch']} of {args.num_train_epochs}: loss {row['loss']:.4g}", file=sys.stderr)

    def _report(self, row: dict, step: int, state: TrainerState) -> None:
        if self._on_epoch and state.is_world_process_zero:
            self._on_epoch(row, step)


class _Checkpoints(TrainerCallback):
    """Asks for a checkpoint at epoch ends, marks it when complete and only then drops the one before."""

    def __init__(self, folder: Path, config: Training):
        self._folder = folder
        self._config = config

    def on_epoch_end(self, args, state, control, **context):
        epoch = round(state.epoch)
        control.should_save = epoch % self._config.epochs_per_checkpoint == 0 or epoch == self._config.epochs

    def on_save(self, args, state, control, **context):
        # Each process writes its own random states.
        args.distributed_state.wait_for_everyone()
        if not state.is_world_process_zero:
            return
        newest = self._folder / f"checkpoint-{state.global_step}"
        (newest / HISTORY).write_text(json.dumps(state.log_history))
        (newest / COMPLETE).touch()
        for folder in self._folder.glob("checkpoint-*"):
            if folder != newest:
                _remove(folder)


def _remove(checkpoint: Path) -> None:
    (checkpoint / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)


def _last_complete(folder: Path) -> Path | None:
    """The newest complete checkpoint; incomplete ones are removed."""
    complete = []
    for checkpoint in folder.glob("checkpoint-*"):
        if (checkpoint / COMPLETE).exists():
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=lambda checkpoint: int(checkpoint.name.rpartition("-")[2]), default=None)


def _as_read(batch: Batch) -> Batch:
    return batch


def _part(batch: dict[str, torch.Tensor], process: int, processes: int) -> tuple[dict[str, torch.Tensor], float]:
    """The samples of a batch that one of several processes learns from, and what share of the batch they are.

    A batch smaller than the number of processes leaves some of them the first sample with a share of 0, for all
    processes must take the same steps.
    """
    if processes == 1:
        return batch, 1.0
    size = len(next(iter(batch.values())))
    first, end = size * process // processes, size * (process + 1) // processes
    kept = slice(first, end) if end > first else slice(0, 1)
    return {name: value[kept] for name, value in batch.items()}, (end - first) / size


def _drawn(seed: int, step: int, process: int) -> int:
    """The seed of what a process draws in one step."""
    return int(np.random.SeedSequence([seed, step, process]).generate_state(1, np.uint64)[0])

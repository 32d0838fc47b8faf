"""All tasks on one input: every representation and patch size at one fraction of the labels, the best at all fractions.

What is best is chosen on the validation split; the test split only scores. Results are rows of the one tidy table
(wavefoundry.evaluation.results), whose column `part` tells the experiments apart
(wavefoundry.evaluation.downstream.parts).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wavefoundry.evaluation.downstream.channels import channel_examples, score_channel_head
from wavefoundry.evaluation.downstream.examples import SplitScores
from wavefoundry.evaluation.downstream.inputs import Input, Reading
from wavefoundry.evaluation.downstream.options import RAW, Downstream
from wavefoundry.evaluation.downstream.parts import CURVE, REFERENCE, ROUND_TRIP, SAMPLES, SEARCH
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import PER_PATCH, ChannelTask, DownstreamTask

DIGITS = 6  # of every score

Row = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """What a head reads."""

    representation: str
    patch_size: str


class Suite:
    """Heads of all tasks, input by input.

    Args:
        tasks: by the names of their entries.
        snapshots: channels and labels.
        section: parameters.
    """

    def __init__(self, tasks: Mapping[str, DownstreamTask], snapshots: Snapshots, section: Downstream):
        self._tasks = tasks
        self._snapshots = snapshots
        self._section = section

    def evaluate(self, model: str, inputs: Mapping[str, Input]) -> tuple[list[Row], dict[str, Choice]]:
        """Search, and go on with what is best.

        Args:
            model: name of the input in the rows.
            inputs: the input at each of its patch sizes.

        Returns:
            rows of the parts "search", "curve" and "round_trip" and of the variants, and what was chosen for each task.
        """
        readings = {size: self._reading(source) for size, source in inputs.items()}
        rows: list[Row] = []
        best: dict[str, tuple[float, Choice]] = {}
        for patch_size, reading in readings.items():
            for name, choice, found in self._search(model, patch_size, reading):
                rows += found
                task = self._tasks[name]
                reached = next(
                    row["value"] for row in found if row["split"] == "validation" and row["metric"] == task.metric
                )
                if name not in best or task.better(reached, best[name][0]):
                    best[name] = reached, choice
            if any(isinstance(task, ChannelTask) for task in self._tasks.values()):
                rows += self._round_trip(model, patch_size, reading)
            reading.release()
        choices = {name: choice for name, (_, choice) in best.items()}
        for name, choice in choices.items():
            reading = readings[choice.patch_size]
            rows += self._chosen(model, name, choice, reading, self._section.label_fractions)
        return rows, choices

    def evaluate_choices(self, model: str, inputs: Mapping[str, Input], choices: Mapping[str, Choice]) -> list[Row]:
        """What another input chose on this one: rows of the part "curve" and of the variants, at the fraction of the
        choice alone. A control goes without a search of its own, for it is to be compared on the same features."""
        rows: list[Row] = []
        for patch_size, source in inputs.items():
            reading = self._reading(source)
            for name, choice in choices.items():
                if choice.patch_size == patch_size:
                    rows += self._chosen(model, name, choice, reading, [self._section.choice_fraction])
        return rows

    def references(self) -> list[Row]:
        """What is reached without learning from channels: the figures that every head has to beat first."""
        rows = []
        for name, task in self._tasks.items():
            what, scores = task.reference(self._snapshots)
            common = self._common(RAW, name, REFERENCE) | {"representation": what}
            rows += [
                common | {"split": "test", "metric": metric, "value": round(value, DIGITS)}
                for metric, value in scores.items()
            ]
            rows.append(
                common | {"split": "train", "metric": SAMPLES, "value": float(len(self._snapshots.rows["train"]))}
            )
        return rows

    def rows(
        self,
        model: str,
        question: str,
        part: str,
        choice: Choice,
        fraction: float,
        scores: Mapping[int, SplitScores],
        samples: Mapping[str, int],
    ) -> list[Row]:
        """Scores as rows.

        Args:
            model, question, part, choice, fraction: values of the columns.
            scores: by the seed of the draw of labels and head.
            samples: how many were scored, by split.
        """
        common = self._common(model, question, part) | {
            "representation": choice.representation,
            "patch_size": choice.patch_size,
            "label_fraction": fraction,
        }
        return [
            common
            | {
                "seed": seed,
                "split": split,
                "metric": metric,
                "value": round(value, DIGITS),
                "samples": samples[split],
            }
            for seed, by_split in scores.items()
            for split, by_metric in by_split.items()
            for metric, value in by_metric.items()
        ]

    def _reading(self, source: Input) -> Reading:
        return Reading(source, self._snapshots, self._section.max_features)

    def _common(self, model: str, question: str, part: str) -> Row:
        return {
            "evaluation": "downstream",
            "model": model,
            "dataset": self._section.channels,
            "question": question,
            "part": part,
        }

    def _search(self, model: str, patch_size: str, reading: Reading) -> Iterator[tuple[str, Choice, list[Row]]]:
        fraction, seeds = self._section.choice_fraction, self._section.seeds[:1]
        for name, task in self._tasks.items():
            for kind in task.representations(reading.kinds):
                choice = Choice(kind, patch_size)
                examples = task.read(reading, kind, fraction, seeds)
                yield name, choice, self._scored(model, name, SEARCH, choice, examples, fraction, seeds)

    def _chosen(
        self, model: str, name: str, choice: Choice, reading: Reading, fractions: Sequence[float]
    ) -> Iterator[Row]:
        task, seeds = self._tasks[name], self._section.seeds
        examples = task.read(reading, choice.representation, max(fractions), seeds)
        for fraction in fractions:
            yield from self._scored(model, name, CURVE, choice, examples, fraction, seeds)
        for variant, less in task.variants(examples).items():
            yield from self._scored(model, name, variant, choice, less, self._section.choice_fraction, seeds)

    def _scored(
        self,
        model: str,
        name: str,
        part: str,
        choice: Choice,
        examples: Any,
        fraction: float,
        seeds: Sequence[int],
    ) -> list[Row]:
        by_seed = self._tasks[name].evaluate(examples, fraction, seeds, self._section.heads)
        samples = {split: len(rows) for split, rows in examples.rows.items()}
        return self.rows(model, name, part, choice, fraction, dict(zip(seeds, by_seed, strict=True)), samples)

    def _round_trip(self, model: str, patch_size: str, reading: Reading) -> list[Row]:
        everyone = np.arange(len(self._snapshots.csi))
        examples = channel_examples(reading.source, reading.seen, self._snapshots, everyone)
        fraction, seed = self._section.choice_fraction, self._section.seeds[0]
        scores = score_channel_head(examples, fraction, seed, self._section.heads.penalties)
        samples = {split: len(rows) for split, rows in examples.rows.items()}
        return self.rows(
            model, ROUND_TRIP, ROUND_TRIP, Choice(PER_PATCH, patch_size), fraction, {seed: scores}, samples
        )

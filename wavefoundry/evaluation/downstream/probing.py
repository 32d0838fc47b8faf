"""All tasks on one input: every representation and patch size at one fraction of the labels, the best at all fractions.

What is best is chosen on the validation split; the test split only scores. Results are rows of the one tidy table
(wavefoundry.evaluation.results), whose column `part` tells the experiments apart
(wavefoundry.evaluation.downstream.parts).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wavefoundry.evaluation.downstream.channels import channel_examples, score_channel_head
from wavefoundry.evaluation.downstream.examples import SCORED, SplitStatistics
from wavefoundry.evaluation.downstream.inputs import NATIVE, Input, Reading
from wavefoundry.evaluation.downstream.options import RAW, RAW_LMMSE, Downstream
from wavefoundry.evaluation.downstream.parts import CURVE, REFERENCE, ROUND_TRIP, SAMPLES, SEARCH
from wavefoundry.evaluation.downstream.snapshots import Snapshots
from wavefoundry.evaluation.downstream.task import PER_PATCH, WHOLE_CHANNEL, ChannelTask, DownstreamTask
from wavefoundry.evaluation.downstream.whole_channel import score_whole_channel
from wavefoundry.evaluation.results import SILENT

DIGITS = 6  # of every score

Row = dict[str, Any]


@dataclass(frozen=True)
class Choice:
    """What a head reads."""

    representation: str
    patch_size: str


@dataclass(frozen=True)
class Results:
    """What was measured.

    rows: of the table of results, columns as `wavefoundry.evaluation.results.COLUMNS`.
    samples: columns of the table of single samples, `wavefoundry.evaluation.results.DOWNSTREAM_SAMPLE_COLUMNS`, one
        mapping for each model, seed, task, fraction and statistic.
    """

    rows: list[Row] = field(default_factory=list)
    samples: list[Row] = field(default_factory=list)

    def add(self, other: "Results") -> None:
        self.rows.extend(other.rows)
        self.samples.extend(other.samples)


class Probing:
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

    def evaluate(self, model: str, inputs: Mapping[str, Input], fractions: Sequence[float]) -> Results:
        """Search, and go on with what is best on the validation split.

        Args:
            model: name of the input in the rows.
            inputs: the input at each of its patch sizes.
            fractions: shares of the labels at which the best one is scored.

        Returns:
            results of the parts "search", "curve" and "round_trip" and of the variants.
        """
        readings = {size: self._reading(source) for size, source in inputs.items()}
        results = Results()
        best: dict[str, tuple[float, Choice]] = {}
        for patch_size, reading in readings.items():
            for name, choice, found in self._search(model, patch_size, reading):
                results.add(found)
                task = self._tasks[name]
                reached = next(
                    row["value"] for row in found.rows if row["split"] == "validation" and row["metric"] == task.metric
                )
                if name not in best or task.better(reached, best[name][0]):
                    best[name] = reached, choice
            if any(isinstance(task, ChannelTask) for task in self._tasks.values()):
                results.add(self._round_trip(model, patch_size, reading))
            reading.release()
        for name, (_, choice) in best.items():
            results.add(self._chosen(model, name, choice, readings[choice.patch_size], fractions))
        return results

    def whole_channels(self) -> Results:
        """What the best linear estimate from all that is known reaches: results of the part "curve" of the tasks that
        give back channels."""
        results, choice, seeds = Results(), Choice(WHOLE_CHANNEL, NATIVE), self._section.seeds
        for name, task in self._tasks.items():
            if isinstance(task, ChannelTask):
                for fraction in self._section.label_fractions:
                    shares = self._section.heads.stationary_shares
                    found = score_whole_channel(task, self._snapshots, fraction, seeds, shares)
                    by_seed = dict(zip(seeds, found, strict=True))
                    results.add(self.results(RAW_LMMSE, name, CURVE, choice, fraction, by_seed, self._snapshots.rows))
        return results

    def references(self) -> Results:
        """What is reached without learning from channels: the figures that every head has to beat first, and what
        there is to learn from."""
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
        if left_out := self._snapshots.silent:
            told = {"evaluation": "downstream", "model": RAW, "dataset": self._section.channels, "part": REFERENCE}
            number = len(self._snapshots.csi) + left_out
            rows.append(told | {"metric": SILENT, "value": left_out, "samples": number})
        return Results(rows)

    def results(
        self,
        model: str,
        question: str,
        part: str,
        choice: Choice,
        fraction: float,
        statistics: Mapping[int, SplitStatistics],
        snapshots: Mapping[str, np.ndarray],
    ) -> Results:
        """Statistics of samples as results.

        Args:
            model, question, part, choice, fraction: values of the columns.
            statistics: by the seed of the draw of labels and head.
            snapshots: rows of the snapshots that were scored, by split.
        """
        # What patches tell of their channels is asked with all tasks that give back channels.
        task = self._tasks[question] if question in self._tasks else _first_channel_task(self._tasks)
        common = self._common(model, question, part) | {
            "representation": choice.representation,
            "patch_size": choice.patch_size,
            "label_fraction": fraction,
        }
        rows = [
            common
            | {
                "seed": seed,
                "split": split,
                "metric": metric,
                "value": round(value, DIGITS),
                "samples": len(snapshots[split]),
            }
            for seed, by_split in statistics.items()
            for split, found in by_split.items()
            for metric, value in task.scores(found).items()
        ]
        if part != CURVE:
            return Results(rows)
        tested = snapshots["test"]
        labels = {"model": model, "question": question, "label_fraction": fraction, "sample": tested}
        labels["trajectory"] = self._snapshots.keys[tested, 1]
        samples = [
            labels | {"seed": seed, "statistic": name, "value": by_split["test"][name]}
            for seed, by_split in statistics.items()
            for name in task.deciding
        ]
        return Results(rows, samples)

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

    def _search(self, model: str, patch_size: str, reading: Reading) -> Iterator[tuple[str, Choice, Results]]:
        fraction, seeds = self._section.choice_fraction, self._section.seeds[:1]
        for name, task in self._tasks.items():
            for kind in task.representations(reading.kinds):
                choice = Choice(kind, patch_size)
                examples = task.read(reading, kind, fraction, seeds)
                yield name, choice, self._scored(model, name, SEARCH, choice, examples, fraction, seeds)

    def _chosen(self, model: str, name: str, choice: Choice, reading: Reading, fractions: Sequence[float]) -> Results:
        task, seeds, results = self._tasks[name], self._section.seeds, Results()
        examples = task.read(reading, choice.representation, max(fractions), seeds)
        for fraction in fractions:
            results.add(self._scored(model, name, CURVE, choice, examples, fraction, seeds))
        for variant, less in task.variants(examples).items():
            results.add(self._scored(model, name, variant, choice, less, self._section.choice_fraction, seeds))
        return results

    def _scored(
        self,
        model: str,
        name: str,
        part: str,
        choice: Choice,
        examples: Any,
        fraction: float,
        seeds: Sequence[int],
    ) -> Results:
        by_seed = self._tasks[name].evaluate(examples, fraction, seeds, self._section.heads)
        snapshots = {split: examples.snapshots(split) for split in SCORED}
        return self.results(model, name, part, choice, fraction, dict(zip(seeds, by_seed, strict=True)), snapshots)

    def _round_trip(self, model: str, patch_size: str, reading: Reading) -> Results:
        everyone = np.arange(len(self._snapshots.csi))
        examples = channel_examples(reading.source, reading.seen, self._snapshots, everyone)
        fraction, seed = self._section.choice_fraction, self._section.seeds[0]
        found = {seed: score_channel_head(examples, fraction, seed, self._section.heads.penalties)}
        choice = Choice(PER_PATCH, patch_size)
        return self.results(model, ROUND_TRIP, ROUND_TRIP, choice, fraction, found, examples.rows)


def _first_channel_task(tasks: Mapping[str, DownstreamTask]) -> DownstreamTask:
    return next(task for task in tasks.values() if isinstance(task, ChannelTask))

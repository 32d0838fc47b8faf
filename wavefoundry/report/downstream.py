"""The report's section on downstream tasks: whether representations are worth more than the raw channel."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas

from wavefoundry.evaluation.downstream.options import RAW, RAW_LMMSE, UNTRAINED, Downstream, LastLayers
from wavefoundry.evaluation.downstream.parts import CURVE, FROZEN, REFERENCE, ROUND_TRIP, SAMPLES, SEARCH, TUNED
from wavefoundry.evaluation.downstream.scores import ScoreTable
from wavefoundry.evaluation.downstream.task import DownstreamTask, tasks_of
from wavefoundry.evaluation.downstream.wording import digits, heading, in_words
from wavefoundry.plots.model_styles import Style
from wavefoundry.report.silence import silence_note
from wavefoundry.report.tables import markdown_table, mean_and_spread

PICTURES = Path("figures/downstream")
PATCH_SIZES = Path("figures/downstream_patch_sizes.png")
PARTS = (SEARCH, CURVE, ROUND_TRIP, FROZEN, TUNED, REFERENCE)


def downstream_section(table: pandas.DataFrame, section: Downstream, *, pictures: bool = True) -> str:
    """Markdown: the tables of every task, and the links to the pictures.

    Args:
        table: the results of all entries, joined (wavefoundry.evaluation.results).
        section: parameters of the tasks.
        pictures: whether there are pictures to link.
    """
    return _Section(table, section, pictures).text()


def draw_downstream(
    table: pandas.DataFrame, section: Downstream, styles: Mapping[str, Style], folder: Path
) -> list[Path]:
    """Draw the pictures that the section links, a picture a task and one of the patch sizes.

    Args:
        table, section: as for `downstream_section`.
        styles: of the study's models.
        folder: of the report; the pictures lie in it under figures.

    Returns:
        the files written.
    """
    from wavefoundry.plots.downstream import draw_curves, draw_patch_sizes

    tasks = tasks_of(section)
    files = {name: folder / PICTURES / f"{name}.png" for name in tasks}
    for name, task in tasks.items():
        draw_curves(table, name, task, styles, files[name])
    draw_patch_sizes(table, tasks, section.choice_fraction, styles, folder / PATCH_SIZES)
    return [*files.values(), folder / PATCH_SIZES]


class _Section:
    def __init__(self, table: pandas.DataFrame, section: Downstream, pictures: bool):
        self._table = table
        self._section = section
        self._pictures = pictures
        self._scores = ScoreTable(table)
        self._tasks: Mapping[str, DownstreamTask] = tasks_of(section)
        self._models = self._scores.models
        self._percent = f"{section.choice_fraction:.0%}"

    def text(self) -> str:
        if RAW not in self._models:
            return "The downstream tasks have not been evaluated.\n"
        parts = [*self._introduction()]
        for name, task in self._tasks.items():
            parts += [f"### {self._heading(name)}", self._curve_table(name, task)]
            parts += self._picture(task.title, PICTURES / f"{name}.png")
            parts += [self._variant_table(name, task, variant) for variant in self._variants(name)]
        parts += self._round_trip()
        parts += [
            f"### Representations and patch sizes, {self._percent} of the labels",
            "Test scores of the first seed; what the validation split chose is in bold.",
            *(f"{self._heading(name)}\n\n{self._grid_table(name, task)}" for name, task in self._tasks.items()),
            *self._picture("Patch sizes", PATCH_SIZES),
        ]
        tuning = self._section.tuning
        if tuning is not None and not self._scores.pick(part=TUNED).empty:
            parts += self._tuned(tuning)
        return "\n\n".join(parts) + "\n"

    def _picture(self, title: str, path: Path) -> list[str]:
        return [f"![{title}]({path.as_posix()})"] if self._pictures else []

    def _introduction(self) -> list[str]:
        counts = self._sample_counts()
        introduction = (
            "A head is a small network or a linear layer that learns one task from labelled samples. What it reads is "
            "either the raw channel or the representation that a trained network, frozen, makes of one slot of it. "
            f"There are {counts['train']} samples to learn from, {counts['validation']} to choose on, {counts['test']} "
            "to test on, split by trajectory. Given is the mean ± the standard deviation over seeds, each of which "
            "draws its own labels and initial heads. Representation and patch size are chosen on the validation split "
            f"with {self._percent} of the labels, for the raw channel too. Inputs whose names end in "
            f"{UNTRAINED.replace('_', ' ').strip()} are the same networks before any training, for which both are "
            f"chosen anew. {RAW_LMMSE} is the best linear estimate from all that is known of a channel, with "
            "covariances of the labelled ones; other linear layers see one patch at a time. Who is ahead of whom, and "
            "how sure that is, stands among the claims."
        )
        if not set(self._models) - {RAW, RAW_LMMSE}:
            introduction += "\n\nNo trained network of this study gives representations of these channels."
        return [introduction, *silence_note(self._table, "downstream")]

    def _heading(self, name: str) -> str:
        """The title of a task; with the name of its entry where several tasks have the same title."""
        title = heading(self._tasks[name])
        alike = sum(heading(task) == title for task in self._tasks.values())
        return title if alike == 1 else f"{title} ({name})"

    def _sample_counts(self) -> dict[str, int]:
        reference = self._scores.pick(part=REFERENCE, metric=SAMPLES)["values"]
        own = self._table[(self._table["evaluation"] == "downstream").fillna(False).astype(bool)]
        scored = own.groupby("split")["samples"].max()
        return {"train": int(reference.iloc[0][0])} | {split: int(scored[split]) for split in ("validation", "test")}

    def _curve_table(self, name: str, task: DownstreamTask) -> str:
        """Every input at every fraction, the deciding metric; its other metrics at the largest fraction."""
        fractions = self._section.label_fractions
        reference = self._scores.pick(question=name, part=REFERENCE, split="test")
        metrics = [(task.metric, fraction) for fraction in fractions]
        metrics += [(other, fractions[-1]) for other in reference["metric"] if other != task.metric]
        rows = []
        for model in self._models:
            curve = self._scores.pick(model=model, question=name, part=CURVE, split="test")
            if curve.empty:
                continue
            chosen = f"{curve['representation'].iloc[0].replace('_', ' ')}, {curve['patch_size'].iloc[0]}"
            cells = (
                self._cell(metric, model=model, question=name, part=CURVE, label_fraction=fraction)
                for metric, fraction in metrics
            )
            rows.append([model, chosen, *cells])
        if not reference.empty:
            found = dict(zip(reference["metric"], reference["values"], strict=True))
            blank = [""] * (len(fractions) - 1)
            of_all = [f"{found[metric][0]:.{digits(metric)}f}" for metric, _ in metrics[len(blank) :]]
            rows.append([reference["representation"].iloc[0], "no head", *blank, *of_all])
        header = ["input", "representation, patch size"]
        return markdown_table([*header, *(f"{in_words(metric)}, {fraction:.0%}" for metric, fraction in metrics)], rows)

    def _variants(self, name: str) -> list[str]:
        parts = self._scores.pick(question=name)["part"].drop_duplicates()
        return [part for part in parts if part not in PARTS]

    def _variant_table(self, name: str, task: DownstreamTask, variant: str) -> str:
        """The chosen input, and what a part of it alone tells, at the fraction of the choice."""
        words, fraction = f"{in_words(task.metric)}, {self._percent}", self._section.choice_fraction
        rows = [
            [
                model,
                *(
                    self._cell(task.metric, model=model, question=name, part=part, label_fraction=fraction)
                    for part in (CURVE, variant)
                ),
            ]
            for model in self._models
            if not self._scores.pick(model=model, question=name, part=variant).empty
        ]
        alone = f"{variant.replace('_', ' ')} alone"
        return markdown_table(["input", f"{words}, all that is known", f"{words}, {alone}"], rows)

    def _round_trip(self) -> list[str]:
        found = self._scores.pick(part=ROUND_TRIP, split="test")
        if found.empty:
            return []
        sizes = found["patch_size"].drop_duplicates().tolist()
        rows = [
            [
                model,
                *(self._cell("nmse_db", model=model, part=ROUND_TRIP, patch_size=size) for size in sizes),
            ]
            for model in self._models
            if model in set(found["model"])
        ]
        return [
            "### What a patch tells of its channel",
            "NMSE [dB] of a linear head that shall give back, patch by patch, the clean channel itself that was read, "
            f"with {self._percent} of the labels: what a representation has lost, no head brings back in interpolation "
            "and estimation.",
            markdown_table(["input", *(f"patch {size}" for size in sizes)], rows),
        ]

    def _grid_table(self, name: str, task: DownstreamTask) -> str:
        searched = self._scores.pick(question=name, part=SEARCH, metric=task.metric, split="test")
        sizes = searched["patch_size"].drop_duplicates().tolist()
        rows = []
        for model in self._models:
            of_model = searched[searched["model"] == model]
            chosen = self._scores.pick(model=model, question=name, part=CURVE)[["representation", "patch_size"]]
            best = tuple(chosen.iloc[0]) if len(chosen) else ()
            for kind in of_model["representation"].drop_duplicates():
                where = {"model": model, "question": name, "part": SEARCH, "representation": kind}
                cells = [self._cell(task.metric, patch_size=size, **where) for size in sizes]
                cells = [
                    f"**{cell}**" if (kind, size) == best else cell for cell, size in zip(cells, sizes, strict=True)
                ]
                rows.append([model, kind.replace("_", " "), *cells])
        return markdown_table(["input", "representation", *(f"patch {size}" for size in sizes)], rows)

    def _tuned(self, tuning: LastLayers) -> list[str]:
        rows = []
        for name in tuning.tasks:
            tuned = self._scores.pick(question=name, part=TUNED, split="test")
            for model in tuned["model"].drop_duplicates():
                own = tuned[tuned["model"] == model]
                for metric, size in zip(own["metric"], own["patch_size"], strict=True):
                    where = {"model": model, "question": name, "patch_size": size, "metric": metric, "split": "test"}
                    parts = [self._scores.values(part=part, **where) for part in (FROZEN, TUNED)]
                    frozen, own_values = (values or [] for values in parts)
                    gained = [one - other for one, other in zip(own_values, frozen, strict=True)]
                    cells = [mean_and_spread(values, digits(metric)) for values in (frozen, own_values, gained)]
                    rows.append([self._heading(name), model, in_words(metric), *cells])
        return [
            "### Last layers tuned",
            f"The last {tuning.layers} layer(s) trained together with the head on the mean of the patches, patch size "
            f"{tuning.patch_size}, {tuning.fraction:.0%} of the labels; beside it the same head on the frozen network, "
            "trained in the same way: with the same labels, initial weights, batches, optimiser and number of steps. "
            "The difference, seed by seed, is that of the tuning. Heads of the other tables are trained in another way "
            "(section heads of the parameters), so that scores of this table are not to be set against theirs.",
            markdown_table(["task", "model", "metric", "frozen", "tuned", "tuned less frozen"], rows),
        ]

    def _cell(self, metric: str, **where: str | float) -> str:
        """Test score over seeds as text, "-" where there is none."""
        values: Sequence[float] | None = self._scores.values(metric=metric, split="test", **where)
        return mean_and_spread(values, digits(metric)) if values else "-"

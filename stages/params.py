"""params.yaml, read, typed and checked as a whole before any stage does anything.

`python -m stages.params` is the first stage of the DAG: it refuses a bad file before DVC removes or runs anything.
"""

import sys
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from stages.scale_out import Workers
from wavefoundry.config import (
    DistilWiFo,
    EvaluateDownstream,
    EvaluateEfficiency,
    EvaluatePrediction,
    PretrainLWM,
    PretrainLWMTemporal,
    PretrainWiMamba,
    Register,
    TeachWiFo,
)
from wavefoundry.csi.config import AngleDelay
from wavefoundry.errors import InputError
from wavefoundry.imports.config import Imported
from wavefoundry.section import Section
from wavefoundry.twin.config import BUILT_IN_SCENES, RayTracedTwin, Scenario

PATH = Path("params.yaml")
# Kinds of sections, which pydantic puts between the keys that it names.
TAGS = {"ray_traced", "tr38901", "continuous", "discrete", "sector", "spot", "scene", "deepmimo", "mat", "npz", "zarr"}
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Pretrain(Section):
    lwm_temporal: PretrainLWMTemporal
    wimamba: PretrainWiMamba
    lwm: PretrainLWM


class Teach(Section):
    wifo: TeachWiFo


class Evaluate(Section):
    prediction: EvaluatePrediction
    downstream: EvaluateDownstream | None = Field(default=None, description="left out where no such data are")
    efficiency: EvaluateEfficiency


# Foundation models of single snapshots, which predict nothing.
SNAPSHOT_MODELS = ("wimamba", "lwm")


class Params(Section):
    seed: Annotated[int, Field(ge=0)]
    workers: Workers
    scenarios: dict[Name, Scenario]
    imported: dict[Name, Annotated[Imported, Field(discriminator="kind")]]
    angle_delay: AngleDelay
    pretrain: Pretrain
    teach: Teach
    distill: dict[Name, DistilWiFo]
    evaluate: Evaluate
    register_: Register = Field(alias="register")

    @property
    def datasets(self) -> dict[str, Scenario | Imported]:
        """Everything that becomes a CSI store, generated and imported."""
        return {**self.scenarios, **self.imported}

    @property
    def sequences(self) -> dict[str, Scenario | Imported]:
        """Data sets in which there is something to predict; the others hold snapshots, of one slot."""
        return {name: dataset for name, dataset in self.datasets.items() if dataset.shape[0] > 1}

    def read_by(self, name: str) -> list[str]:
        """Data sets that a model can read: WiMamba and LWM all of them, predictors those of several slots, and
        LWM-Temporal, which knows neighbours on a uniform linear array only, not those of other arrays."""
        if name in SNAPSHOT_MODELS:
            return list(self.datasets)
        if name == "lwm_temporal":
            return [key for key, dataset in self.sequences.items() if dataset.array.antennas == dataset.array.columns]
        return list(self.sequences)

    def learnt_by(self, name: str) -> list[str]:
        """Data sets on which a model was trained; all others are new to it."""
        trainer = self.distill[name].teacher if name in self.distill else name
        section = self.entry("pretrain" if trainer in Pretrain.model_fields else "teach", trainer)
        return [dataset for dataset in self.read_by(trainer) if dataset not in section.held_out]

    @property
    def compared(self) -> list[str]:
        """Data sets that every predictor has learnt from: means over data sets are taken over these."""
        return [
            name for name in self.datasets if all(name in self.learnt_by(predictor) for predictor in self.predictors)
        ]

    @property
    def predictors(self) -> dict[str, list[int]]:
        """Seeds of every trained predictor, in the order of the DAG; seed S of NAME lies in models/NAME/seed_S."""
        pretrained = {name: section for name, section in self.pretrain if name not in SNAPSHOT_MODELS}
        trained = {**pretrained, **dict(self.teach), **self.distill}
        return {name: section.seeds for name, section in trained.items()}

    def entry(self, group: str, name: str) -> Section:
        """One entry of `scenarios`, `imported`, `pretrain`, `teach` or `distill`.

        Raises:
            InputError: no such entry.
        """
        entries = dict(getattr(self, group))
        if name not in entries:
            raise InputError(f"{PATH}: {group} has no entry {name!r}, found: {', '.join(entries)}")
        return entries[name]

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_names()
        self._check_students()
        self._check_held_out()
        self._check_wifo_grids()
        self._check_angle_delay_grids()
        self._check_snapshot_tokens()
        if self.evaluate.downstream is not None:
            self._check_downstream_data()
            self._check_downstream_patches()
        return self

    def _check_names(self) -> None:
        if not self.datasets:
            raise ValueError("scenarios and imported are both empty; at least one data set is needed")
        twice = sorted(set(self.scenarios) & set(self.imported))
        if twice:
            raise ValueError(f"imported.{twice[0]}: the name is taken by scenarios.{twice[0]}")
        for name, scenario in self.scenarios.items():
            if isinstance(scenario.twin, RayTracedTwin) and scenario.twin.site.scene not in BUILT_IN_SCENES:
                raise ValueError(
                    f"scenarios.{name}.twin.site.scene is {scenario.twin.site.scene!r}, allowed: "
                    f"{', '.join(BUILT_IN_SCENES)}; a scene of your own goes under imported, with its files"
                )

    def _check_held_out(self) -> None:
        for group in ("pretrain", "teach"):
            for name, section in getattr(self, group):
                unknown = [dataset for dataset in section.held_out if dataset not in self.datasets]
                if unknown:
                    found = ", ".join(self.datasets)
                    raise ValueError(f"{group}.{name}.held_out: there is no data set {unknown[0]!r}, found: {found}")
                if not self.learnt_by(name):
                    raise ValueError(f"{group}.{name}.held_out {section.held_out} leaves no data set to learn from")
        if not self.compared:
            raise ValueError("no data set is read and learnt by every model: there is nothing to compare them on")

    def _check_wifo_grids(self) -> None:
        patch = self.teach.wifo.architecture.patch_size
        for name, scenario in self.sequences.items():
            for axis, size, step in zip(("slots", "antennas", "subcarriers"), scenario.shape, patch, strict=True):
                if size % step:
                    raise ValueError(
                        f"teach.wifo.architecture.patch_size {patch}: {step} does not divide the {size} {axis} "
                        f"of {name}"
                    )
            known = scenario.shape[0] * self.evaluate.prediction.history_fraction
            if known % patch[0]:
                raise ValueError(
                    f"evaluate.prediction.history_fraction {self.evaluate.prediction.history_fraction} leaves "
                    f"{known:g} known slots in {name}; it must be a multiple of the patch of {patch[0]} slots"
                )
            known = scenario.shape[2] * self.evaluate.prediction.band_fraction
            if known % patch[2]:
                raise ValueError(
                    f"evaluate.prediction.band_fraction {self.evaluate.prediction.band_fraction} leaves {known:g} "
                    f"known subcarriers in {name}; it must be a multiple of the patch of {patch[2]} "
                    "subcarriers"
                )

    def _check_angle_delay_grids(self) -> None:
        architecture = self.pretrain.lwm_temporal.architecture
        for name in self.read_by("lwm_temporal"):
            slots, antennas, subcarriers = self.datasets[name].shape
            kept = self.angle_delay.kept_bins(subcarriers)
            for axis, size, step in zip(("angle", "delay"), (antennas, kept), architecture.patch_size, strict=True):
                if size % step:
                    raise ValueError(
                        f"pretrain.lwm_temporal.architecture.patch_size {architecture.patch_size}: {step} does not "
                        f"divide the {size} {axis} bins of {name}"
                    )
            rows, columns = antennas // architecture.patch_size[0], kept // architecture.patch_size[1]
            for window in ("same_frame_window", "temporal_spatial_window"):
                if getattr(architecture, window) > max(rows, columns):
                    raise ValueError(
                        f"pretrain.lwm_temporal.architecture.{window} {getattr(architecture, window)} is larger than "
                        f"the grid of {rows} x {columns} tokens of {name}"
                    )
            if slots * rows * columns > architecture.max_seq_len:
                raise ValueError(
                    f"pretrain.lwm_temporal.architecture.max_seq_len {architecture.max_seq_len} is less than the "
                    f"{slots * rows * columns} tokens of {name}"
                )

    def _check_snapshot_tokens(self) -> None:
        for name in SNAPSHOT_MODELS:
            architecture = self.entry("pretrain", name).architecture
            measured = self.evaluate.efficiency.patch_size
            if measured not in architecture.patch_sizes:
                raise ValueError(
                    f"evaluate.efficiency.patch_size is {measured}, allowed are the pretrain.{name}.architecture."
                    f"patch_sizes {architecture.patch_sizes}"
                )
            patch = min(architecture.patch_sizes)
            for dataset in self.learnt_by(name):
                _, antennas, subcarriers = self.datasets[dataset].shape
                tokens = 1 + -(-antennas // patch) * -(-subcarriers // patch)
                if tokens > architecture.max_seq_len:
                    raise ValueError(
                        f"pretrain.{name}.architecture.max_seq_len {architecture.max_seq_len} is less than the "
                        f"{tokens} tokens of {dataset} in patches of {patch} x {patch}"
                    )

    def _check_downstream_data(self) -> None:
        section = self.evaluate.downstream
        for key, name in (("channels", section.channels), ("beams", section.beams)):
            if name not in self.datasets:
                found = ", ".join(self.datasets)
                raise ValueError(f"evaluate.downstream.{key}: there is no data set {name!r}, found: {found}")
            array = self.datasets[name].array
            if array.antennas != array.columns:
                raise ValueError(f"evaluate.downstream.{key}: {name} has no uniform linear array of one polarisation")
        # Whether imported data belong together is seen when they are read.
        pair = [self.scenarios[name].twin for name in (section.channels, section.beams) if name in self.scenarios]
        if any(not isinstance(twin, RayTracedTwin) for twin in pair) or (
            len(pair) == 2 and (pair[0].site, pair[0].base_stations) != (pair[1].site, pair[1].base_stations)
        ):
            raise ValueError(
                f"evaluate.downstream.channels {section.channels} and evaluate.downstream.beams {section.beams} must "
                "be ray-traced with equal site and base_stations: the beams of a user are labels of its channels"
            )
        antennas = self.datasets[section.beams].shape[1]
        if section.codebook < antennas:
            raise ValueError(
                f"evaluate.downstream.codebook is {section.codebook}, it must be at least the {antennas} antennas of "
                f"{section.beams}"
            )

    def _check_downstream_patches(self) -> None:
        section, grid = self.evaluate.downstream, self.datasets[self.evaluate.downstream.channels].shape[1:]
        for name in SNAPSHOT_MODELS:
            architecture = self.entry("pretrain", name).architecture
            missing = [size for size in section.patch_sizes if size not in architecture.patch_sizes]
            if missing:
                raise ValueError(
                    f"evaluate.downstream.patch_sizes: pretrain.{name} has no embedding for {missing[0]}, allowed: "
                    f"{', '.join(map(str, architecture.patch_sizes))}"
                )
            if section.tuning is not None and section.tuning.layers > architecture.depth:
                raise ValueError(
                    f"evaluate.downstream.tuning.layers is {section.tuning.layers}, allowed: at most the depth "
                    f"{architecture.depth} of pretrain.{name}"
                )
        kept = self.angle_delay.kept_bins(grid[1])
        for key, sizes, patch in (
            ("teach.wifo", grid, self.teach.wifo.architecture.patch_size[1:]),
            ("pretrain.lwm_temporal", (grid[0], kept), self.pretrain.lwm_temporal.architecture.patch_size),
        ):
            if any(size % step for size, step in zip(sizes, patch, strict=True)):
                raise ValueError(
                    f"{key}.architecture.patch_size {patch} does not divide the {sizes[0]} x {sizes[1]} grid of "
                    f"evaluate.downstream.channels {section.channels}"
                )
        spacing = section.interpolation.pilot_spacing
        if any(step >= size for size, step in zip(grid, spacing, strict=True)):
            raise ValueError(
                f"evaluate.downstream.interpolation.pilot_spacing {spacing} leaves fewer than two pilots along an axis "
                f"of the {grid[0]} antennas x {grid[1]} subcarriers of {section.channels}"
            )

    def _check_students(self) -> None:
        teacher = self.teach.wifo.architecture
        for name, student in self.distill.items():
            if student.teacher not in Teach.model_fields:
                raise ValueError(
                    f"distill.{name}.teacher is {student.teacher!r}, allowed: {', '.join(Teach.model_fields)}"
                )
            if student.hidden_size % teacher.heads or student.hidden_size > teacher.hidden_size:
                raise ValueError(
                    f"distill.{name}.hidden_size {student.hidden_size} must be a multiple of the teacher's "
                    f"{teacher.heads} heads and at most its hidden_size {teacher.hidden_size}"
                )


def read(path: Path = PATH) -> Params:
    """Read and check the whole parameter file.

    Raises:
        InputError: the file is missing, is no YAML mapping, or a key is unknown, missing, of a wrong type or out of
            range; one line per fault with the key, the value and what is allowed.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; run from the project's top folder")
    return parse(path.read_text(), str(path))


def parse(text: str, source: str) -> Params:
    """Check the text of a parameter file; `source` names it in messages.

    Raises:
        InputError: as `read`.
    """
    try:
        return Params.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InputError(f"{source}: not valid YAML: {error}") from None
    except ValidationError as error:
        raise InputError("\n".join(_describe(source, fault) for fault in error.errors())) from None


def _describe(source: str, fault) -> str:
    key = ".".join(str(part) for part in fault["loc"] if part not in TAGS)
    if fault["type"] == "extra_forbidden":
        return f"{source}: {key}: unknown key"
    if fault["type"] == "missing":
        return f"{source}: {key}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    if isinstance(fault["input"], dict):
        return f"{source}: {key}: {message}" if key else f"{source}: {message}"
    return f"{source}: {key}: found {fault['input']!r}, {message[0].lower()}{message[1:]}"


def main() -> None:
    try:
        read()
    except InputError as error:
        sys.exit(str(error))
    Path("data").mkdir(exist_ok=True)
    Path("data/params.checked").write_text("params.yaml is valid\n")


if __name__ == "__main__":
    main()

"""The types of entries of params.yaml that are found by name: families, objectives, methods and downstream tasks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import BaseModel, BeforeValidator, Field, create_model

from wavefoundry.evaluation.downstream.task import tasks
from wavefoundry.evaluation.methods import methods
from wavefoundry.networks.family import FamilyOptions, families
from wavefoundry.objectives.objective import ObjectiveOptions, objectives
from wavefoundry.section import Section, Seeds

LONGEST_NAME = 60
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=LONGEST_NAME)]


@dataclass(frozen=True)
class Model:
    """A network that the study trains.

    group: "pretrain", "teach" or "distill".
    options: of its family; of a student those of its teacher with the changes of its entry.
    held_out: data sets that it never learns from; of a student those of its teacher.
    teacher, objective: of a student; an objective of None trains it alone.
    """

    name: str
    group: str
    family: str
    options: FamilyOptions
    held_out: tuple[str, ...]
    seeds: tuple[int, ...]
    teacher: str | None = None
    objective: Any = None


class Learner(Section):
    """What every entry of `pretrain` and `teach` has besides the options of its family."""

    held_out: list[str] = Field(description="data sets that it never learns from: zero-shot")
    seeds: Seeds


def _kinds(key: str, options: Mapping[str, type[BaseModel]], *others: type[BaseModel]) -> Any:
    """One type for the options of every name, told apart by `key`."""
    found = tuple(
        create_model(
            f"{name}_{key}",
            __base__=(kind, *others),
            __doc__=kind.__doc__,
            **{key: (Literal[name], ...)},  # type: ignore[call-overload]  # names of fields are values here
        )
        for name, kind in options.items()
    )
    return found[0] if len(found) == 1 else Annotated[Union[found], Field(discriminator=key)]  # noqa: UP007


def _named(key: str) -> Callable[[Any], Any]:
    """Give entries that do not say what they are the kind of their own name."""

    def name_entries(entries: Any) -> Any:
        if not isinstance(entries, Mapping):
            return entries
        return {
            name: {key: name} | dict(entry or {}) if entry is None or isinstance(entry, Mapping) else entry
            for name, entry in entries.items()
        }

    return name_entries


def _require_mapping(entry: Any) -> Any:
    """Refuse the name of an objective in place of its options."""
    if not isinstance(entry, Mapping | BaseModel):
        raise ValueError(f"allowed: null, or a mapping with kind: {', '.join(objectives())}")
    return entry


# Types that are made of what is found: a type checker sees mappings of anything.
if TYPE_CHECKING:
    Learners = dict[str, Any]
    Methods = dict[str, Any]
    Tasks = dict[str, Any]
    Objective = Any
else:
    Learners = dict[Name, _kinds("family", families(), Learner)]
    Objective = Annotated[_kinds("kind", objectives()), BeforeValidator(_require_mapping)]
    Methods = Annotated[dict[Name, _kinds("method", methods())], BeforeValidator(_named("method"))]
    Tasks = Annotated[dict[Name, _kinds("task", tasks())], BeforeValidator(_named("task"))]


class Student(Section):
    """An entry of `distill`."""

    family: Literal[*families()]  # type: ignore[valid-type]
    teacher: str = Field(description="an entry of pretrain, teach or distill")
    options: dict[str, Any] = Field(
        description="what differs from the teacher's options; all of them where the families differ"
    )
    objective: Objective | None = Field(description="what the student learns by; null trains it alone")
    seeds: Seeds


Students = dict[Name, Student]


def options_of(entry: Any) -> FamilyOptions:
    """The options of the family of an entry of `pretrain` or `teach`, without what every entry has."""
    kind = families()[entry.family]
    return kind.model_validate(entry.model_dump(include=set(kind.model_fields)))


def objective_options(entry: Any) -> ObjectiveOptions:
    """The options of the objective of an entry of `distill`."""
    kind = objectives()[entry.kind]
    return kind.model_validate(entry.model_dump(include=set(kind.model_fields)))

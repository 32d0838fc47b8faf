"""Settings of the distillation of attention relations."""

from pydantic import Field

from wavefoundry.networks.csi_alm.options import Options as CSIALMOptions
from wavefoundry.networks.csi_alm_light.options import Options as LightOptions
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.objectives.objective import ObjectiveOptions
from wavefoundry.section import Count, Positive


class Options(ObjectiveOptions):
    """How much the relations count, and into how many heads they are split.

    Source: "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically Aligned LLMs and Knowledge
    Distillation", arXiv:2505.12729, equations 22 to 25 and 32.
    """

    weight: Positive = Field(description="lambda_2, weight of the relations beside the NMSE")
    relation_heads: Count = Field(description="of both networks, whatever their own numbers of heads")

    def why_not(self, family: str, student: FamilyOptions, teacher_family: str, teacher: FamilyOptions) -> str | None:
        if not isinstance(student, LightOptions) or not isinstance(teacher, CSIALMOptions | LightOptions):
            return (
                "it compares attention of a csi_alm or csi_alm_light with that of a csi_alm_light; the teacher is a "
                f"{teacher_family}, the student a {family}"
            )
        if student.link != teacher.link:
            return f"link {student.link!r} differs from the teacher's {teacher.link!r}"
        for name in ("domain", "statistics", "reference", "ports", "snr_db"):
            if getattr(student, name) != getattr(teacher, name):
                return f"{name} {getattr(student, name)} differs from the teacher's {getattr(teacher, name)}"
        if isinstance(teacher, CSIALMOptions) and not teacher.blocks:
            return "the teacher has no attention of its own: its blocks is false"
        if student.architecture.prompts != _prompts(teacher):
            return (
                f"architecture.prompts {student.architecture.prompts} differs from the {_prompts(teacher)} prompts of "
                "the teacher; relations are those between as many tokens"
            )
        if student.architecture.hidden_size % self.relation_heads:
            return (
                f"relation_heads {self.relation_heads} does not divide architecture.hidden_size "
                f"{student.architecture.hidden_size}"
            )
        return None


def _prompts(options: CSIALMOptions | LightOptions) -> int:
    """How many tokens a network has in front of those of its slots."""
    if isinstance(options, LightOptions):
        return options.architecture.prompts
    return options.prompts.chosen if options.prompts else 0

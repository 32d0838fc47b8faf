"""Settings of the distillation of attention relations."""

from pydantic import Field

from wavefoundry.networks.attentive_options import AttentiveOptions, AttentiveStudentOptions
from wavefoundry.networks.family import FamilyOptions
from wavefoundry.objectives.objective import ObjectiveOptions
from wavefoundry.section import Count, Positive, why_no_whole_heads


class Options(ObjectiveOptions):
    """How much the relations count, and into how many heads they are split.

    Source: "Bridging the Modality Gap: Enhancing Channel Prediction with Semantically Aligned LLMs and Knowledge
    Distillation", arXiv:2505.12729, equations 22 to 25 and 32.
    """

    weight: Positive = Field(description="lambda_2, weight of the relations beside the NMSE")
    relation_heads: Count = Field(description="of both networks, whatever their own numbers of heads")

    def why_not(self, family: str, student: FamilyOptions, teacher_family: str, teacher: FamilyOptions) -> str | None:
        if not isinstance(student, AttentiveStudentOptions) or not isinstance(teacher, AttentiveOptions):
            return (
                "it compares the attention of two networks of single sequences, of which the student needs no "
                f"language model; the teacher is a {teacher_family}, the student a {family}"
            )
        if student.link != teacher.link:
            return f"link {student.link!r} differs from the teacher's {teacher.link!r}"
        # How many of them are predicted changes nothing of what is learnt.
        drawn = [options.sequences.model_dump(exclude={"strongest"}) for options in (student, teacher)]
        if drawn[0] != drawn[1]:
            return f"sequences {drawn[0]} differs from the teacher's {drawn[1]}"
        for name in ("statistics", "reference", "snr_db"):
            if getattr(student, name) != getattr(teacher, name):
                return f"{name} {getattr(student, name)} differs from the teacher's {getattr(teacher, name)}"
        for who, options in (("teacher", teacher), ("student", student)):
            if reason := options.why_no_attention:
                return f"the {who} has no attention of its own: {reason}"
        if student.prompt_tokens != teacher.prompt_tokens:
            return (
                f"the number of prompts {student.prompt_tokens} differs from the {teacher.prompt_tokens} prompts of "
                "the teacher; relations are those between as many tokens"
            )
        return why_no_whole_heads(
            "relation_heads", self.relation_heads, "architecture.hidden_size", student.architecture.hidden_size
        )

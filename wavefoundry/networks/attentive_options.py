"""What options say of networks of single sequences whose attention can be compared, without torch."""

from typing import Any, Protocol, runtime_checkable

from wavefoundry.networks.sequences.sequence_options import AngleDelayTaps, AntennaPorts, Link


@runtime_checkable
class AttentiveOptions(Protocol):
    """Options, among them those of `SequenceOptions`, of a network whose `Trace` has queries, keys and values.

    link: what goes in and what comes out.
    sequences: what is continued one at a time.
    """

    link: Link
    sequences: AntennaPorts | AngleDelayTaps

    @property
    def prompt_tokens(self) -> int:
        """How many tokens are in front of those of the slots."""
        ...

    @property
    def why_no_attention(self) -> str | None:
        """Why its networks have no attention of their own; None if they have."""
        ...


@runtime_checkable
class AttentiveStudentOptions(AttentiveOptions, Protocol):
    """Options of such a network that needs no language model, and so can be a student.

    architecture: has hidden_size, the width of its attention.
    """

    architecture: Any

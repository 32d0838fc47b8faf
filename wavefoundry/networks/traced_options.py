"""What options say of networks whose insides can be compared, without torch."""

from typing import Any, ClassVar, Protocol, runtime_checkable

from wavefoundry.training.options import Training


@runtime_checkable
class TracedOptions(Protocol):
    """Options of a `wavefoundry.networks.trace.TracedNetwork`.

    architecture: has hidden_size, encoder_depth, decoder_depth and heads.
    training: how long a network is trained, among others.
    common_to_students: of the architecture, what decides which tokens there are: a student shares it with its teacher.
    """

    common_to_students: ClassVar[tuple[str, ...]]
    architecture: Any
    training: Training

"""Settings of networks that linear prediction helps; ours."""

from pydantic import Field

from wavefoundry.section import Count, NonNegative, Section, Share


class Orders(Section):
    """Orders of the linear prediction of bins, `wavefoundry.csi.linear_prediction.continued`; the least of an order and
    of what is known counts."""

    time: Count = Field(description="past slots of which a slot is predicted")
    frequency: Count = Field(description="past subcarriers of which a subcarrier is predicted")


class Mixing(Section):
    """Linear prediction, with which a network's own answer is mixed (`wavefoundry.networks.mixture`)."""

    orders: Orders
    hidden_size: Count = Field(description="of the small network that says how much either counts")
    first_share: Share = Field(description="how much the network's own answer counts before any training")
    own_weight: NonNegative = Field(
        description="of the error of the network's own answer in the loss, beside that of the mixture"
    )

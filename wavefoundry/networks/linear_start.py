"""Where a predictor starts: linear prediction, which its network corrects."""

from pydantic import Field

from wavefoundry.section import Count, Section


class LinearStart(Section):
    """Orders of the linear prediction of bins, `wavefoundry.csi.linear_prediction.continued`; the least of an order and
    of what is known counts."""

    time: Count = Field(description="past slots of which a slot is predicted")
    frequency: Count = Field(description="past subcarriers of which a subcarrier is predicted")

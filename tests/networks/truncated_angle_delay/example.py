"""The codec of the strongest angle-delay coefficients."""

from wavefoundry.networks.truncated_angle_delay.model import TruncatedAngleDelay, build
from wavefoundry.networks.truncated_angle_delay.options import Options


def options() -> Options:
    return Options()


def truncated_angle_delay() -> TruncatedAngleDelay:
    """It has nothing to learn."""
    return build(options(), 1.0).eval()

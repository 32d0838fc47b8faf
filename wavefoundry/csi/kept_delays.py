"""How many delay bins an angle-delay map keeps."""


def kept_delay_bins(subcarriers: int, fraction: float) -> int:
    """The number of early delay bins kept of one per subcarrier, at least 1.

    Args:
        subcarriers: number of subcarriers, and so of delay bins before the cut.
        fraction: share of the bins that is kept, in (0, 1].
    """
    return max(1, round(subcarriers * fraction))

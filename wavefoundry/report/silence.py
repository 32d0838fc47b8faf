"""What evaluations have left out for want of power, in words."""

import pandas

from wavefoundry.evaluation.results import SILENT


def silence_note(table: pandas.DataFrame, evaluation: str) -> list[str]:
    """A paragraph that tells how many samples of which data set; none where nothing was left out.

    Args:
        table: of results.
        evaluation: "prediction", "downstream" or "feedback".
    """
    rows = table[(table["metric"] == SILENT) & (table["evaluation"] == evaluation)]
    told = dict.fromkeys(
        f"{row.value:.0f} of {row.samples} samples of {row.dataset}"
        + "".join(f", {what} {value}" for what, value in (("split", row.split), ("question", row.question)) if value)
        for row in rows.fillna({"split": "", "question": ""}).itertuples()
    )
    if not told:
        return []
    return [f"Left out of all scores, for what is asked for is zero throughout and has no NMSE: {'; '.join(told)}."]

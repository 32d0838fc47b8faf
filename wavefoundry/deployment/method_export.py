"""What a registered predictor without training is made of: its file and its settings."""

from pathlib import Path

from pydantic import BaseModel

from wavefoundry.deployment.served_folder import write_served
from wavefoundry.evaluation.methods import method_file


def export(method: str, options: BaseModel, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    write_served(method_file(method), options.model_dump(exclude={"method"}), folder)

"""What a registered predictor without training is made of: its file and its settings."""

import json
import shutil
from pathlib import Path

from pydantic import BaseModel

from wavefoundry.evaluation.methods import method_file


def export(method: str, options: BaseModel, folder: Path) -> None:
    """Write what `wavefoundry.deployment.served_predictor` loads into `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(method_file(method), folder / "code.py")
    (folder / "settings.json").write_text(json.dumps(options.model_dump(exclude={"method"}), indent=2) + "\n")

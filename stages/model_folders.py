"""Where the trained networks lie."""

from pathlib import Path

from stages.params import Params


def model_folder(name: str, seed: int) -> Path:
    return Path("models") / name / f"seed_{seed}"


def backbone_folder(name: str, seed: int) -> Path:
    """Where a pretrained network lies as it was before its fine-tuning."""
    return Path("models") / name / f"backbone_seed_{seed}"


def backbones(parameters: Params) -> dict[str, Path]:
    """The folder of every backbone, of its first seed."""
    pretrain = parameters.pretrain
    return {
        "wimamba": model_folder("wimamba", pretrain.wimamba.seeds[0]),
        "lwm": model_folder("lwm", pretrain.lwm.seeds[0]),
        "lwm_temporal": backbone_folder("lwm_temporal", pretrain.lwm_temporal.seeds[0]),
        "wifo": model_folder("wifo", parameters.teach.wifo.seeds[0]),
    }

"""Our networks of snapshots in the published sizes, with fresh weights."""

from wavefoundry.networks.lwm import model as lwm_model
from wavefoundry.networks.lwm.options import Options as LWMOptions
from wavefoundry.networks.wimamba import model as wimamba_model
from wavefoundry.networks.wimamba.options import Options as WiMambaOptions

COMMON = {
    "patch_sizes": [2, 4, 6, 8],
    "mask_ratio": 0.4,
    "dropout": 0.1,
    "depth": 12,
    "hidden_size": 128,
    "mlp_ratio": 4.0,
}
# Options want a training; none is run here.
TRAINING = {
    "epochs": 1,
    "batch_size": 1,
    "learning_rate": 1e-3,
    "weight_decay": 0.05,
    "warmup_fraction": 0.0,
    "max_grad_norm": 1.0,
    "epochs_per_checkpoint": 1,
    "precision": "float32",
}
WIMAMBA = WiMambaOptions.model_validate(
    {
        "architecture": COMMON | {"max_seq_len": 4096, "state_size": 8, "conv_kernel": 4, "expand": 1.2},
        "training": TRAINING,
    }
)


def wimamba() -> wimamba_model.WiMamba:
    return wimamba_model.build(WIMAMBA, 1.0).eval()


def lwm(max_seq_len: int) -> lwm_model.LWM:
    architecture = COMMON | {"max_seq_len": max_seq_len, "heads": 8}
    options = LWMOptions.model_validate({"architecture": architecture, "training": TRAINING})
    return lwm_model.build(options, 1.0).eval()

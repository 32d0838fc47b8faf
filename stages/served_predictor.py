"""What a registered predictor runs: this file and the package wavefoundry travel with the model.

    import mlflow, numpy as np
    model = mlflow.pyfunc.load_model("models:/tiny_wifo@champion")
    future = model.predict(known, params={"axis": "time", "horizon": 8})

`known` is float32 (batch, 2, time, antenna, subcarrier): real parts in channel 0, imaginary parts in channel 1. Only
the known slots (axis "time") or the known subcarriers (axis "frequency") are in it. The result has the same layout,
with `horizon` slots or subcarriers: those that follow.
"""

import mlflow
import numpy as np


class ServedPredictor(mlflow.pyfunc.PythonModel):
    def load_context(self, context) -> None:
        from transformers import AutoModel
        from transformers.utils.logging import disable_progress_bar

        import wavefoundry.models  # noqa: F401  (registers the architectures)

        disable_progress_bar()
        folder = context.artifacts["model"]
        self.model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()

    def predict(self, context, model_input: np.ndarray, params=None) -> np.ndarray:
        import torch

        real, imaginary = torch.from_numpy(np.ascontiguousarray(model_input)).unbind(dim=1)
        known = torch.complex(real, imaginary)
        predicted = self.model.predict(known, params["axis"], params["horizon"])
        return torch.stack([predicted.real, predicted.imag], dim=1).cpu().numpy()


mlflow.models.set_model(ServedPredictor())

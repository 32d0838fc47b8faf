"""What MLflow loads as a registered predictor; it needs mlflow and onnxruntime, not this project.

    import mlflow
    model = mlflow.pyfunc.load_model("models:/tiny_wifo@champion")
    future = model.predict(known, params={"slots": 8, "subcarriers": 0})

Arrays: as `ServedPredictor.predict` in served_predictor.py of wavefoundry/deployment, which travels with the model,
says.
"""

import runpy

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel


class RegisteredPredictor(PythonModel):
    """The predictor of the folder that was registered."""

    def load_context(self, context) -> None:
        # Run, not imported: two versions with different code can be loaded side by side.
        code = runpy.run_path(context.artifacts["code"])
        self.predictor = code["ServedPredictor"](context.artifacts["served"])

    def predict(self, context, model_input: np.ndarray, params=None) -> np.ndarray:
        try:
            return self.predictor.predict(model_input, params["slots"], params["subcarriers"])
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(RegisteredPredictor())

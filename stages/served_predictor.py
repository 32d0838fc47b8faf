"""What MLflow loads as a registered predictor; it needs mlflow and onnxruntime, not this project.

    import mlflow
    model = mlflow.pyfunc.load_model("models:/tiny_wifo@champion")
    future = model.predict(known, params={"axis": "time", "horizon": 8})

Arrays: as `OnnxPredictor.predict` in onnx_predictor.py, which travels with the model, says.
"""

import runpy

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException


class ServedPredictor(mlflow.pyfunc.PythonModel):
    def load_context(self, context) -> None:
        # Run, not imported: two versions with different code can be loaded side by side.
        code = runpy.run_path(context.artifacts["code"])
        self.predictor = code["OnnxPredictor"](context.artifacts["onnx"])

    def predict(self, context, model_input: np.ndarray, params=None) -> np.ndarray:
        try:
            return self.predictor.predict(model_input, params["axis"], params["horizon"])
        except ValueError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None


mlflow.models.set_model(ServedPredictor())

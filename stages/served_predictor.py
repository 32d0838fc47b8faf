"""What MLflow loads as a registered predictor; it needs mlflow and onnxruntime, not this project.

    import mlflow
    model = mlflow.pyfunc.load_model("models:/tiny_wifo@champion")
    future = model.predict(known, params={"slots": 8, "subcarriers": 0})

In INT8, where the version has that form: load_model("models:/...", model_config={"precision": "int8"}).

Arrays: as `ServedPredictor.predict` in served_predictor.py of wavefoundry/deployment, which travels with the model,
says.
"""

import runpy

import mlflow
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

PARAMETERS = ("slots", "subcarriers")
# The artifact that serves each precision.
PRECISIONS = {"fp32": "served", "int8": "int8"}


class Refusal(MlflowException):
    """A fault of the question, in the one line with which it was raised.

    MLflow's server puts the whole input in front of the message of an exception that it passes on.
    """

    @property
    def message(self) -> str:
        return self._line

    @message.setter
    def message(self, text: str) -> None:
        if not hasattr(self, "_line"):
            self._line = text


class RegisteredPredictor(PythonModel):
    """The predictor of the folder that was registered."""

    def load_context(self, context) -> None:
        precision = context.model_config["precision"]
        found = [name for name, artifact in PRECISIONS.items() if artifact in context.artifacts]
        if precision not in found:
            raise MlflowException.invalid_parameter_value(
                f"precision is {precision!r:.60}, allowed for this version: {', '.join(found)}; why it has no other is "
                "told by its tag int8"
            )
        # Run, not imported: two versions with different code can be loaded side by side.
        code = runpy.run_path(context.artifacts["code"])
        self.predictor = code["ServedPredictor"](context.artifacts[PRECISIONS[precision]])

    def predict(self, context, model_input: np.ndarray, params=None) -> np.ndarray:
        params = params or {}
        try:
            if unknown := sorted(set(params) - set(PARAMETERS)):
                raise ValueError(f"{unknown[0]!r:.60}: no such parameter, allowed: {', '.join(PARAMETERS)}")
            # MLflow drops parameters that it does not know before anybody sees them: none may be left to a default.
            missing = [name for name in PARAMETERS if params.get(name) is None]
            if missing:
                raise ValueError(
                    f"{missing[0]}: missing or null; both parameters are needed, {' and '.join(PARAMETERS)}"
                )
            return self.predictor.predict(model_input, *(as_given(params[name]) for name in PARAMETERS))
        except ValueError as error:
            raise Refusal.invalid_parameter_value(str(error)) from None
        except MemoryError:
            raise Refusal.invalid_parameter_value(
                f"csi of shape {np.shape(model_input)} with {params}: more than the memory of this machine"
            ) from None


def as_given(number):
    """A parameter before MLflow has made a float of a whole number."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


mlflow.models.set_model(RegisteredPredictor())

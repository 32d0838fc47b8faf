"""What tests of records and of tracking share."""

import pytest


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with an MLflow database of its own; creating one takes seconds."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.chdir(folder)
        yield folder

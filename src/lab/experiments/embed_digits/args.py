"""What may be said about the embed_digits experiment."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from labwright.args import Args, ExperimentArgs, MachineConfig
from labwright.datasets import DigitsDataArgs
from labwright.models import MLPArgs, ModelUnion

if TYPE_CHECKING:
    from labwright.datasets import Splits

    from .embedding import Embedding
    from .experiment import EmbedDigits

Start = str | dict[str, str] | None


class EmbeddingArgs(Args):
    """Base of what turns images into vectors."""

    def build(self, splits: "Splits", start: Start) -> "Embedding":
        """The function; `start` is the checkpoint to take weights from."""
        raise NotImplementedError(f"{type(self).__name__} needs a build(splits, start) that returns an Embedding")


class PixelsArgs(EmbeddingArgs):
    """The pixels as they are."""

    kind: Literal["pixels"] = "pixels"

    def build(self, splits: "Splits", start: Start) -> "Embedding":
        from .embedding import flatten

        return flatten


class PcaArgs(EmbeddingArgs):
    """The principal components of the training images (Pearson, 1901)."""

    kind: Literal["pca"] = "pca"
    num_components: int = Field(default=16, gt=0, le=64, description="How many of them, the largest first.")

    def build(self, splits: "Splits", start: Start) -> "Embedding":
        from .embedding import fit_pca, whole

        return fit_pca(whole(splits.train["train"]).inputs, self.num_components)


class FeaturesArgs(EmbeddingArgs):
    """What the trunk of a trained classifier says, before its last layer."""

    kind: Literal["model"] = "model"
    model: ModelUnion = Field(default=MLPArgs(hidden_sizes=[64]), description="The classifier, as it was trained.")

    def build(self, splits: "Splits", start: Start) -> "Embedding":
        from .embedding import load_features

        return load_features(self.model, splits, start)


class EmbedDigitsArgs(ExperimentArgs):
    """Handwritten digits by their nearest neighbours in an embedding; nothing is trained."""

    epochs: int = Field(default=0, ge=0, le=0, description="None: nothing is trained.")
    embedding: PixelsArgs | PcaArgs | FeaturesArgs = Field(
        default=PixelsArgs(), description="The vectors; model: those of a digits run, given by --from_checkpoint."
    )
    distance: Literal["euclidean", "cosine"] = Field(default="euclidean", description="How far apart two vectors are.")
    num_neighbours: int = Field(default=5, gt=0, description="Training images that vote for the digit.")
    dataset: DigitsDataArgs = Field(default=DigitsDataArgs(), description="The data.")
    best_model_metric: str = Field(default="neighbour_accuracy", min_length=1, description="The metric that matters.")

    def build(self, machine: MachineConfig) -> "EmbedDigits":
        from .experiment import EmbedDigits

        return EmbedDigits(self, machine)

    @model_validator(mode="after")
    def _weights_are_for_models(self) -> Self:
        if isinstance(self.embedding, FeaturesArgs) and self.from_checkpoint is None:
            raise ValueError("embedding=model needs trained weights; add --from_checkpoint=RUN, of a digits run")
        if self.from_checkpoint is not None and not isinstance(self.embedding, FeaturesArgs):
            raise ValueError(
                f"from_checkpoint has no effect with embedding={self.embedding.kind}; add --embedding=model"
            )
        return self

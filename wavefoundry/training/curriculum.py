"""The curriculum of masked channel modelling: from epoch to epoch more tokens are hidden."""

from transformers import TrainerCallback

from wavefoundry.config import MaskedChannelModelling


class MaskRatioCurriculum(TrainerCallback):
    """Raises the model's `mask_ratio` linearly over the warm-up epochs (LWM-Temporal, curriculum "mask").

    A function of the epoch alone, so that an interrupted training goes on as it would have.
    """

    def __init__(self, masking: MaskedChannelModelling):
        self._masking = masking

    def ratio(self, epoch: int) -> float:
        """Share of hidden tokens in an epoch, counted from 0."""
        low, high, warmup = self._masking.min_mask_ratio, self._masking.max_mask_ratio, self._masking.warmup_epochs
        return high if epoch >= warmup else low + (high - low) * epoch / warmup

    def on_epoch_begin(self, args, state, control, *, model, **context):
        model.mask_ratio = self.ratio(round(state.epoch or 0))

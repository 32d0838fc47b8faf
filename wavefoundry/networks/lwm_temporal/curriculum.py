"""The curriculum of masked channel modelling: from epoch to epoch the masks grow harder."""

from collections.abc import Sequence

from transformers import TrainerCallback

from wavefoundry.networks.lwm_temporal.options import Masking


class MaskingCurriculum(TrainerCallback):
    """Sets the model's `mask_ratio` and `mask_strategies` at the start of each epoch.

    Source: model card of LWM-Temporal, pretraining: over the warm-up the ratio grows, or the choice of strategies.

    A function of the epoch alone, so that an interrupted training goes on as it would have.
    """

    def __init__(self, masking: Masking):
        self._masking = masking

    def ratio(self, epoch: int) -> float:
        """Share of hidden tokens in an epoch, counted from 0: rises linearly over the warm-up epochs."""
        low, high = self._masking.min_mask_ratio, self._masking.max_mask_ratio
        return low + (high - low) * self._progress(epoch) if self._masking.curriculum == "ratio" else high

    def strategies(self, epoch: int) -> Sequence[str]:
        """Strategies of an epoch: at first one, at the end of the warm-up all, in the order of the parameters."""
        known = self._masking.strategies
        if self._masking.curriculum == "ratio":
            return known
        return known[: 1 + int((len(known) - 1) * self._progress(epoch))]

    def _progress(self, epoch: int) -> float:
        warmup = self._masking.warmup_epochs
        return 1.0 if epoch >= warmup else epoch / warmup

    def on_epoch_begin(self, args, state, control, **context):
        model, epoch = context["model"], round(state.epoch or 0)
        model.mask_ratio, model.mask_strategies = self.ratio(epoch), self.strategies(epoch)

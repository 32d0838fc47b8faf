"""Pictures of predictions: the true map, and of every predictor its map and its error."""

from pathlib import Path

import numpy as np

DYNAMIC_RANGE_DB = 40
COLUMNS = 6


def draw_maps(
    target: np.ndarray, predicted: dict[str, np.ndarray], subcarrier_spacing: float, title: str, path: Path
) -> None:
    """One panel per predictor, its angle-delay map above and the magnitude of its error below; the truth comes first.

    Args:
        target: complex (angle, delay).
        predicted: complex (angle, delay) of each predictor by name.
        subcarrier_spacing: of the channels behind the maps [Hz]; it says how far delay bins lie apart.
        title: headline.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    top = _level(target).max()
    panels = 1 + len(predicted)
    rows = -(-panels // COLUMNS)
    figure = Figure(figsize=(2.0 * COLUMNS, 2.9 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for empty in axes[panels:]:
        empty.axis("off")
    show = {"origin": "lower", "aspect": "auto", "cmap": "viridis", "vmin": top - DYNAMIC_RANGE_DB, "vmax": top}
    nothing = np.full_like(target, np.nan)
    last = target.shape[1] - 1
    latest_ns = 1e9 * last / (target.shape[1] * subcarrier_spacing)
    shown = {"truth": (target, nothing)} | {name: (estimate, estimate - target) for name, estimate in predicted.items()}
    for panel, (name, (estimate, error)) in zip(axes, shown.items(), strict=False):
        image = panel.imshow(_stacked(estimate, error), **show)
        told = name.replace("_", " ")
        if name in predicted:
            told += f"\nerror {_level(np.linalg.norm(error)) - _level(np.linalg.norm(target)):.1f} dB"
        panel.set_title(told, fontsize="small")
        panel.set(yticks=[])
        panel.set_xticks([0, last], ["0", f"{latest_ns:.0f}"], fontsize="x-small")
    figure.supxlabel("delay [ns]", fontsize="small")
    figure.supylabel(f"{len(target)} angle bins: the map above, its error below", fontsize="small")
    figure.colorbar(image, ax=axes, label="magnitude [dB]", shrink=0.8, aspect=40, pad=0.01)
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _stacked(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Levels of two maps with their angles in rising order, a blank row between them."""
    blank = np.full((1, above.shape[1]), np.nan)
    return np.concatenate([np.fft.fftshift(_level(below), axes=0), blank, np.fft.fftshift(_level(above), axes=0)])


def _level(values: np.ndarray | np.floating) -> np.ndarray:
    return 20 * np.log10(np.maximum(np.abs(values), 1e-30))

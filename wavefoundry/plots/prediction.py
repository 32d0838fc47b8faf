"""Pictures of predictions: true, predicted and error maps side by side."""

from pathlib import Path

import numpy as np

DYNAMIC_RANGE_DB = 40


def draw_maps(target: np.ndarray, predicted: dict[str, np.ndarray], title: str, path: Path) -> None:
    """One column per predictor: its angle-delay map above, the magnitude of its error below, the truth on the left.

    Args:
        target: complex (angle, delay).
        predicted: complex (angle, delay) of each predictor by name.
        title: headline.
        path: PNG file to write.
    """
    from matplotlib.figure import Figure

    top = _level(target).max()
    columns = 1 + len(predicted)
    figure = Figure(figsize=(2.1 * columns, 4.6), layout="constrained")
    axes = figure.subplots(2, columns, sharex=True, sharey=True)
    show = {"origin": "lower", "aspect": "auto", "vmin": top - DYNAMIC_RANGE_DB, "vmax": top}
    image = axes[0, 0].imshow(np.fft.fftshift(_level(target), axes=0), cmap="viridis", **show)
    axes[0, 0].set_title("truth", fontsize="medium")
    axes[1, 0].axis("off")
    for column, (name, estimate) in enumerate(predicted.items(), start=1):
        error = estimate - target
        nmse_db = 10 * np.log10(np.sum(np.abs(error) ** 2) / np.sum(np.abs(target) ** 2))
        axes[0, column].imshow(np.fft.fftshift(_level(estimate), axes=0), cmap="viridis", **show)
        axes[0, column].set_title(name.replace("_", " "), fontsize="medium")
        axes[1, column].imshow(np.fft.fftshift(_level(error), axes=0), cmap="viridis", **show)
        axes[1, column].set_title(f"error, {nmse_db:.1f} dB", fontsize="medium")
        axes[1, column].set_xlabel("delay bin")
    axes[0, 0].set_ylabel("angle bin")
    axes[1, 1].set_ylabel("angle bin")
    figure.colorbar(image, ax=axes, label="magnitude [dB]", shrink=0.8)
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _level(values: np.ndarray) -> np.ndarray:
    return 20 * np.log10(np.maximum(np.abs(values), 1e-30))

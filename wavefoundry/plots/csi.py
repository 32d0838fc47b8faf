"""Picture of CSI of any origin: its power over delay, direction and Doppler shift, and the gain of its samples."""

from pathlib import Path

import numpy as np

COLOUR = "#2a6f97"
FLOOR = -50.0  # of the profiles under their top [dB]


def draw_csi(
    csi: np.ndarray,
    array_shape: tuple[int, int, int],
    spacings: tuple[float | None, float],
    title: str,
    path: Path,
) -> None:
    """Write the picture as PNG; the same CSI gives the same bytes.

    Args:
        csi: complex (sample, time, antenna, subcarrier), some samples.
        array_shape: (polarisations, rows, columns) of the antennas.
        spacings: of slots [s], None where there is one, and of subcarriers [Hz].
        title: headline.
        path: file to write; its folder is created.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    gain_db = 10 * np.log10(np.mean(np.abs(csi.astype(np.complex128)) ** 2, axis=(1, 2, 3)))
    profiles = power_profiles(csi, array_shape, spacings)
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 2).flatten()
    for panel, (label, (positions, power)) in zip(panels, profiles.items(), strict=False):
        level = np.maximum(10 * np.log10(np.maximum(power / power.max(), 1e-12)), FLOOR)
        panel.fill_between(positions, level, FLOOR, color=COLOUR, alpha=0.25, linewidth=0)
        panel.plot(positions, level, color=COLOUR, linewidth=1.5)
        panel.set(xlabel=label, ylabel="mean power in dB", ylim=(FLOOR, 2), xlim=(positions[0], positions[-1]))
    panels[2].set_visible(len(profiles) == 3)
    panels[3].hist(gain_db, bins=min(40, max(5, len(gain_db) // 10)), color=COLOUR, alpha=0.85)
    panels[3].axvline(np.median(gain_db), color="black", linewidth=1)
    panels[3].set(xlabel=f"gain of a sample in dB, median {np.median(gain_db):.1f}", ylabel="samples")
    for panel in panels:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the name of the software: it carries a version and would tie the bytes to it.
    figure.savefig(path, dpi=120, metadata={"Software": None})


def power_profiles(
    csi: np.ndarray, array_shape: tuple[int, int, int], spacings: tuple[float | None, float]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean power over delay, direction along the rows of the array, and Doppler shift; all samples weigh the same.

    Args:
        csi: as in `draw_csi`.
        array_shape: as in `draw_csi`.
        spacings: as in `draw_csi`.

    Returns:
        {label of the axis: (positions, power)}, positions rising; no Doppler shift of one slot.
    """
    slot, subcarrier = spacings
    scale = np.sqrt(np.mean(np.abs(csi) ** 2, axis=(1, 2, 3), keepdims=True))
    values = (csi / scale).reshape(*csi.shape[:2], *array_shape, csi.shape[-1])
    delay = np.fft.ifft(values, axis=-1)
    # Spatial frequency of a wave from direction u: exp(j 2 pi n spacing u_y), with the sign of its Doppler shift.
    direction = np.fft.fftshift(np.fft.fft(values, axis=4), axes=4)
    count = delay.shape[-1]
    profiles = {
        "delay in µs": (np.arange(count) / (count * subcarrier) * 1e6, _mean_power(delay, 5)),
        "spatial frequency along a row, in turns per antenna": (
            np.fft.fftshift(np.fft.fftfreq(array_shape[2])),
            _mean_power(direction, 4),
        ),
    }
    if slot is not None:
        doppler = np.fft.fftshift(np.fft.fft(values, axis=1), axes=1)
        frequencies = np.fft.fftshift(np.fft.fftfreq(csi.shape[1], slot))
        profiles["Doppler shift in Hz"] = (frequencies, _mean_power(doppler, 1))
    return profiles


def _mean_power(values: np.ndarray, axis: int) -> np.ndarray:
    return np.mean(np.abs(values) ** 2, axis=tuple(other for other in range(values.ndim) if other != axis))

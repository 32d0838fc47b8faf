"""Pictures of angle-delay maps: an animation over time and the strongest bins as curves."""

from pathlib import Path

import numpy as np

FRAMES_PER_SECOND = 6


def animate(
    angle_delay: np.ndarray,
    times: np.ndarray,
    delays: np.ndarray,
    array_shape: tuple[int, int, int],
    title: str,
    path: Path,
) -> None:
    """Animated map of one user (GIF), with the three strongest bins followed over time.

    Args:
        angle_delay: complex (time, angle, delay).
        times: (time,) [s].
        delays: (delay,) centre of each delay bin [s].
        array_shape: (polarisations, rows, columns) of the antennas behind the angle bins.
        title: headline.
        path: file to write, ending in .gif.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    level = 20 * np.log10(np.maximum(np.abs(angle_delay), 1e-12))
    top = float(level.max())
    # Zero angle in the middle of each axis of the array: bins beyond N/2 are negative spatial frequencies.
    level = np.fft.fftshift(level.reshape(len(level), *array_shape, -1), axes=(2, 3)).reshape(level.shape)
    half_delay = (delays[1] - delays[0]) / 2 if len(delays) > 1 else 0.5
    low, high, label = _angle_axis(array_shape)
    extent = ((delays[0] - half_delay) * 1e6, (delays[-1] + half_delay) * 1e6, low, high)
    figure = Figure(figsize=(10, 4), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
    image = left.imshow(level[0], origin="lower", aspect="auto", extent=extent, vmin=top - 40, vmax=top, cmap="viridis")
    left.set(xlabel="delay [µs]", ylabel=label)
    figure.colorbar(image, ax=left, label="magnitude [dB]")
    strongest = np.argsort(np.mean(np.abs(angle_delay) ** 2, axis=0), axis=None)[::-1][:3]
    for flat in strongest:
        angle, delay = np.unravel_index(flat, angle_delay.shape[1:])
        curve = 20 * np.log10(np.maximum(np.abs(angle_delay[:, angle, delay]), 1e-12))
        right.plot(times * 1e3, curve, marker=".", label=f"angle bin {angle}, delay bin {delay}")
    right.set(xlabel="time [ms]", ylabel="magnitude [dB]", title="strongest bins")
    right.grid(alpha=0.3)
    right.legend(fontsize="small")
    now = right.axvline(times[0] * 1e3, color="black", linewidth=1)
    figure.suptitle(title)

    headline = left.set_title("t = 0.0 ms")
    figure.draw_without_rendering()
    # Only these change; all else is laid out and drawn once, which takes longer than all frames together.
    figure.set_layout_engine("none")
    moving = (image, headline, now)
    for artist in moving:
        artist.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    frames = []
    for step, moment in enumerate(times):
        image.set_data(level[step])
        headline.set_text(f"t = {moment * 1e3:.1f} ms")
        now.set_xdata([moment * 1e3] * 2)
        canvas.restore_region(still)
        for artist in moving:
            artist.axes.draw_artist(artist)
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=1000 // FRAMES_PER_SECOND, loop=0)


def _angle_axis(array_shape: tuple[int, int, int]) -> tuple[float, float, str]:
    """Lower end, upper end and label of the angle axis."""
    polarisations, rows, columns = array_shape
    if polarisations * rows == 1:
        lowest = np.fft.fftfreq(columns).min()
        return lowest - 0.5 / columns, lowest + 1 - 0.5 / columns, "spatial frequency [cycles/element]"
    return -0.5, polarisations * rows * columns - 0.5, f"angle bin, {columns} azimuths for each of {rows} elevations"

"""Channels of plane waves, whose axes are known."""

import numpy as np


def channels(samples=200, size=(16, 16, 16), seed=0, delay_turns=0.1, doppler_turns=0.05, sector=60.0, paths=8):
    """Plane waves: delays exponential from 0 on, Doppler shifts of both signs, directions of a sector of the array.

    Args:
        delay_turns: mean delay in periods of the subcarrier spacing.
        doppler_turns: largest Doppler shift in turns per slot.
        sector: users stand at up to so many degrees from broadside of an array of half a wavelength.
    """
    generator = np.random.default_rng(seed)
    time, antenna, subcarrier = (np.arange(length)[:, None] for length in size)
    user = generator.uniform(-sector, sector, samples)
    csi = []
    for direction in user:
        gain = generator.standard_normal(paths) + 1j * generator.standard_normal(paths)
        delay = generator.exponential(delay_turns, paths)
        gain *= np.exp(-delay / delay_turns / 2)
        angle = np.radians(direction + 10 * generator.standard_normal(paths))
        doppler = doppler_turns * np.cos(generator.uniform(0, 2 * np.pi, paths))
        waves = [
            np.exp(2j * np.pi * doppler * time),
            np.exp(1j * np.pi * np.sin(angle) * antenna),
            np.exp(-2j * np.pi * delay * subcarrier),
        ]
        csi.append(np.einsum("p,tp,np,kp->tnk", gain, *waves))
    return np.array(csi, np.complex64) * 1e-7

"""Geometry of the base-station array."""

import numpy as np

from wavefoundry.twin.options import Array


def element_positions(array: Array) -> np.ndarray:
    """Positions (antenna, xyz) [wavelengths] of the antennas, centred, in the y-z plane of the base station.

    Order: polarisation by polarisation, in each row by row from the top (largest z), in a row by rising y. The two
    polarisations of an element are at the same place.
    """
    y = (np.arange(array.columns) - (array.columns - 1) / 2) * array.spacing
    z = ((array.rows - 1) / 2 - np.arange(array.rows)) * array.spacing
    z, y = np.meshgrid(z, y, indexing="ij")
    elements = np.stack([np.zeros_like(y), y, z], axis=-1).reshape(-1, 3)
    return np.tile(elements, (array.polarisations, 1))


def from_sionna_order(array: Array) -> np.ndarray:
    """Indices that bring antennas from sionna's order into that of `element_positions`.

    Sionna counts polarisation by polarisation too, but in each column by column.
    """
    index = np.arange(array.antennas).reshape(array.polarisations, array.columns, array.rows)
    return index.swapaxes(1, 2).ravel()


def rotation_matrix(orientation: list[float]) -> np.ndarray:
    """Rotation (3, 3) from the base station's frame to the scene's: R_z(a) R_y(b) R_x(c), TR 38.901 eq. 7.1-4."""
    (sin_a, sin_b, sin_c), (cos_a, cos_b, cos_c) = np.sin(orientation), np.cos(orientation)
    around_z = np.array([[cos_a, -sin_a, 0], [sin_a, cos_a, 0], [0, 0, 1]])
    around_y = np.array([[cos_b, 0, sin_b], [0, 1, 0], [-sin_b, 0, cos_b]])
    around_x = np.array([[1, 0, 0], [0, cos_c, -sin_c], [0, sin_c, cos_c]])
    return around_z @ around_y @ around_x

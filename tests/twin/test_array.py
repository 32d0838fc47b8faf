"""Array geometry: the order that the project states, and sionna's, name the same antennas."""

import numpy as np
import pytest
import torch

from wavefoundry.twin.array import element_positions, from_sionna_order, rotation_matrix
from wavefoundry.twin.options import Array

ARRAY = Array(rows=2, columns=4, spacing=0.7, pattern="iso", polarisation="V")
CROSSED = ARRAY.model_copy(update={"polarisation": "cross"})


def test_elements_are_centred_row_by_row_from_the_top():
    grid = element_positions(ARRAY).reshape(2, 4, 3)
    np.testing.assert_allclose(grid.mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(np.diff(grid, axis=1), np.broadcast_to([0, 0.7, 0], (2, 3, 3)), atol=1e-12)
    np.testing.assert_allclose(np.diff(grid, axis=0), np.broadcast_to([0, 0, -0.7], (1, 4, 3)), atol=1e-12)


def test_polarisations_are_at_the_same_places():
    assert CROSSED.antennas == 16
    np.testing.assert_array_equal(element_positions(CROSSED), np.tile(element_positions(ARRAY), (2, 1)))


@pytest.mark.parametrize("array", [ARRAY, CROSSED])
def test_sionna_antennas_in_the_order_of_the_project(array):
    from sionna.phy.channel.tr38901 import PanelArray

    panel = PanelArray(
        num_rows_per_panel=2,
        num_cols_per_panel=4,
        polarization="single" if array.polarisations == 1 else "dual",
        polarization_type=array.polarisation,
        antenna_pattern="omni",
        carrier_frequency=299792458.0,  # a wavelength of 1 m
        element_vertical_spacing=0.7,
        element_horizontal_spacing=0.7,
    )
    order = from_sionna_order(array)
    np.testing.assert_allclose(panel.ant_pos.numpy()[order], element_positions(array), atol=1e-6)
    np.testing.assert_array_equal(np.sort(order[:8]), panel.ant_ind_pol1.numpy())


def test_rotation_is_that_of_tr_38901():
    from sionna.phy.channel.tr38901 import PanelArray
    from sionna.phy.channel.tr38901.channel_coefficients import ChannelCoefficientsGenerator

    single = PanelArray(1, 1, "single", "V", "omni", carrier_frequency=1e9)
    generator = ChannelCoefficientsGenerator(1e9, single, single, subclustering=True)
    angles = [0.3, -0.5, 0.8]
    expected = generator._forward_rotation_matrix(torch.tensor(angles)).numpy()
    np.testing.assert_allclose(rotation_matrix(angles), expected, atol=1e-6)

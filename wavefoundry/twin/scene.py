"""Scenes of sionna-rt. Importing this module starts the ray tracer; import it where one is needed."""

# ruff: noqa: E402  (LLVM has to be in place before sionna-rt is imported)
from wavefoundry.twin.llvm import prepare_ray_tracer

prepare_ray_tracer()

import mitsuba as mi
import sionna.rt as rt

from wavefoundry.errors import InputError
from wavefoundry.twin.config import RayTracedTwin

TRANSMITTER = "base_station"


def load_geometry(name: str) -> rt.Scene:
    """Scene in which every object is a shape of its own, as the street map needs it."""
    return rt.load_scene(getattr(rt.scene, name), merge_shapes=False)


def load_radio_scene(twin: RayTracedTwin) -> rt.Scene:
    """Scene with the base station, ready for tracing; objects of one material are merged, which traces faster.

    Both ends have one vertically polarised element at the centre of the array: the array factor is a plane wave across
    the array (wavefoundry/csi/path_response.py), as in sionna-rt's synthetic arrays.

    Raises:
        InputError: a material of the scene is not defined at the carrier frequency.
    """
    scene = rt.load_scene(getattr(rt.scene, twin.scene), merge_shapes=True)
    try:
        scene.frequency = twin.carrier_frequency
    except ValueError as error:
        raise InputError(
            f"carrier_frequency {twin.carrier_frequency:g} Hz in the scene {twin.scene}: {error}"
        ) from None
    pattern = twin.base_station.array.pattern
    scene.tx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern=pattern, polarization="V")
    scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
    scene.add(
        rt.Transmitter(TRANSMITTER, mi.Point3f(twin.base_station.position), mi.Point3f(twin.base_station.orientation))
    )
    return scene

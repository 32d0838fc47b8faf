"""Scenes of sionna-rt and imported ones. Importing this module starts the ray tracer; import it where one is needed."""

# ruff: noqa: E402  (LLVM has to be in place before sionna-rt is imported)
from wavefoundry.twin.llvm import prepare_ray_tracer

prepare_ray_tracer()

from pathlib import Path
from xml.etree.ElementTree import ParseError

import drjit as dr  # noqa: F401  (offered to those who import this module, like mi and rt)
import mitsuba as mi
import numpy as np
import sionna.rt as rt

from wavefoundry.errors import InputError
from wavefoundry.twin.options import BUILT_IN_SCENES, BaseStation, RayTracedTwin

TRANSMITTER = "base_station"
# Directions of the sky that are tried from a base station.
SKY_DIRECTIONS = 400
# Free share of the sky below which a base station counts as shut in: walls of imported scenes may have cracks.
SHUT_IN = 0.01
# Mitsuba's words for a mesh without faces, of which it cannot compute the normals; one with normals is loaded.
FACELESS = ("operands have incompatible sizes", "Storing new normals in a Mesh")


def load_geometry(scene: str) -> rt.Scene:
    """Scene in which every object is a shape of its own, as the street map needs it.

    Args:
        scene: a scene of sionna-rt, or the path of a Mitsuba XML file.

    Raises:
        InputError: the file is missing or cannot be read, or a material is no radio material.
    """
    return _load(scene, merge_shapes=False)


def load_radio_scene(twin: RayTracedTwin, station: BaseStation) -> rt.Scene:
    """Scene with one base station, ready for tracing; objects of one material are merged, which traces faster.

    Both ends have one element at the centre of the array, the base station's with the polarisation of `twin.array`:
    the array factor is a plane wave across the array (wavefoundry/csi/path_response.py), as in sionna-rt's synthetic
    arrays.

    Args:
        twin: scene, carrier and array.
        station: one of `twin.base_stations`.

    Raises:
        InputError: the file of the scene is missing or cannot be read, a material is no radio material or not defined
            at the carrier frequency, or the base station is inside a building or below the ground.
    """
    scene = _load(twin.site.scene, merge_shapes=True)
    try:
        scene.frequency = twin.carrier_frequency
    except ValueError as error:
        raise InputError(
            f"carrier_frequency {twin.carrier_frequency:g} Hz in the scene {twin.site.scene}: {error}"
        ) from None
    _require_open_sky(scene, station, f"base_stations.{twin.base_stations.index(station)}.position", twin.site.scene)
    scene.tx_array = rt.PlanarArray(
        num_rows=1, num_cols=1, pattern=twin.array.pattern, polarization=twin.array.polarisation
    )
    scene.rx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
    scene.add(rt.Transmitter(TRANSMITTER, mi.Point3f(station.position), mi.Point3f(station.orientation)))
    return scene


def _load(scene: str, merge_shapes: bool) -> rt.Scene:
    if scene in BUILT_IN_SCENES:
        return rt.load_scene(getattr(rt.scene, scene), merge_shapes=merge_shapes)
    path = Path(scene)
    if not path.is_file():
        raise InputError(f"scene {scene}: no such file; allowed: {', '.join(BUILT_IN_SCENES)}, or a Mitsuba XML file")
    try:
        loaded = rt.load_scene(str(path.resolve()), merge_shapes=merge_shapes)
    except ParseError as error:
        raise InputError(f"scene {scene}: not an XML file ({error}); a Mitsuba XML file is allowed") from None
    except UnicodeDecodeError:
        raise InputError(f"scene {scene}: not a text file; a Mitsuba XML file is allowed") from None
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        # Of a failure inside a plug-in, Mitsuba gives the whole traceback.
        reason = str(error).strip().splitlines()[-1] if "Traceback" in str(error) else " ".join(str(error).split())
        if any(words in reason for words in FACELESS):
            reason = f"a mesh has no faces: {reason.partition(': failed')[0]}"
        raise InputError(
            f"scene {scene}: {reason}; allowed: a Mitsuba XML file whose meshes exist and have faces, and whose "
            'materials are radio materials, each a bsdf of type "itu-radio-material" or "radio-material", or named '
            '"itu_concrete", "itu_glass" and so on'
        ) from None
    if not loaded.objects:
        raise InputError(f"scene {scene}: it has no objects; ground and buildings are needed")
    for name, thing in loaded.objects.items():
        if isinstance(thing.mi_mesh, mi.Mesh) and not thing.mi_mesh.face_count():
            raise InputError(f"scene {scene}: the mesh of {name} has no faces; remove it, or export it with its faces")
    return loaded


def _require_open_sky(scene: rt.Scene, station: BaseStation, key: str, name: str) -> None:
    """Refuse a base station below the ground or inside a building.

    Below the ground nothing is below and something above. Inside a closed building next to no direction of the sky is
    free, whatever way the faces of its mesh are turned; on a wall about half of them are, under a bridge some.
    """
    below, above = _distances(scene, station.position, np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]))
    if np.isinf(above):
        return
    allowed = "allowed: a position under the open sky, on a mast, a roof or a wall"
    if np.isinf(below):
        raise InputError(f"{key} {station.position} is {above:.1f} m below the ground of {name}; {allowed}")
    free = np.isinf(_distances(scene, station.position, _sky())).mean()
    if free < SHUT_IN:
        raise InputError(
            f"{key} {station.position} is inside a building of {name}: {100 * free:.1f} % of the sky is free, and a "
            f"roof is {above:.1f} m above; {allowed}"
        )


def _sky() -> np.ndarray:
    """Unit vectors (direction, xyz), evenly spread over the upper half of the sphere (Fibonacci lattice)."""
    index = np.arange(SKY_DIRECTIONS)
    height = (index + 0.5) / SKY_DIRECTIONS
    turn = index * np.pi * (3 - np.sqrt(5))
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=-1)


def _distances(scene: rt.Scene, position: list[float], directions: np.ndarray) -> np.ndarray:
    """Distance [m] from the position to the next surface along each direction, infinite where there is none."""
    towards = mi.Vector3f(*(mi.Float(axis.astype(np.float32)) for axis in directions.T))
    return scene.mi_scene.ray_intersect_preliminary(mi.Ray3f(mi.Point3f(position), towards)).t.numpy()

"""Map of the open ground of a scene: where users can be, found by looking straight down on it."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wavefoundry.errors import InputError
from wavefoundry.twin.config import RayTracedTwin

# Rays start this far above the highest point of the scene [m].
MARGIN = 1.0


@dataclass(frozen=True)
class StreetMap:
    """Raster of the ground around a base station; cell [i, j] has its centre at `origin` + `cell_size` * (i, j).

    Attributes:
        origin: (2,) x and y of the centre of cell [0, 0] [m].
        cell_size: edge of a cell [m].
        open: (x, y) bool, ground under the open sky.
        walkable: (x, y) bool, open, connected, within the radius and at the clearance from every wall.
        ground: (x, y) height of the ground [m]; under buildings that of the nearest open cell.
    """

    origin: np.ndarray
    cell_size: float
    open: np.ndarray
    walkable: np.ndarray
    ground: np.ndarray

    def cells(self, points: np.ndarray) -> np.ndarray:
        """Cells (..., 2) in which the points (..., 2) [m] lie; cells off the map are possible."""
        return np.floor((points - self.origin) / self.cell_size + 0.5).astype(int)

    def is_walkable(self, points: np.ndarray) -> np.ndarray:
        """Whether the points (..., 2) [m] are walkable; points off the map are not."""
        cells = self.cells(points)
        inside = ((cells >= 0) & (cells < self.walkable.shape)).all(-1)
        cells = np.where(inside[..., None], cells, 0)
        return inside & self.walkable[cells[..., 0], cells[..., 1]]

    def height(self, points: np.ndarray) -> np.ndarray:
        """Height of the ground [m] under the points (..., 2) [m], bilinear between cell centres."""
        coordinates = np.moveaxis((points - self.origin) / self.cell_size, -1, 0)
        return ndimage.map_coordinates(self.ground, coordinates, order=1, mode="nearest")


def survey(twin: RayTracedTwin) -> StreetMap:
    """Map the scene around the base station. A cell is open where a vertical ray from above first meets the ground.

    The ground is the object of the scene with the largest horizontal extent. Courtyards that no street leads into are
    not walkable: only the largest connected part is.

    Raises:
        InputError: there is no walkable ground around the base station.
    """
    centre, radius = np.array(twin.base_station.position[:2]), twin.traffic.radius
    cell_size = twin.traffic.cell_size
    half = int(np.ceil((radius + twin.traffic.clearance) / cell_size)) + 1
    origin = centre - half * cell_size
    offsets = np.arange(2 * half + 1) * cell_size
    points = np.stack(np.meshgrid(origin[0] + offsets, origin[1] + offsets, indexing="ij"), axis=-1)
    height, is_open = _look_down(twin.scene, points)
    if not is_open.any():
        raise InputError(
            f"base_station.position {twin.base_station.position}: no open ground of {twin.scene} within {radius:g} m"
        )
    clear = ndimage.distance_transform_edt(_framed(is_open))[1:-1, 1:-1] * cell_size > twin.traffic.clearance
    within = np.linalg.norm(points - centre, axis=-1) <= radius
    walkable = _largest_part(clear & within)
    if not walkable.any():
        raise InputError(
            f"traffic.clearance {twin.traffic.clearance:g} m leaves no open ground of {twin.scene} within "
            f"{radius:g} m of the base station"
        )
    nearest = ndimage.distance_transform_edt(~is_open, return_distances=False, return_indices=True)
    return StreetMap(origin, cell_size, is_open, walkable, height[tuple(nearest)])


def _look_down(scene_name: str, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from wavefoundry.twin.scene import load_geometry, mi

    scene = load_geometry(scene_name)
    ground = max((item.mi_mesh for item in scene.objects.values()), key=_horizontal_area)
    top = scene.mi_scene.bbox().max.z + MARGIN
    x, y = points.reshape(-1, 2).T.astype(np.float32)
    hit = scene.mi_scene.ray_intersect(mi.Ray3f(mi.Point3f(mi.Float(x), mi.Float(y), top), mi.Vector3f(0, 0, -1)))
    is_open = (hit.shape == mi.ShapePtr(ground)) & hit.is_valid()
    shape = points.shape[:-1]
    return (top - hit.t.numpy()).astype(float).reshape(shape), is_open.numpy().reshape(shape)


def _horizontal_area(mesh) -> float:
    box = mesh.bbox()
    return float((box.max.x - box.min.x) * (box.max.y - box.min.y))


def _framed(cells: np.ndarray) -> np.ndarray:
    """What lies off the raster counts as wall."""
    return np.pad(cells, 1, constant_values=False)


def _largest_part(cells: np.ndarray) -> np.ndarray:
    labels, count = ndimage.label(cells)
    if count == 0:
        return cells
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])

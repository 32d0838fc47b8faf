"""Map of the open ground of a scene: where users can be, found by looking straight down on it."""

from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import ndimage, sparse

from wavefoundry.errors import InputError
from wavefoundry.twin.options import Site

# Rays start this far above the highest point of the scene [m].
HEADROOM = 1.0
# The map reaches this far beyond the radius of the site [m]: a street goes on where the site ends.
MARGIN = 30.0
# Heights over the ground at which walls are looked for between cells [m].
EYE_HEIGHTS = (0.5, 1.5)
# Steepest ground [m/m]; a steeper step from cell to cell is a wall. Streets of San Francisco reach 0.35.
STEEPEST = 0.5


@dataclass(frozen=True)
class StreetMap:
    """Raster of the ground around a centre; cell [i, j] has its centre at `origin` + `cell_size` * (i, j).

    Attributes:
        origin: (2,) x and y of the centre of cell [0, 0] [m].
        cell_size: edge of a cell [m].
        centre: (2,) x and y of the centre of the site [m].
        radius: users stay within this distance of the centre [m].
        clearance: distance that users keep from walls [m].
        lane_offset: distance of lanes from the middle of their street [m].
        surface: (x, y) height of the highest surface, of ground or building [m]; NaN where there is none.
        ground: (x, y) height of the ground [m]; under buildings that of the nearest open cell.
        open: (x, y) bool, ground under the open sky, also beyond the radius.
        room: (x, y) distance from the middle of a cell to the nearest wall [m], never more than it is; negative where
            there is no open ground, or none that is connected with the streets.
    """

    origin: np.ndarray
    cell_size: float
    centre: np.ndarray
    radius: float
    clearance: float
    lane_offset: float
    surface: np.ndarray
    ground: np.ndarray
    open: np.ndarray
    room: np.ndarray

    def centres(self, cells: np.ndarray) -> np.ndarray:
        """Points (..., 2) [m] in the middle of the cells (..., 2)."""
        return self.origin + self.cell_size * cells

    def height_at(self, points: np.ndarray) -> np.ndarray:
        """Height of the ground [m] under the points (..., 2) [m], bilinear between cell centres."""
        return self._interpolate(self.ground, points, mode="nearest")

    def room_at(self, points: np.ndarray) -> np.ndarray:
        """Distance from the points (..., 2) [m] to the nearest wall [m], bilinear; negative off the map."""
        return self._interpolate(self.room, points, mode="constant")

    def is_walkable(self, points: np.ndarray) -> np.ndarray:
        """Whether a user may be at the points (..., 2) [m]: within the radius, the clearance away from every wall."""
        return self.is_within(points) & (self.room_at(points) >= self.clearance)

    def is_within(self, points: np.ndarray) -> np.ndarray:
        """Whether the points (..., 2) [m] lie within the radius."""
        return np.linalg.norm(points - self.centre, axis=-1) <= self.radius

    def _interpolate(self, values: np.ndarray, points: np.ndarray, mode: str) -> np.ndarray:
        coordinates = np.moveaxis((points - self.origin) / self.cell_size, -1, 0)
        return ndimage.map_coordinates(values, coordinates, order=1, mode=mode, cval=-1.0)


def survey(site: Site) -> StreetMap:
    """Map the ground of a site.

    Courtyards and flat roofs are not walkable: only the largest connected part of the ground is.

    Raises:
        InputError: the scene cannot be loaded, or has no walkable ground around the centre.
    """
    from wavefoundry.twin.scene import load_geometry

    centre, traffic = np.array(site.centre), site.traffic
    half = int(np.ceil((site.radius + traffic.clearance + MARGIN) / traffic.cell_size)) + 1
    offsets = np.arange(-half, half + 1) * traffic.cell_size
    points = centre + np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=-1)
    scene = load_geometry(site.scene).mi_scene
    surface, shape = _look_down(scene, points)
    is_open = find_ground(surface, shape, traffic.cell_size)
    is_open &= ~_walled(scene, points, surface, is_open)
    within = np.linalg.norm(points - centre, axis=-1) <= site.radius
    if not (is_open & within).any():
        low, high = scene.bbox().min, scene.bbox().max
        raise InputError(
            f"centre {site.centre}: no open ground between buildings of {site.scene} within {site.radius:g} m of it; "
            "allowed: a centre among the streets of a scene with ground and buildings; this one reaches from "
            f"[{low.x:.0f}, {low.y:.0f}] to [{high.x:.0f}, {high.y:.0f}]"
        )
    nearest = ndimage.distance_transform_edt(~is_open, return_distances=False, return_indices=True)
    street_map = StreetMap(
        origin=points[0, 0],
        cell_size=traffic.cell_size,
        centre=centre,
        radius=site.radius,
        clearance=traffic.clearance,
        lane_offset=traffic.lane_offset,
        surface=surface,
        ground=surface[tuple(nearest)],
        open=is_open,
        room=measure_room(is_open, traffic.cell_size, traffic.clearance),
    )
    if not street_map.is_walkable(points).any():
        raise InputError(
            f"traffic.clearance {traffic.clearance:g} m leaves no open ground of {site.scene} within {site.radius:g} m "
            f"of {site.centre}"
        )
    return street_map


def surface_of(scene: str, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is seen of a whole scene from straight above.

    Args:
        scene: a scene of sionna-rt, or the path of a Mitsuba XML file.
        cells: along the longer side of the scene.

    Returns:
        x (n,) and y (m,) of the cells' centres [m], and the height of the highest surface (n, m) [m], NaN where there
        is none.

    Raises:
        InputError: the scene cannot be loaded.
    """
    from wavefoundry.twin.scene import load_geometry

    geometry = load_geometry(scene).mi_scene
    low, high = (np.array([corner.x, corner.y]) for corner in (geometry.bbox().min, geometry.bbox().max))
    size = (high - low).max() / cells
    x, y = (np.arange(low[axis] + size / 2, high[axis], size) for axis in (0, 1))
    height, _ = _look_down(geometry, np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1))
    return x, y, height


def measure_room(is_open: np.ndarray, cell_size: float, clearance: float) -> np.ndarray:
    """Distance [m] from cell centres to the nearest wall, negative off the largest connected part of the ground.

    A wall stands anywhere between the cell centres that are open and those that are not: it is taken to reach as far
    as the eight neighbours of the latter. What lies off the raster is a wall.
    """
    walls = ndimage.binary_dilation(np.pad(~is_open, 1, constant_values=True), np.ones((3, 3)))
    room = ndimage.distance_transform_edt(~walls)[1:-1, 1:-1] * cell_size
    passable = is_open & (room >= clearance)
    if not passable.any():
        return np.full_like(room, -cell_size)
    # The strip along its walls belongs to a part: cells nearer to it than to any other part.
    nearest = ndimage.distance_transform_edt(~passable, return_distances=False, return_indices=True)
    return np.where(is_open & largest_part(passable)[tuple(nearest)], room, -cell_size)


def largest_part(cells: np.ndarray) -> np.ndarray:
    """Those of the chosen cells (x, y) that are in their largest connected part."""
    labels, count = ndimage.label(cells)
    if count == 0:
        return cells
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])


def find_ground(height: np.ndarray, shape: np.ndarray, cell_size: float) -> np.ndarray:
    """Cells of open ground (x, y), from what is seen from above.

    An even part of the surface is one without steps. The ground is the largest even part from which most steps lead up
    (from a roof they lead down), with every object that is mostly in it: terrain, or ground, roads and pavements of
    several objects, or ground and buildings merged into one mesh. Without any step up there are no streets: none.

    Args:
        height: (x, y) of the highest surface [m], NaN where there is none.
        shape: (x, y) int, which object this surface belongs to.
        cell_size: [m].
    """
    part = _even_parts(height, STEEPEST * cell_size)
    size = np.bincount(part.ravel())
    up, down = _steps(height, part)
    candidates = np.where((up >= down) & (up > 0), size, 0)
    if not candidates.any():
        return np.zeros(height.shape, bool)
    ground = part == candidates.argmax()
    share = np.bincount(shape.ravel(), ground.ravel()) / np.maximum(np.bincount(shape.ravel()), 1)
    # A car's bonnet may be even with the street.
    return ground & (share > 0.5)[shape]


def _even_parts(height: np.ndarray, largest_step: float) -> np.ndarray:
    """Number of the even part (x, y) that each cell is in: neighbours in it differ by the largest step or less."""
    index = np.arange(height.size).reshape(height.shape)
    pairs = []
    for first, second in _neighbours(height.ndim):
        even = np.abs(height[first] - height[second]) <= largest_step
        pairs.append(np.stack([index[first][even], index[second][even]]))
    row, column = np.concatenate(pairs, axis=1)
    links = sparse.coo_matrix((np.ones(len(row), bool), (row, column)), shape=(height.size, height.size))
    return sparse.csgraph.connected_components(links, directed=False)[1].reshape(height.shape)


def _steps(height: np.ndarray, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many steps (part,) lead up from each part and how many down, over its rim."""
    count = part.max() + 1
    up, down = np.zeros(count), np.zeros(count)
    for first, second in _neighbours(height.ndim):
        rim = part[first] != part[second]
        for here, there in ((first, second), (second, first)):
            rise = height[there][rim] - height[here][rim]
            up += np.bincount(part[here][rim], rise > 0, minlength=count)
            down += np.bincount(part[here][rim], rise < 0, minlength=count)
    return up, down


def _neighbours(axes: int) -> list[tuple[tuple, tuple]]:
    """Pairs of slices that select each cell and its next neighbour along every axis."""
    whole = [slice(None)] * axes
    pairs = []
    for axis in range(axes):
        first, second = whole.copy(), whole.copy()
        first[axis], second[axis] = slice(None, -1), slice(1, None)
        pairs.append((tuple(first), tuple(second)))
    return pairs


def _look_down(scene, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height [m] of the highest surface at the points (x, y, 2), NaN where there is none, and the object it is of."""
    from wavefoundry.twin.scene import dr, mi

    top = scene.bbox().max.z + HEADROOM
    x, y = points.reshape(-1, 2).T.astype(np.float32)
    down = mi.Ray3f(mi.Point3f(mi.Float(x), mi.Float(y), top), mi.Vector3f(0, 0, -1))
    hit = scene.ray_intersect_preliminary(down)
    height = np.where(hit.is_valid().numpy(), top - hit.t.numpy().astype(float), np.nan)
    objects = cast(mi.UInt32, dr.reinterpret_array(mi.UInt32, hit.shape))
    _, shape = np.unique(objects.numpy(), return_inverse=True)
    return height.reshape(points.shape[:-1]), shape.reshape(points.shape[:-1])


def _walled(scene, points: np.ndarray, surface: np.ndarray, is_open: np.ndarray) -> np.ndarray:
    """Open cells (x, y) between which something stands that is too thin to be seen from above, on both its sides."""
    from wavefoundry.twin.scene import mi

    walled = np.zeros_like(is_open)
    ground = np.concatenate([points, surface[..., None]], axis=-1)
    for first, second in _neighbours(is_open.ndim):
        pairs = np.flatnonzero(is_open[first] & is_open[second])
        if not len(pairs):
            continue
        ends = [ground[part].reshape(-1, 3)[pairs] for part in (first, second)]
        between = np.zeros(is_open[first].shape, bool)
        for height in EYE_HEIGHTS:
            start = (ends[0] + [0, 0, height]).T.astype(np.float32)
            way = (ends[1] - ends[0]).T.astype(np.float32)
            ray = mi.Ray3f(mi.Point3f(*map(mi.Float, start)), mi.Vector3f(*map(mi.Float, way)))
            ray.maxt = 1.0  # type: ignore[assignment]  # mitsuba takes numbers; its stubs know arrays alone
            between.flat[pairs] |= scene.ray_test(ray).numpy()
        walled[first] |= between
        walled[second] |= between
    return walled

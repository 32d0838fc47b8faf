"""Streets of a map: lanes that vehicles drive on, how they lead on at crossings, and pavements along the walls.

The middle line of a street is where the ground is farthest from walls: the skeleton of the ground that is wide enough
for vehicles. Every street has a lane on each side of it; traffic keeps to the right.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from wavefoundry.twin.street_map import StreetMap, largest_part

# Room that a lane needs beyond the clearance, on both sides of the middle line [m].
LANE_ROOM = 0.5
# Ways keep this much more than the clearance [m], so that a straight window in a bend does not fall below it.
SLACK = 0.1
# Distance of the points of a way [m].
SPACING = 0.5
# Middle lines and pavements are smoothed over this length (standard deviation) [m].
SMOOTHING = {"street": 4.0, "pavement": 1.0}
# A crossing is at most this far from its middle to where lanes begin [m].
CROSSING = 12.0
# Shorter streets and pavements are left out [m]; in a narrow alley there are rings of a few metres.
SHORTEST = {"street": 10.0, "pavement": 25.0}
# Distances of pedestrians from the clearance [m].
PAVEMENTS = (SLACK, 0.7, 1.3)
# Directions at the ends of a lane are taken over this length [m].
HEADING_LENGTH = 4.0


@dataclass(frozen=True)
class Turn:
    """How one lane leads into another.

    Attributes:
        lane: index of the lane that is entered.
        way: (point, 2) from the end of the one lane to the start of the other, both excluded [m].
        angle: change of heading, to the left positive, from -pi to pi [rad].
    """

    lane: int
    way: np.ndarray
    angle: float


@dataclass(frozen=True)
class Streets:
    """Ways of vehicles.

    Attributes:
        middle: middle lines of the streets, each (point, 2) [m].
        lanes: (point, 2) [m] each, in driving direction.
        turns: for each lane what it leads on to; never empty.
    """

    middle: list[np.ndarray]
    lanes: list[np.ndarray]
    turns: list[list[Turn]]


def find_streets(street_map: StreetMap) -> Streets:
    """Lanes of the streets within the radius of the map, connected at crossings and dead ends.

    Every point of a lane or turn is walkable (StreetMap.is_walkable). Where a street is too narrow for the lane offset
    of the map, its lanes are nearer to its middle.
    """
    edges = _clip(_Graph.of(street_map), street_map)
    leave = [node for edge in edges for node in (edge.start, edge.end)]
    arrive = [node for edge in edges for node in (edge.end, edge.start)]
    lanes = []
    for edge in edges:
        lanes += _lanes(street_map, edge, [leave.count(node) == 1 for node in (edge.start, edge.end)])
    turns = []
    for one, node in enumerate(arrive):
        # Lane 2 i follows the middle line of edge i, lane 2 i + 1 comes back.
        back = one ^ 1
        others = [other for other, start in enumerate(leave) if start == node and other != back]
        turns.append(_turns(street_map, lanes, one, others) or _turns(street_map, lanes, one, [back]))
    return _without_traps(Streets([edge.line for edge in edges], lanes, turns))


def find_pavements(street_map: StreetMap) -> list[np.ndarray]:
    """Ways of pedestrians along the walls, each (point, 2) [m]; a way round a block ends where it begins."""
    nearest = ndimage.distance_transform_edt(street_map.open, return_distances=False, return_indices=True)
    # Not along the edge of the scene.
    beside_wall = ~np.isnan(street_map.surface[tuple(nearest)])
    return [way for level in PAVEMENTS for way in _contours(street_map, beside_wall, level)]


def distances_along(way: np.ndarray) -> np.ndarray:
    """Distances (point,) [m] of the points of a way (point, axis) from its first one, along it."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])


def length(way: np.ndarray) -> float:
    """Length [m] of a way (point, axis)."""
    return float(distances_along(way)[-1])


@dataclass(frozen=True)
class _Edge:
    """Street between two nodes; `line` (point, 2) [m] runs from the one to the other."""

    start: int
    end: int
    line: np.ndarray


class _Graph:
    """Streets as edges between nodes (crossings and dead ends); `room` holds the distance to walls at each node [m]."""

    def __init__(self, edges: list[_Edge], room: dict[int, float]):
        self.edges, self.room = edges, room

    @classmethod
    def of(cls, street_map: StreetMap) -> "_Graph":
        """The skeleton of the drivable ground, without its spurs into corners."""
        graph = cls(*_trace_skeleton(street_map))
        while True:
            spurs = graph._spurs()
            if not spurs or len(spurs) == len(graph.edges):
                return graph._joined()._contracted()
            graph = cls([edge for index, edge in enumerate(graph.edges) if index not in spurs], graph.room)._joined()

    def _at(self) -> dict[int, list[int]]:
        """Edges at every node; a loop counts twice."""
        found: dict[int, list[int]] = {}
        for index, edge in enumerate(self.edges):
            found.setdefault(edge.start, []).append(index)
            found.setdefault(edge.end, []).append(index)
        return found

    def _spurs(self) -> set[int]:
        """Dead ends that reach hardly beyond the width of the street that they leave."""
        at, spurs = self._at(), set()
        for index, edge in enumerate(self.edges):
            for end, other in ((edge.start, edge.end), (edge.end, edge.start)):
                if (
                    len(at[end]) == 1
                    and len(at[other]) > 1
                    and length(edge.line) < 1.5 * self.room[other] + SHORTEST["street"]
                ):
                    spurs.add(index)
        return spurs

    def _joined(self) -> "_Graph":
        """Two edges that alone meet at a node become one."""
        edges = dict(enumerate(self.edges))
        at = self._at()
        for node, indices in at.items():
            if len(indices) != 2 or indices[0] == indices[1]:
                continue
            first, second = (edges[index] for index in indices)
            first = first if first.end == node else _Edge(first.end, first.start, first.line[::-1])
            second = second if second.start == node else _Edge(second.end, second.start, second.line[::-1])
            kept, gone = indices
            edges[kept] = _Edge(first.start, second.end, np.concatenate([first.line, second.line]))
            del edges[gone]
            at[second.end] = [kept if index == gone else index for index in at[second.end]]
        return _Graph(list(edges.values()), self.room)

    def _contracted(self) -> "_Graph":
        """With crossings that lie within each other's width as one: a skeleton splits four arms into two threes."""
        at = self._at()
        crossing = {node: node for node in at}

        def root(node: int) -> int:
            while crossing[node] != node:
                node = crossing[node]
            return node

        kept = []
        for edge in self.edges:
            room = min(max(self.room[edge.start], self.room[edge.end]), CROSSING)
            inner = len(at[edge.start]) > 2 and len(at[edge.end]) > 2 and edge.start != edge.end
            if inner and length(edge.line) < 1.5 * room:
                crossing[root(edge.end)] = root(edge.start)
            else:
                kept.append(edge)
        return _Graph([_Edge(root(edge.start), root(edge.end), edge.line) for edge in kept], self.room)


def _trace_skeleton(street_map: StreetMap) -> tuple[list[_Edge], dict[int, float]]:
    """Edges of the skeleton, and the room [m] at its nodes: cells with other than two neighbours."""
    from skimage.morphology import skeletonize

    skeleton = skeletonize(largest_part(street_map.room >= street_map.clearance + LANE_ROOM))
    cells = np.argwhere(skeleton)
    links = _links(skeleton)
    paths, passed = [], set()
    # A ring that no street leads to has no such cell: it begins anywhere.
    for start in sorted(range(len(cells)), key=lambda cell: len(links[cell]) == 2):
        if len(links[start]) == 2 and start in passed:
            continue
        for step in links[start][:1] if len(links[start]) == 2 else links[start]:
            path = [start, step]
            while len(links[path[-1]]) == 2 and path[-1] != start:
                path.append(next(cell for cell in links[path[-1]] if cell != path[-2]))
            passed.update(path)
            # Every path is walked from both of its ends.
            if len(links[start]) == 2 or (path[0], path[1]) <= (path[-1], path[-2]):
                paths.append(path)
    edges = [_Edge(path[0], path[-1], street_map.centres(cells[path])) for path in paths]
    return edges, {end: float(street_map.room[tuple(cells[end])]) for path in paths for end in (path[0], path[-1])}


def _links(skeleton: np.ndarray) -> list[list[int]]:
    """Neighbours of every cell of the skeleton, cells counted in the order of argwhere.

    A diagonal neighbour counts only where no straight neighbour leads to it: a corner is no crossing.
    """
    index = np.full(np.array(skeleton.shape) + 2, -1)
    inner = index[1:-1, 1:-1]
    inner[skeleton] = np.arange(skeleton.sum())
    links: list[list[int]] = [[] for _ in range(skeleton.sum())]
    for x, y in np.argwhere(index >= 0):
        here = index[x, y]
        for towards in ((1, 0), (0, 1), (1, 1), (1, -1)):
            there = index[x + towards[0], y + towards[1]]
            detour = all(towards) and max(index[x + towards[0], y], index[x, y + towards[1]]) >= 0
            if there >= 0 and not detour:
                links[here].append(int(there))
                links[there].append(int(here))
    return links


def _clip(graph: _Graph, street_map: StreetMap) -> list[_Edge]:
    """The smoothed streets within the radius; where one leaves it, there is a dead end."""
    edges, next_node = [], 1 + max((max(edge.start, edge.end) for edge in graph.edges), default=0)
    for edge in graph.edges:
        line = _safe(street_map, _smooth(_resample(edge.line), SMOOTHING["street"]), _resample(edge.line), within=False)
        # Room to turn round at the rim.
        inside = np.linalg.norm(line - street_map.centre, axis=1) <= street_map.radius - SPACING
        for run in _runs(inside):
            start, end = edge.start, edge.end
            if run[0] > 0:
                start, next_node = next_node, next_node + 1
            if run[-1] < len(line) - 1:
                end, next_node = next_node, next_node + 1
            if length(line[run]) >= SHORTEST["street"]:
                edges.append(_Edge(start, end, line[run]))
    return edges


def _lanes(street_map: StreetMap, edge: _Edge, dead_ends: list[bool]) -> list[np.ndarray]:
    """The lane along the edge and the one back; both end where the crossing begins, or the room to turn round."""
    lanes = []
    for line, dead in ((edge.line, dead_ends), (edge.line[::-1], dead_ends[::-1])):
        room = street_map.room_at(line)
        steps = int(2 * SMOOTHING["street"] / SPACING)
        offset = np.clip(room - street_map.clearance - 2 * SLACK, 0.0, street_map.lane_offset)
        offset = ndimage.uniform_filter1d(
            ndimage.minimum_filter1d(offset, steps, mode="nearest"), steps, mode="nearest"
        )
        direction = np.gradient(line, axis=0)
        right = np.stack([direction[:, 1], -direction[:, 0]], axis=-1)
        right /= np.linalg.norm(right, axis=1, keepdims=True)
        lane = _safe(street_map, line + offset[:, None] * right, line, within=True)
        short = [offset[end] if dead[end] else min(room[end], CROSSING) for end in (0, -1)]
        first, last = (int(min(distance / SPACING, 0.4 * len(line))) for distance in short)
        lanes.append(lane[first : len(lane) - last])
    return lanes


def _turns(street_map: StreetMap, lanes: list[np.ndarray], one: int, others: list[int]) -> list[Turn]:
    """From the end of one lane to the starts of others, as far as there is a walkable way."""
    turns = []
    for other in others:
        start, end = lanes[one][-1], lanes[other][0]
        away, towards = _heading(start - lanes[one]), _heading(lanes[other] - end)
        turned = np.arctan2(towards[1], towards[0]) - np.arctan2(away[1], away[0])
        angle = float((turned + np.pi) % (2 * np.pi) - np.pi)
        # Round where possible; two thirds make a half circle of a turn back.
        reaches = (2 / 3 if abs(angle) > 0.75 * np.pi else 0.4, 0.2, 0.0)
        ways = (_bend(start, end, away, towards, reach) for reach in reaches)
        way = next((way for way in ways if _is_safe(street_map, way).all()), None)
        if way is not None:
            turns.append(Turn(other, way, angle))
    return turns


def _bend(start: np.ndarray, end: np.ndarray, away: np.ndarray, towards: np.ndarray, reach: float) -> np.ndarray:
    """Inner points (point, 2) of a cubic Bezier curve that leaves and arrives in the given directions."""
    distance = np.linalg.norm(end - start)
    along = np.linspace(0, 1, max(int(np.ceil(2 * distance / SPACING)), 4) + 1)[1:-1, None]
    weights = (1 - along) ** 3, 3 * (1 - along) ** 2 * along, 3 * (1 - along) * along**2, along**3
    points = start, start + reach * distance * away, end - reach * distance * towards, end
    return sum((weight * point for weight, point in zip(weights, points, strict=True)), np.zeros(2))


def _heading(offsets: np.ndarray) -> np.ndarray:
    """Unit vector of the way to (or from) the end of a lane, given the vectors between its points and that end."""
    distance = np.linalg.norm(offsets, axis=1)
    chosen = offsets[np.argmin(np.abs(distance - HEADING_LENGTH))]
    return chosen / np.linalg.norm(chosen)


def _without_traps(streets: Streets) -> Streets:
    """Without lanes from which nothing leads on."""
    turns = dict(enumerate(streets.turns))
    while traps := [lane for lane, onward in turns.items() if not onward]:
        for trap in traps:
            del turns[trap]
        turns = {lane: [turn for turn in onward if turn.lane in turns] for lane, onward in turns.items()}
    number = {lane: index for index, lane in enumerate(turns)}
    renumbered = [[Turn(number[turn.lane], turn.way, turn.angle) for turn in onward] for onward in turns.values()]
    return Streets(streets.middle, [streets.lanes[lane] for lane in turns], renumbered)


def _contours(street_map: StreetMap, chosen: np.ndarray, level: float) -> list[np.ndarray]:
    """Lines (point, 2) of equal distance to the walls, `level` [m] beyond the clearance, in the chosen cells (x, y)."""
    from skimage.measure import find_contours

    ways = []
    for contour in find_contours(street_map.room, street_map.clearance + level):
        line = _resample(street_map.centres(contour))
        line = _safe(street_map, _smooth(line, SMOOTHING["pavement"]), line, within=False)
        cells = np.round((line - street_map.origin) / street_map.cell_size).astype(int)
        good = _is_safe(street_map, line) & chosen[cells[:, 0], cells[:, 1]]
        if not good.all() and np.array_equal(line[0], line[-1]):
            # So that a round way that is cut begins at a cut, not in the middle of a piece.
            turn = int(np.argmin(good))
            line, good = np.roll(line[:-1], -turn, axis=0), np.roll(good[:-1], -turn)
        ways += [line[run] for run in _runs(good) if length(line[run]) >= SHORTEST["pavement"]]
    return ways


def _resample(line: np.ndarray) -> np.ndarray:
    """Points at about equal distances along a line, its ends among them."""
    along = distances_along(line)
    at = np.linspace(0, along[-1], max(int(np.ceil(along[-1] / SPACING)), 1) + 1)
    points = np.stack([np.interp(at, along, axis) for axis in line.T], axis=-1)
    points[-1] = line[-1]
    return points


def _smooth(line: np.ndarray, width: float) -> np.ndarray:
    """Moving average; the ends of an open line stay where they are, a closed one stays closed."""
    sigma = width / SPACING
    if np.array_equal(line[0], line[-1]):
        smooth = ndimage.gaussian_filter1d(line[:-1], sigma, axis=0, mode="wrap")
        return np.concatenate([smooth, smooth[:1]])
    count = min(int(4 * sigma), len(line) - 1)
    before, after = 2 * line[0] - line[count:0:-1], 2 * line[-1] - line[-2 : -2 - count : -1]
    extended = np.concatenate([before, line, after])
    return ndimage.gaussian_filter1d(extended, sigma, axis=0)[count : count + len(line)]


def _safe(street_map: StreetMap, wanted: np.ndarray, fallback: np.ndarray, within: bool) -> np.ndarray:
    """The wanted way, drawn towards the fallback, point by point, where it would come too close to a wall."""
    share: np.ndarray = np.ones(len(wanted))
    for _ in range(8):
        way = fallback + share[:, None] * (wanted - fallback)
        bad = ~_is_safe(street_map, way, within)
        if not bad.any():
            break
        near = ndimage.gaussian_filter1d(ndimage.maximum_filter1d(bad.astype(float), 17), 4)
        share = np.where(bad, 0.5 * share, share * (1 - 0.5 * near))
    else:
        way = fallback.copy()
    if np.array_equal(wanted[0], wanted[-1]):
        way[-1] = way[0]
    return way


def _is_safe(street_map: StreetMap, points: np.ndarray, within: bool = True) -> np.ndarray:
    clear = street_map.room_at(points) >= street_map.clearance + 0.5 * SLACK
    return clear & street_map.is_within(points) if within else clear


def _runs(good: np.ndarray) -> list[np.ndarray]:
    """Indices of each run of consecutive good entries."""
    chosen = np.flatnonzero(good)
    return [run for run in np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1) if len(run)]

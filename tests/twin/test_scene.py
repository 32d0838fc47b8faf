"""Scenes are loaded with their base stations, or refused with a reason."""

import numpy as np
import pytest
from pydantic import ValidationError

from wavefoundry.errors import InputError

MATERIALS = '<bsdf type="diffuse" id="mat-itu_concrete"/><bsdf type="itu-radio-material" id="wall">{}</bsdf>'.format(
    '<string name="type" value="brick"/><float name="thickness" value="0.1"/>'
)


def block(x, y, material="wall"):
    """A house of 20 m x 20 m, 16 m high."""
    place = f'<scale x="10" y="10" z="8"/><translate x="{x}" y="{y}" z="8"/>'
    return (
        f'<shape type="cube"><transform name="to_world">{place}</transform><ref id="{material}" name="bsdf"/></shape>'
    )


GROUND = """<shape type="rectangle"><transform name="to_world"><scale x="60" y="60"/></transform>
            <ref id="mat-itu_concrete" name="bsdf"/></shape>"""
TOWN = MATERIALS + GROUND + "".join(block(x, y) for x in (-18, 18) for y in (-18, 18))


@pytest.fixture
def written(tmp_path):
    def write(content: str) -> str:
        path = tmp_path / "town.xml"
        path.write_text(f'<scene version="2.1.0">{content}</scene>')
        return str(path)

    return write


def load(twin, index=0):
    from wavefoundry.twin.scene import load_radio_scene

    return load_radio_scene(twin, twin.base_stations[index])


def test_scene_of_the_user_is_loaded(canyon, written):
    from wavefoundry.twin.street_map import survey

    twin = canyon(
        site__scene=written(TOWN),
        site__centre=[0.0, 0.0],
        site__radius=50.0,
        base_stations__0__position=[0.0, 0.0, 9.0],
    )
    assert {material.name for material in load(twin).radio_materials.values()} >= {"itu_concrete", "wall"}
    inside = survey(twin.site).is_walkable(np.array([[0.0, 0.0], [0.0, 30.0], [18.0, 18.0], [-12.0, 20.0]]))
    np.testing.assert_array_equal(inside, [True, True, False, False])


def test_fence_too_thin_to_be_seen_from_above_is_a_wall(canyon, written):
    """2 cm thick, 2 m high, across the street from the left block to the right one, between two rows of cells."""
    from wavefoundry.twin.street_map import survey

    place = '<scale x="9" y="0.01" z="1"/><translate x="0" y="20.4" z="1"/>'
    fence = f'<shape type="cube"><transform name="to_world">{place}</transform><ref id="wall" name="bsdf"/></shape>'
    y = np.linspace(10, 29, 191)
    for content, passable in ((TOWN, True), (TOWN + fence, False)):
        site = canyon(site__scene=written(content), site__centre=[0.0, 0.0], site__radius=50.0).site
        walkable = survey(site).is_walkable(np.stack([np.zeros_like(y), y], axis=-1))
        assert walkable.all() if passable else not walkable[np.abs(y - 20.4) < site.traffic.clearance].any()
        assert walkable[[0, -1]].all()


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "no objects"),
        ("<shape", "not an XML file"),
        (
            GROUND.replace("mat-itu_concrete", "plaster") + '<bsdf type="diffuse" id="plaster"/>',
            "plaster.*itu_concrete",
        ),
        (GROUND + '<bsdf type="diffuse" id="mat-itu_concrete"/><bsdf type="diffuse" id="mat-itu_cheese"/>', "cheese"),
        (MATERIALS + '<shape type="ply"><string name="filename" value="gone.ply"/></shape>', "gone.ply"),
        ('<shape type="cube"/>', "radio material"),
    ],
)
def test_scene_that_cannot_be_used_is_refused_by_name(written, content, reason):
    from wavefoundry.twin.scene import load_geometry

    path = written(content)
    with pytest.raises(InputError, match=reason) as refusal:
        load_geometry(path)
    assert str(refusal.value).startswith(f"scene {path}: ") and "\n" not in str(refusal.value)


@pytest.mark.parametrize("normals", [True, False])
@pytest.mark.parametrize("merge", [True, False])
def test_a_mesh_without_faces_is_refused(written, tmp_path, normals, merge):
    from wavefoundry.twin.scene import _load

    names = ("x", "y", "z", *(("nx", "ny", "nz") if normals else ()))
    header = ["ply", "format ascii 1.0", "element vertex 3", *(f"property float {name}" for name in names)]
    header += ["element face 0", "property list uchar int vertex_indices", "end_header"]
    points = (" ".join(map(str, [*point, *(0, 0, 1)][: len(names)])) for point in ((0, 0, 0), (1, 0, 0), (0, 1, 0)))
    (tmp_path / "bare.ply").write_text("\n".join([*header, *points, ""]))
    mesh = '<shape type="ply" id="bare"><string name="filename" value="bare.ply"/><ref id="wall" name="bsdf"/></shape>'
    path = written(TOWN + mesh)
    with pytest.raises(InputError, match=r"mesh .*has no faces") as refusal:
        _load(path, merge_shapes=merge)
    assert str(refusal.value).startswith(f"scene {path}: ") and "\n" not in str(refusal.value)


def test_missing_and_binary_files_are_refused_by_name(tmp_path):
    from wavefoundry.twin.scene import load_geometry

    path = tmp_path / "town.xml"
    with pytest.raises(InputError, match=f"{path}: no such file; allowed: munich"):
        load_geometry(str(path))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=f"{path}: not a text file"):
        load_geometry(str(path))


def test_carrier_outside_the_range_of_the_materials_is_refused(canyon):
    with pytest.raises(InputError, match=r"carrier_frequency 5e\+08 Hz.*simple_street_canyon"):
        load(canyon(carrier_frequency=5e8))


@pytest.mark.parametrize("polarisation, count", [("V", 1), ("H", 1), ("VH", 2), ("cross", 2)])
def test_base_station_has_the_polarisations_of_its_array(canyon, polarisation, count):
    scene = load(canyon(array__polarisation=polarisation))
    assert scene.tx_array.num_ant == count and scene.rx_array.num_ant == 1


# The building from (-15, -36) to (16, -9) is 51 m high; the one from (32, 10) to (63, 38) 22 m.
@pytest.mark.parametrize(
    "position, reason",
    [
        ([0.0, -22.0, 30.0], r"inside a building.*0\.0 % of the sky.*roof is 20\.9 m above"),
        ([48.0, 24.0, 1.0], "inside a building"),
        ([-33.0, 0.0, -1.0], r"1\.0 m below the ground"),
        ([48.0, 24.0, -3.0], r"3\.0 m below the ground"),
    ],
)
def test_base_station_in_a_building_or_below_the_ground_is_refused(canyon, position, reason):
    good = {"position": [-33.0, 0.0, 20.0], "orientation": [0.0, 0.0, 0.0]}
    twin = canyon(base_stations=[good, good | {"position": position}])
    load(twin)
    with pytest.raises(InputError, match=rf"base_stations\.1\.position.*{reason}.*allowed"):
        load(twin, 1)


@pytest.mark.parametrize("position", [[0.0, -22.0, 52.0], [0.0, -8.4, 5.0], [31.9, 24.0, 10.0], [-33.0, 0.0, 1.0]])
def test_base_station_on_a_roof_a_wall_or_a_lamp_post_is_allowed(canyon, position):
    load(canyon(base_stations__0__position=position))


def test_base_station_inside_munich_is_refused(canyon):
    """The default one stands on the roof of the town hall."""
    twin = canyon(site__scene="munich", base_stations__0__position=[8.5, 21.0, 27.0])
    load(twin)
    with pytest.raises(InputError, match=r"base_stations\.0\.position .*building.*munich"):
        load(canyon(site__scene="munich", base_stations__0__position=[8.5, 15.0, 10.0]))


def moved(content, east, north):
    """A scene in map coordinates."""
    return content.replace("</transform>", f'<translate x="{east}" y="{north}"/></transform>')


def test_a_scene_in_map_coordinates_is_refused_with_its_file(canyon, written):
    from wavefoundry.twin.street_map import survey

    path = written(moved(TOWN, 691e3, 5335e3))
    place = {"site__scene": path, "site__centre": [691e3, 5335e3], "site__radius": 50.0}
    place |= {"base_stations__0__position": [691e3, 5335e3, 9.0]}
    with pytest.raises(ValidationError) as refusal:
        canyon(**place)
    told = str(refusal.value)
    assert "site.centre with site.radius is 5335050 m from the origin, allowed: 4000 m" in told and path in told
    with pytest.raises(ValidationError, match=r"base_stations.0.position is 5335000 m from the origin"):
        canyon(**place | {"site__centre": [0.0, 0.0]})
    # With places near the origin nothing of the scene is there, and where it is is said.
    with pytest.raises(InputError, match=r"no open ground .*reaches from \[690940, 5334940\] to \[691060, 5335060\]"):
        survey(canyon(site__scene=path, site__centre=[0.0, 0.0], site__radius=50.0).site)

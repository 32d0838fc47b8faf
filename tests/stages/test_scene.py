"""A scene is drawn with its own coordinates."""

import sys

import numpy as np
import pytest

from stages import scene
from tests.twin.test_scene import GROUND, MATERIALS, block


@pytest.fixture
def town(tmp_path):
    """Ground of 120 m x 120 m, and one house, 20 m x 20 m x 16 m, to the right of the middle and below it."""
    path = tmp_path / "town.xml"
    path.write_text(f'<scene version="2.1.0">{MATERIALS}{GROUND}{block(30, -18)}</scene>')
    return str(path)


def draw(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["scene", *map(str, arguments)])
    scene.main()


def test_heights_stand_where_the_scene_has_them(town):
    from wavefoundry.twin.street_map import surface_of

    x, y, height = surface_of(town, 60)
    assert height.shape == (x.size, y.size) == (60, 60)
    np.testing.assert_allclose([x[0], x[-1], y[0], y[-1]], [-59, 59, -59, 59], atol=1e-3)
    inside = (abs(x - 30) < 10)[:, None] & (abs(y + 18) < 10)[None, :]
    np.testing.assert_allclose(height, np.where(inside, 16.0, 0.0), atol=1e-3)


def test_the_picture_has_the_same_bytes_again_and_its_ranges_are_told(town, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scene, "CELLS", 40)
    for name in ("one.png", "two.png"):
        draw(monkeypatch, town, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert capsys.readouterr().out.startswith(f"{town}: x -58 to 58 m, y -58 to 58 m, z 0 to 16 m; picture: ")


def test_what_cannot_be_drawn_is_one_message(town, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"scene berlin: no such file; allowed: munich, "):
        draw(monkeypatch, "berlin", tmp_path / "berlin.png")
    monkeypatch.setattr(scene, "CELLS", 40)
    with pytest.raises(SystemExit, match=r"nowhere/town\.png: cannot be written"):
        draw(monkeypatch, town, tmp_path / "nowhere/town.png")


@pytest.mark.parametrize("name", ["town.txt", "town", "town.pdf", ".png"])
def test_a_picture_of_another_form_is_refused_before_the_scene_is_loaded(tmp_path, monkeypatch, name):
    with pytest.raises(SystemExit, match=rf"{name}: the picture is a PNG file; allowed: a name that ends in \.png$"):
        draw(monkeypatch, "no scene of this name", tmp_path / name)
    assert not list(tmp_path.iterdir())

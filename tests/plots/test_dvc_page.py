"""The page of `dvc plots show` loads nothing from elsewhere, and has each point of a learning curve in its place."""

import re
import shutil
import subprocess

import pytest
from dvc.config import Config
from dvc_render import ImageRenderer, VegaRenderer
from dvc_render.html import render_html

from tests.parameters import PROJECT

LOSSES = {"workspace": [4.0, 1.0, 0.0], "main": [2.0, 2.0, 2.0]}
POINTS = [
    {"epoch": str(epoch), "loss": str(loss), "rev": revision}
    for revision, losses in LOSSES.items()
    for epoch, loss in enumerate(losses)
]
# What of a browser the page uses.
BROWSER = "const places = {}; const document = {querySelector: place => places[place] ??= {}};"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    template = PROJECT / ".dvc" / Config(str(PROJECT / ".dvc"))["plots"]["html_template"]
    curve = VegaRenderer(POINTS, "history/wifo.csv", x="epoch", y="loss", template="scatter", title="a < b")
    picture = ImageRenderer([{"rev": "workspace", "src": "static/nmse.png"}], "nmse.png")
    return render_html([curve, picture], folder / "index.html", template).read_text()


def test_it_names_no_host_but_that_of_the_form_of_a_plot(page):
    # "$schema" names a form; nothing is fetched from there.
    assert re.findall(r"\w+://[^\s\"]*", page) == ["https://vega.github.io/schema/vega-lite/v5.json"]
    assert not re.search(r"<(link|iframe)\b|src\s*=\s*\"?//|@import|import\(|fetch\(|<script[^>]*\bsrc", page)
    assert 'src="static/nmse.png"' in page


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_points_lie_where_their_numbers_say(page):
    scripts = "\n".join(re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL))
    told = "process.stdout.write(Object.values(places)[0].innerHTML)"
    command = ["node", "-e", f"{BROWSER}\n{scripts}\n{told}"]
    drawn = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    circles = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*fill="([^"]+)"', drawn)
    assert len(circles) == len(POINTS)
    across = {int(point["epoch"]): float(x) for point, (x, _, _) in zip(POINTS, circles, strict=True)}
    up = {float(point["loss"]): float(y) for point, (_, y, _) in zip(POINTS, circles, strict=True)}
    # Even steps to the right are even, and a loss half as high is half as far from 0.
    assert across[2] - across[1] == pytest.approx(across[1] - across[0]) and across[1] > across[0]
    assert up[0.0] - up[2.0] == pytest.approx((up[0.0] - up[4.0]) / 2) and up[0.0] > up[4.0]
    assert len({colour for *_, colour in circles[:3]}) == 1 and circles[0][2] != circles[3][2]
    assert "a &#60; b" in drawn and "epoch" in drawn and "loss" in drawn

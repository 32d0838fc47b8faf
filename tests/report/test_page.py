"""The report is one file that loads nothing."""

import re

from PIL import Image

from wavefoundry.report.page import to_html


def test_a_page_needs_neither_its_folder_nor_a_network(tmp_path):
    (tmp_path / "figures/a").mkdir(parents=True)
    Image.new("RGB", (4, 4), "red").save(tmp_path / "figures/a/one.png")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "figures/two.gif")
    page = to_html("# Title\n\n## Part\n\n![one](figures/a/one.png) ![two](figures/two.gif)\n", "Title", tmp_path)
    assert re.findall(r'src="(data:image/[a-z]+)', page) == ["data:image/png", "data:image/gif"]
    assert set(re.findall(r'(?:src|href)="([^"]{5})', page)) <= {"data:", "#part"}
    assert not re.search(r"<script|<link|@import|url\(", page)


def test_a_wide_picture_is_scrolled_on_a_phone_and_never_larger_than_it_is(tmp_path):
    (tmp_path / "figures").mkdir()
    for name, width in (("narrow", 400), ("wide", 1500)):
        Image.new("RGB", (width, 4), "red").save(tmp_path / f"figures/{name}.png")
    page = to_html("# Title\n\n![narrow](figures/narrow.png)\n\n![wide](figures/wide.png)\n", "Title", tmp_path)
    narrow, wide = re.findall(r"<p>.*?</p>", page)
    assert "min-width" not in narrow
    assert wide.startswith('<p><span class="wide"><img')
    smallest, largest = (int(re.search(rf"{key}-width: (\d+)px", wide)[1]) for key in ("min", "max"))
    assert 390 < smallest < largest == 1500

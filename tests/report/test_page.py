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

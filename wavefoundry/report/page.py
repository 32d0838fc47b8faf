"""The report as one page, in markdown and as self-contained HTML."""

import base64
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Pictures that are wider than this are not shrunk by more than the share, or their text could not be read on a phone:
# there they are scrolled [pixel].
NARROW, SMALLEST_SHARE = 600, 0.65
TEMPLATES = Path(__file__).parent / "templates"
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1c2733; }
h1, h2, h3 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d5dce3; padding-bottom: .3rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .92rem; display: block; overflow-x: auto; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid #e3e8ed; text-align: left; }
nav { background: #f3f6f9; padding: .5rem 1rem; } nav ul { margin: .2rem 0; padding-left: 1.2rem; }
th { background: #f3f6f9; } img { max-width: 100%; } .wide { display: block; overflow-x: auto; }
.wide img { max-width: none; width: 100%; }
"""


def render(content: Mapping[str, Any]) -> str:
    """The page in markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True)
    return environment.get_template("report.md.jinja").render(**content)


def to_html(markdown: str, title: str, folder: Path) -> str:
    """Markdown to one HTML page with a list of contents, and with its pictures inside.

    Args:
        markdown: links pictures as figures/NAME.
        title: of the page.
        folder: in which the pictures lie.
    """
    from markdown import Markdown

    converter = Markdown(extensions=["tables", "toc"], extension_configs={"toc": {"toc_depth": "2-3"}})
    body = converter.convert(markdown)
    # Below the title.
    body = body.replace("</h1>", f"</h1>\n<nav><details><summary>Contents</summary>{converter.toc}</details></nav>", 1)
    body = re.sub(r'<img alt="([^"]*)" src="(figures/[^"]+)" ?/?>', lambda one: _image(one[1], folder / one[2]), body)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _image(text: str, path: Path) -> str:
    """An image tag; a wide picture is in a box of its own, in which it is scrolled where the screen is narrow."""
    from PIL import Image

    with Image.open(path) as picture:
        width = picture.width
    tag = f'<img alt="{text}" src="{_data_uri(path)}"'
    if width <= NARROW:
        return f"{tag}>"
    return f'<span class="wide">{tag} style="min-width: {SMALLEST_SHARE * width:.0f}px; max-width: {width}px"></span>'


def _data_uri(path: Path) -> str:
    kind = {"png": "image/png", "gif": "image/gif"}[path.suffix[1:]]
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

"""What the XML file of an imported scene refers to must lie in the folder whose changes are noticed."""

from os.path import normpath
from pathlib import Path
from xml.etree import ElementTree

from wavefoundry.errors import InputError
from wavefoundry.imports.options import ImportedScene


def require_own_meshes(section: ImportedScene) -> None:
    """Refuse a scene with meshes, textures or included files outside of `files`; symbolic links are not followed.

    A file that cannot be read, or is no XML, is left to the loader of scenes, which says so.

    Raises:
        InputError: a file name in the scene is absolute, or leads out of `files`.
    """
    scene = Path(section.twin.site.scene)
    try:
        elements = list(ElementTree.parse(scene).iter())
    except (OSError, ElementTree.ParseError, UnicodeDecodeError):
        return
    files = normpath(section.files)
    for element in elements:
        named = element.get("value") if element.get("name") == "filename" else element.get("filename")
        if not named:
            continue
        if Path(named).is_absolute() or not Path(normpath(scene.parent / named)).is_relative_to(files):
            raise InputError(
                f"scene {scene}: it refers to {named!r}; allowed: what lies in `files`, {section.files!r}, whose "
                "changes alone are noticed, by a name relative to the scene"
            )

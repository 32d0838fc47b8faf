"""Draw a scene from above with its coordinates: `python -m stages.scene munich munich.png`.

The axes are those of `site.centre` and of the positions of base stations in params.yaml. No part of the DAG.
"""

import argparse
from pathlib import Path

from stages.stage import clear_errors
from storage.replacement import clear_write_errors
from wavefoundry.errors import InputError

# Along the longer side of the scene.
CELLS = 1200


@clear_errors()
def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m stages.scene", description=__doc__.splitlines()[0])
    parser.add_argument("scene", help="a scene of sionna-rt, such as munich, or the path of a Mitsuba XML file")
    parser.add_argument("picture", type=Path, help="PNG file to write, NAME.png")
    arguments = parser.parse_args()
    if arguments.picture.suffix != ".png":
        raise InputError(f"{arguments.picture}: the picture is a PNG file; allowed: a name that ends in .png")

    import numpy as np

    from wavefoundry.plots.plan import draw_plan
    from wavefoundry.twin.street_map import surface_of

    x, y, height = surface_of(arguments.scene, CELLS)
    with clear_write_errors(arguments.picture):
        draw_plan(x, y, height, Path(arguments.scene).stem, arguments.picture)
    ranges = {"x": x, "y": y, "z": height}
    told = ", ".join(f"{axis} {np.nanmin(values):.0f} to {np.nanmax(values):.0f} m" for axis, values in ranges.items())
    print(f"{arguments.scene}: {told}; picture: {arguments.picture}")


if __name__ == "__main__":
    main()

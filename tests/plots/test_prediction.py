"""Maps of predictions have their delay in ns."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from wavefoundry.plots.prediction import draw_maps


def test_the_last_delay_bin_lies_one_bin_before_the_period_of_the_spectrum(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    target = np.ones((4, 5), complex)
    draw_maps(target, {"hold": target / 2}, 200e3, "d1", tmp_path / "new/maps.png")
    (figure,) = figures
    assert figure.get_supxlabel() == "delay [ns]"
    drawn = [panel for panel in figure.axes if panel.images]
    assert len(drawn) == 2
    for panel in drawn:
        last = panel.get_xticklabels()[-1]
        # 1 / 200 kHz is 5000 ns, of which five bins are 1000 ns each.
        assert panel.get_xticks()[-1] == 4 and float(last.get_text()) == pytest.approx(4000)

"""The heat colours: nothing clipped, lighter at every step; the legend shows them from end to end."""

from __future__ import annotations

import numpy as np
import pytest

from seewhy.render.color import heat, jet, legend
from tests.render.test_pictures import oklab


def test_heat_follows_its_curve_so_nothing_was_clipped() -> None:
    # A colour outside sRGB would be clipped, and come back with another lightness, chroma or hue than was asked for.
    step = np.linspace(0, 1, 256)
    lab = oklab(heat())
    np.testing.assert_allclose(lab[:, 0], 0.18 + 0.78 * step, rtol=0, atol=0.004)
    chroma = 0.08 + 0.078 * np.sin(np.pi * step**0.9)
    np.testing.assert_allclose(np.hypot(lab[:, 1], lab[:, 2]), chroma, rtol=0, atol=0.006)


def test_heat_grows_lighter_evenly() -> None:
    lightness = oklab(heat())[:, 0]
    assert (np.diff(lightness) > -0.002).all()  # a byte's rounding apart
    steps = np.diff(lightness[::15])
    assert steps.max() / steps.min() < 1.2


def test_heat_in_grey_never_turns_back() -> None:
    grey = heat() @ [0.299, 0.587, 0.114]
    assert (np.diff(grey[::3]) > 0).all()


@pytest.mark.parametrize("table", [heat, jet], ids=["heat", "jet"])
@pytest.mark.parametrize("words", [("0", "max"), ("", ""), ("x" * 300, "y" * 300)], ids=["short", "none", "long"])
def test_the_legend_runs_through_the_whole_table(table: object, words: tuple[str, str]) -> None:
    colours = table()
    picture = np.asarray(legend(colours, *words, width=256))
    np.testing.assert_array_equal(picture[0], colours)
    np.testing.assert_array_equal(picture[11], colours)

"""The confusion matrix of many classes as a picture."""

from __future__ import annotations

import re

import pytest

from lrdiag.record.facts import ConfusedPair
from lrdiag.report.charts.matrix import matrix_picture


def cells(picture: str) -> dict[tuple[int, int], int]:
    """The level of colour of each cell that is drawn, by true and predicted class."""
    found = {}
    for level, path in re.findall(r'<path class="p(\d+)" d="([^"]+)"', picture):
        x = y = 0
        for command, numbers in re.findall(r"([Mmh])([-\d ]+)", path):
            values = [int(number) for number in numbers.split()]
            if command == "h":
                x += values[0]
                found[y // 10, x // 10 - 1] = int(level)
            else:
                x, y = values if command == "M" else (x + values[0], y + values[1])
    return found


def test_each_error_is_one_cell_in_the_colour_of_its_share() -> None:
    pairs = [ConfusedPair(3, 7, 5, 0.5), ConfusedPair(49, 0, 2, 0.2), ConfusedPair(20, 21, 1, 0.0625)]
    picture = matrix_picture(pairs, [f"<{index}>" for index in range(50)])
    assert cells(picture) == {(3, 7): 100, (49, 0): 40, (20, 21): 20}
    assert 'viewBox="-120 -120 630 630"' in picture
    assert len(re.findall("&lt;7&gt;", picture)) == 2


@pytest.mark.parametrize(("classes", "texts"), [(150, 300), (151, 4), (1000, 20)])
def test_many_classes_have_numbers_instead_of_names(classes: int, texts: int) -> None:
    picture = matrix_picture([ConfusedPair(0, 1, 1, 0.1)], ["name"] * classes)
    assert picture.count("<text") == texts
    assert len(picture) < 40_000

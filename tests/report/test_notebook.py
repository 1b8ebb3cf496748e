"""What a notebook displays, and the data frames."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup

from lrdiag.errors import LrdiagError
from lrdiag.record.arrays import Predictions
from lrdiag.report.notebook import render_card
from lrdiag.report.report import Report

PREDICTIONS = Predictions.from_scores(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 0, 1]))
MOST_BYTES = 100_000


def test_a_summary_is_small_and_complete(runs: Any) -> None:
    run = runs["ordinary"]
    card = render_card(run)
    assert len(card.encode()) < MOST_BYTES
    parsed = BeautifulSoup(card, "html.parser")
    assert len(parsed.find_all("img", alt="Its heatmap")) == 6
    assert all(each["src"].startswith("data:image/webp;base64,") for each in parsed.find_all("img"))
    assert "report.show()" in parsed.text
    for finding in run.diagnosis.outstanding[:5]:
        assert finding.title.replace("`", "") in parsed.text


def test_a_summary_escapes_every_name(runs: Any) -> None:
    card = render_card(runs["hostile and compared"])
    assert len(card.encode()) < MOST_BYTES
    parsed = BeautifulSoup(card, "html.parser")
    allowed = {"div", "p", "strong", "ul", "li", "img", "small", "br", "code", "span"}
    assert {each.name for each in parsed.find_all(True)} <= allowed
    assert not [name for each in parsed.find_all(True) for name in each.attrs if name.startswith("on")]


def test_a_data_frame_has_a_row_for_each_image() -> None:
    frame = PREDICTIONS.to_pandas()
    assert frame.columns.tolist() == ["index", "true", "predicted", "correct", "confidence", "loss"]
    assert frame["predicted"].tolist() == [0, 1, 0]
    assert frame["correct"].tolist() == [True, False, False]
    assert PREDICTIONS.to_pandas(["cat", "dog"])["true"].tolist() == ["cat", "cat", "dog"]


def test_the_mistakes_are_a_data_frame_in_the_order_of_the_page(runs: Any) -> None:
    run = runs["ordinary"]
    frame = Report(run, PREDICTIONS, None, np.empty(0), mistake_indices=PREDICTIONS.misclassified).mistakes_frame()
    first, second = run.diagnosis.dataset.classes[:2]
    rows = frame[["index", "true", "predicted", "confidence", "file"]].to_numpy().tolist()
    assert rows == [[1, first, second, pytest.approx(0.8), None], [2, second, first, pytest.approx(0.6), None]]


def test_without_pandas_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(LrdiagError, match=r"needs pandas\. Run `pip install pandas`"):
        PREDICTIONS.to_pandas()

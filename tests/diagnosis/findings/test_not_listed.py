"""Rules that name or count misclassified images of which the facts list only some."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fixtures.diagnoses import facts_of, finding

from lrdiag.diagnosis import mistakes
from lrdiag.diagnosis.evidence import Evidence
from lrdiag.record.arrays import Predictions, log_softmax

COUNTS = np.array([[40, 10, 0, 0], [0, 50, 0, 0], [0, 30, 20, 0], [0, 20, 0, 0]])


def test_images_beyond_the_listed_ones_are_counted_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mistakes, "MOST_MISTAKES", 10)
    labels, named = (np.repeat(each.ravel(), COUNTS.ravel()) for each in np.indices(COUNTS.shape))
    logs = log_softmax(5 * np.eye(4)[named])
    facts = facts_of(COUNTS)
    assert [each.true for each in facts.misclassified.items] == [0] * 10

    third = finding(Evidence(facts, Predictions(logs, labels)), "never-predicted-class")
    assert third.images == np.flatnonzero(labels == 3).tolist()
    assert [each.image.index for each in third.exhibits if each.image] == third.images
    assert third.exhibits[0].caption.startswith("3, predicted 1 (98.0")

    logs[labels == 2] = np.nan
    broken = dataclasses.replace(facts, test=dataclasses.replace(facts.test, loss=None))
    nan = finding(Evidence(broken, Predictions(logs, labels)), "not-finite")
    assert "and 50 misclassified images have no confidence" in nan.evidence
    assert nan.images == np.flatnonzero(labels == 2).tolist()

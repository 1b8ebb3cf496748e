"""Runs of so many mistakes that report.json and the page show the first of them alone."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from lrdiag.diagnosis.check_settings import AS_IN_THE_TABLE
from lrdiag.diagnosis.study import Studied
from lrdiag.errors import ComparisonError, RunFolderError
from lrdiag.evaluation.evaluated import Evaluated
from lrdiag.limits import MOST_MISTAKES
from lrdiag.record import reading
from lrdiag.record.arrays import NO_IMAGES, Heatmaps, Predictions
from lrdiag.record.data_facts import packed, unpacked
from lrdiag.record.facts import HeatmapFacts, RunFacts, Seconds
from lrdiag.record.observed import NOTHING
from lrdiag.report import predictions as table
from lrdiag.report.baseline import set_beside
from lrdiag.report.report import Report, build_report, facts_of
from lrdiag.report.sections.verdict import change
from lrdiag.report.write import write_page

IMAGES, WRONG, KEPT, CLASSES = 60_000, 12_000, 4_000, 10
MEBIBYTE = 2**20


def report_of(seed: int) -> Report:
    """A report of synthetic predictions, of which the images of `KEPT` mistakes with the highest loss are kept."""
    generator = np.random.default_rng(seed)
    labels = np.arange(IMAGES) % CLASSES
    scores = generator.normal(size=(IMAGES, CLASSES))
    scores[np.arange(IMAGES), labels] = scores.max(axis=1) + 1
    wrong = generator.choice(IMAGES, WRONG, replace=False)
    others = (labels[wrong] + generator.integers(1, CLASSES, WRONG)) % CLASSES
    scores[wrong, others] = scores[wrong].max(axis=1) + 0.1 + generator.exponential(size=WRONG)
    predictions = Predictions.from_scores(scores, labels)
    kept = np.sort(predictions.ranked_mistakes[:KEPT])
    maps = generator.normal(size=(KEPT, 4, 4)).astype(np.float32)
    evaluated = Evaluated(
        predictions,
        Heatmaps("gradcam", "conv", kept, maps, maps[::-1].copy(), None),
        HeatmapFacts("Grad-CAM", "conv", KEPT),
        np.broadcast_to((kept % 200).astype(np.uint8)[:, None, None, None], (KEPT, 16, 16, 3)).copy(),
        (16, 16, 3),
        (0, 255),
        "ab" * 32,
        False,
        None,
        mistake_indices=kept,
    )
    return build_report(
        evaluated,
        facts_of(evaluated, [f"class {each}" for each in range(CLASSES)], "synthetic"),
        run=RunFacts("net", 1, "cpu", "tensorflow", "", None, {}, {}, (0, 255)),
        training=None, range_test=None, range_test_note=None, train=NO_IMAGES, files=(), watched=None, seed=0,
        seconds=Seconds(), studied=Studied(), made_by="diagnose", inspection=NOTHING, check_settings=AS_IN_THE_TABLE,
        known=None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def report() -> Report:
    return report_of(1)


@pytest.fixture(scope="module")
def folder(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("many") / "run"
    report.save(folder)
    return folder


def test_report_and_page_have_the_highest_losses_and_say_of_how_many(report: Report, folder: Path) -> None:
    facts = reading.load(folder).diagnosis
    assert facts.misclassified.count == WRONG
    ranked = report.predictions.ranked_mistakes
    assert [each.index for each in facts.misclassified.items] == ranked[:MOST_MISTAKES].tolist()
    page = (folder / "report.html").read_text()
    assert "The page shows 2,500 of the 12,000 mistakes: those with the highest loss. predictions.csv lists" in page
    assert max((folder / name).stat().st_size for name in ("report.json", "report.html")) < 3 * MEBIBYTE


def test_all_mistakes_survive_that_the_page_is_written_again(report: Report, folder: Path) -> None:
    write_page(folder, reading.load(folder))
    wrong = reading.load(folder).wrong
    assert wrong is not None
    np.testing.assert_array_equal(wrong.index, report.predictions.ranked_mistakes)
    np.testing.assert_array_equal(wrong.predicted, report.predictions.predicted[wrong.index])


def test_the_data_frame_has_every_mistake(report: Report) -> None:
    frame = report.mistakes_frame()
    assert frame["index"].tolist() == report.predictions.ranked_mistakes.tolist()


def test_a_comparison_counts_images_that_report_json_does_not_list(report: Report, folder: Path) -> None:
    other = report_of(2)
    comparison = set_beside(reading.load_baseline(folder), other.run).diagnosis.comparison
    assert comparison is not None
    assert f"; {comparison.all_fixed:,} images fixed, {comparison.all_broken:,} broken" in change(comparison).figures
    before, now = (each.predictions.predicted != each.predictions.labels for each in (report, other))
    assert (comparison.all_broken, comparison.all_fixed) == ((now & ~before).sum(), (before & ~now).sum())
    assert len(comparison.broken) < MOST_MISTAKES < comparison.all_broken
    items = other.diagnosis.misclassified.items
    assert not any(before[items[place].index] for place in comparison.broken)
    assert not any(now[each.index] for each in comparison.fixed)
    lost = [(now & ~before & (report.predictions.labels == each)).sum() for each in range(CLASSES)]
    assert [each.broken for each in comparison.classes] == lost
    both = {(pair.true, pair.predicted): (pair.base, pair.head) for pair in comparison.pairs}
    confusions = [np.asarray(each.confusion) for each in (report, other)]
    assert both == {pair: tuple(each[pair] for each in confusions) for pair in both}


def test_a_report_json_alone_is_refused(report: Report, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "report.json", tmp_path)
    with pytest.raises(ComparisonError, match=r"2,500 of 12,000 misclassified images"):
        report.compared_with(tmp_path / "report.json")


def test_a_list_of_another_run_is_refused(report: Report, folder: Path, tmp_path: Path) -> None:
    run = reading.load(folder)
    assert run.wrong is not None
    turned = dataclasses.replace(run.wrong, index=run.wrong.index[::-1].copy())
    broken = dataclasses.replace(report, run=dataclasses.replace(run, wrong=turned))
    broken.save(tmp_path)
    with pytest.raises(RunFolderError, match=r"mistakes.npz must have each misclassified image"):
        reading.load(tmp_path)


def test_many_predictions_are_written_as_parquet(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(table, "MOST_IN_CSV", IMAGES - 1)
    table.write_predictions(tmp_path, report.diagnosis.dataset.classes, report.predictions, ())
    assert (
        [each.name for each in tmp_path.iterdir()]
        == ["predictions.parquet"]
        == [table.predictions_file(report.diagnosis)]
    )
    file = parquet.ParquetFile(tmp_path / "predictions.parquet")
    assert file.num_row_groups == 2
    read = file.read()
    assert read["true"][12].as_py() == "class 2"
    predicted = [int(name.removeprefix("class ")) for name in read["predicted"].to_pylist()]
    np.testing.assert_array_equal(predicted, report.predictions.predicted)
    np.testing.assert_array_equal(read["loss"].to_numpy(), report.predictions.losses)
    assert sum(read["correct"].to_pylist()) == IMAGES - WRONG


def test_a_subset_of_a_large_set_is_compressed() -> None:
    members = np.arange(0, 1_000_000, 100)
    text = packed(members, 1_000_000)
    assert len(text) < 25_000
    np.testing.assert_array_equal(unpacked(text, 1_000_000), members)

"""Groups of images with planted mistakes, and sound sets without any."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.image_tables import noise, part_of, table_of

from lrdiag.diagnosis.attributes import plain_share
from lrdiag.diagnosis.clusters import beside_the_scores
from lrdiag.diagnosis.metadata import Metadata
from lrdiag.diagnosis.slices import find_slices
from lrdiag.record.data_facts import Slice, packed, unpacked
from lrdiag.record.image_table import ImageTable

COUNT = 800
CLASSES = ("ant", "bee", "cow", "dog")
LABELS = np.arange(COUNT) % len(CLASSES)


def mistakes(share: float, planted: np.ndarray | None = None, share_in: float = 0.0, seed: int = 1) -> np.ndarray:
    chance = np.full(COUNT, share)
    if planted is not None:
        chance[planted] = share_in
    return np.random.default_rng(seed).random(COUNT) < chance


def found(table: ImageTable, metadata: Metadata | None = None) -> list[Slice]:
    return find_slices(table, CLASSES, metadata)


@pytest.mark.parametrize("seed", range(4))
def test_chance_is_no_slice(seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(COUNT, 12)).astype(np.float16)
    assert found(table_of(noise(COUNT, seed=seed), LABELS, mistakes(0.3, seed=seed), features=features)) == []


def test_no_mistake_is_no_slice() -> None:
    assert found(table_of(noise(COUNT), LABELS, np.zeros(COUNT, bool))) == []


def test_dark_images() -> None:
    pictures, planted = noise(COUNT), np.arange(3, COUNT, 13)
    pictures[planted] //= 4
    dark, *others = found(table_of(pictures, LABELS, mistakes(0.2, planted, 0.8)))
    members = unpacked(dark.members, COUNT)
    assert np.isin(members, planted).mean() > 0.9
    assert (dark.size, dark.wrong) == (len(members), round(dark.error * dark.size))
    assert dark.error_low < dark.error < dark.error_high
    assert dark.expected == pytest.approx(0.2, abs=0.05)
    assert dark.size + dark.rest_size == COUNT
    assert dark.p_value <= 0.01
    assert dark.label is None
    assert not others


def test_a_weak_class_is_no_slice() -> None:
    """All images of one class are red and half of them are misclassified."""
    pictures, weak = noise(COUNT), np.flatnonzero(LABELS == 2)
    pictures[weak, ..., 1:] //= 3
    assert found(table_of(pictures, LABELS, mistakes(0.1, weak, 0.5))) == []


def test_a_part_of_a_class() -> None:
    pictures, planted = noise(COUNT), np.flatnonzero(LABELS == 1)[:40]
    pictures[planted, ..., 0] //= 3
    part = found(table_of(pictures, LABELS, mistakes(0.1, planted, 0.9)))[0]
    assert part.label is None or part.label == 1
    assert np.isin(unpacked(part.members, COUNT), planted).mean() > 0.9


def test_a_folder_explains_more_than_what_it_looks_like() -> None:
    pictures, planted = noise(COUNT), np.arange(0, COUNT, 11)
    pictures[planted] //= 2
    files = [f"{'cellar' if row % 11 == 0 else 'garden'}/{row}.png" for row in range(COUNT)]
    first = found(table_of(pictures, LABELS, mistakes(0.1, planted, 0.7), files=files))[0]
    assert (first.name, first.source, first.is_given) == ("files in the folder cellar", "folder", True)
    assert unpacked(first.members, COUNT).tolist() == planted.tolist()


def test_columns_of_the_metadata() -> None:
    planted = np.arange(0, COUNT, 9)
    table = table_of(noise(COUNT), LABELS, mistakes(0.1, planted, 0.6))
    site = found(table, Metadata({"site": ["north" if row % 9 == 0 else "south" for row in range(COUNT)]}))
    assert [each.name for each in site] == ["site = north"]
    ages = [90.0 + row / COUNT if row % 9 == 0 else row / COUNT for row in range(COUNT)]
    old = found(table, Metadata({"age": [*ages[:-1], None]}))[0]
    assert old.name.startswith("age ")
    assert old.name.endswith(" or more")
    assert np.isin(unpacked(old.members, COUNT), planted).mean() > 0.8


def test_a_site_with_most_of_the_images() -> None:
    most = np.flatnonzero(np.arange(COUNT) % 3 > 0)
    table = table_of(noise(COUNT), LABELS, mistakes(0.1, most, 0.4))
    site = found(table, Metadata({"site": ["south" if row % 3 else "north" for row in range(COUNT)]}))[0]
    assert (site.name, site.size) == ("site = south", len(most))
    assert site.expected == pytest.approx(0.1, abs=0.04)


def test_the_images_of_a_sample_keep_their_places() -> None:
    planted = np.arange(0, COUNT, 9)
    whole = table_of(noise(COUNT), LABELS, mistakes(0.1, planted, 0.7))
    rows = np.flatnonzero(np.arange(COUNT) % 4 < 3)
    site = Metadata({"site": ["north" if row % 9 == 0 else "south" for row in range(COUNT)]})
    members = unpacked(found(part_of(whole, rows), site)[0].members, COUNT)
    assert members.tolist() == [row for row in rows.tolist() if row % 9 == 0]


def test_the_result_does_not_change() -> None:
    pictures, planted = noise(COUNT), np.arange(3, COUNT, 13)
    pictures[planted] //= 4
    table = table_of(pictures, LABELS, mistakes(0.2, planted, 0.8))
    assert found(table) == found(table)


def test_a_plain_background_is_measured_at_any_size() -> None:
    picture = np.full((1, 96, 96, 3), 200, np.uint8)
    picture[:, 24:72, 24:72] = 50
    assert plain_share(picture)[0] == pytest.approx(0.75)
    assert plain_share(picture[:, ::4, ::4])[0] == pytest.approx(0.75)


def test_what_the_scores_tell_is_no_part_of_a_cluster() -> None:
    generator = np.random.default_rng(0)
    scores, other = generator.normal(size=(300, 3)), generator.normal(size=(300, 1))
    features = np.hstack([scores @ generator.normal(size=(3, 4)), other]).astype(np.float32)
    rest = beside_the_scores(features, scores, np.arange(300))
    assert abs(np.corrcoef(rest[:, 0], other[:, 0])[0, 1]) > 0.98


def test_members_are_packed() -> None:
    members = np.array([0, 7, 8, 1999])
    assert unpacked(packed(members, 2000), 2000).tolist() == members.tolist()
    assert len(packed(members, 2000)) < 340

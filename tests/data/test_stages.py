"""The sizes of the training images in the course of training."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag.data.stages import Stages
from lrdiag.record.facts import ImageStage
from lrdiag.record.pictures import all_scaled_down


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((32, 32), [(16, 16, 30), (24, 24, 30), (32, 32, 40)]),
        ((28, 28), [(16, 16, 30), (20, 20, 30), (28, 28, 40)]),
        ((24, 24), [(16, 16, 60), (24, 24, 40)]),
        ((16, 96), [(16, 96, 100)]),
        ((48, 96), [(24, 48, 30), (36, 72, 30), (48, 96, 40)]),
        ((160, 160), [(80, 80, 30), (120, 120, 30), (160, 160, 40)]),
        ((8, 8), [(8, 8, 100)]),
    ],
)
def test_stages_of_half_three_quarters_and_all(size: tuple[int, int], expected: list[tuple[int, int, int]]) -> None:
    assert [(each.height, each.width, each.steps) for each in Stages.of(size, 100).stages] == expected


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 528, 1760])
def test_every_step_has_a_size_and_the_last_ones_have_the_full_size(steps: int) -> None:
    stages = Stages.of((32, 32), steps)
    assert sum(each.steps for each in stages.stages) == steps
    sizes = [stages.size_at(step) for step in range(steps + 3)]
    assert sizes == sorted(sizes)
    assert sizes[-4:] == [(32, 32)] * 4
    assert sizes[0] == stages.smallest


def test_the_size_changes_after_the_steps_of_a_stage() -> None:
    stages = Stages((ImageStage(16, 16, 2), ImageStage(32, 32, 1)))
    assert [stages.size_at(step)[0] for step in range(4)] == [16, 16, 32, 32]
    assert stages.are_several
    assert not Stages.none((32, 32), 3).are_several


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pixel_of_a_small_image_is_the_mean_of_its_area(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 12, channels), np.uint8)
    means = images.reshape(3, 4, 2, 6, 2, channels).mean(axis=(2, 4))
    small = all_scaled_down(images, 4, 6)
    assert small.shape == (3, 4, 6, channels)
    np.testing.assert_allclose(small, means, atol=0.51)
    assert all_scaled_down(images, 8, 12) is images

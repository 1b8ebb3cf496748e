"""The sizes of the training images in the course of a training run: small ones first.

The steps on small images take a fraction of the time, and the network still learns most of what it needs (Howard,
"Training Imagenet in 3 hours", 2018; Tan and Le, "EfficientNetV2", 2021, section 4).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from lrdiag.record.facts import ImageStage

SMALLEST_SIDE = 16  # pixels: smaller images show too little
_MULTIPLE = 4  # pixels: networks halve their maps
_PARTS = ((1 / 2, 3), (3 / 4, 3), (1, 4))
"""Side of the images, as a part of the full side, and tenths of the steps.

CIFAR-10 with `fast`, 3 epochs and 10 epochs, accuracy on a GPU (n=3 and 2): shares of 0.3, 0.3 and 0.4 gave 0.804 and
0.851; 0.4, 0.3 and 0.3 gave 0.796 and 0.845; 0.5, 0.25 and 0.25 gave 0.784 (3 epochs).
"""


@dataclass(frozen=True)
class Stages:
    """The stages of a training run.

    Attributes:
        stages: Size and number of steps of each, in order. The last one has the full size.
    """

    stages: tuple[ImageStage, ...]

    @classmethod
    def of(cls, size: tuple[int, int], steps: int) -> Stages:
        """Divides a training run into stages of half, three quarters and all of the height and width.

        Sides are rounded to multiples of 4 pixels. Stages with a side below 16 pixels are left out, so small images
        have fewer stages, or one.

        Example:
            >>> [(stage.width, stage.steps) for stage in Stages.of((32, 32), 1000).stages]
            [(16, 300), (24, 300), (32, 400)]
            >>> [(stage.width, stage.steps) for stage in Stages.of((8, 8), 1000).stages]
            [(8, 1000)]

        Args:
            size: Height and width of the images, in pixels.
            steps: Number of steps of the training run.
        """
        ends = [steps * tenths // 10 for tenths in accumulate(tenths for _, tenths in _PARTS)]
        sizes = [*(_scaled(size, part) for part, _ in _PARTS[:-1]), size]
        stages: list[ImageStage] = []
        begin = 0
        for (height, width), end in zip(sizes, ends, strict=True):
            if end > begin and (min(height, width) >= SMALLEST_SIDE or end == steps):
                stages.append(ImageStage(height, width, end - begin))
                begin = end
        return cls(tuple(stages))

    @classmethod
    def none(cls, size: tuple[int, int], steps: int) -> Stages:
        """Returns one stage of the full size."""
        return cls((ImageStage(*size, steps),))

    @property
    def smallest(self) -> tuple[int, int]:
        """Height and width of the first images."""
        return self.stages[0].height, self.stages[0].width

    @property
    def are_several(self) -> bool:
        """Whether the size changes."""
        return len(self.stages) > 1

    def size_at(self, step: int) -> tuple[int, int]:
        """Returns height and width of the images of a step. After the last step, that of the last stage."""
        ends = list(accumulate(stage.steps for stage in self.stages))
        stage = self.stages[min(bisect_right(ends, step), len(ends) - 1)]
        return stage.height, stage.width


def _scaled(size: tuple[int, int], part: float) -> tuple[int, int]:
    height, width = (round(side * part / _MULTIPLE) * _MULTIPLE for side in size)
    return height, width

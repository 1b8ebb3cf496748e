"""The handwritten digits of scikit-learn: small, always available, and trained on in seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lrdiag import opencv
from lrdiag.data.fitting import AS_IS, Fitting, fit_all, notes_on
from lrdiag.data.listed import ListedImages, listed_dataset
from lrdiag.progress import Progress
from lrdiag.record.arrays import NO_IMAGES, Dataset, LabelledImages

TEST_FRACTION = 0.2

_SPLIT_SEED = 0  # not the seed of the run: the test images are the same in each run, so runs can be compared


@dataclass(frozen=True)
class Digits:
    """The 1,797 handwritten digits of scikit-learn, enlarged to 32 × 32 pixels and three equal channels.

    Example:
        >>> from lrdiag.progress import Silence
        >>> dataset = Digits().load(Silence())
        >>> dataset.train.images.shape, dataset.test.images.shape
        ((1437, 32, 32, 3), (360, 32, 32, 3))

    Attributes:
        fitting: Size and channels of the images.
    """

    fitting: Fitting = AS_IS
    name = "Digits"

    def load(self, progress: Progress, *, test_only: bool = False) -> Dataset:
        """Returns 80 % of each class as training images and 20 % as test images."""
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        with progress.stage("Reading the digits", 1, "file"):
            digits = load_digits()
        whole = LabelledImages(_enlarge(digits.images), digits.target.astype(np.int64))
        train, test = train_test_split(
            np.arange(len(whole)), test_size=TEST_FRACTION, stratify=whole.labels, random_state=_SPLIT_SEED
        )
        notes = notes_on([whole], self.fitting)
        whole = fit_all(whole, self.fitting)
        return Dataset(
            name=self.name,
            source="scikit-learn's copy of the UCI handwritten digits",
            classes=tuple(str(name) for name in digits.target_names),
            train=NO_IMAGES if test_only else whole.take(np.sort(train)),
            test=whole.take(np.sort(test)),
            notes=tuple(notes),
        )

    def listed(self, progress: Progress) -> ListedImages:
        """Returns the test images. All are read at once, because they are few."""
        return listed_dataset(self.load(progress, test_only=True))


def _enlarge(images: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Converts values 0–16 of shape `(n, 8, 8)` to 0–255 of shape `(n, 32, 32, 3)`."""
    enlarged = [opencv.resize(image * (255 / 16), (32, 32), interpolation=opencv.INTER_LINEAR) for image in images]
    return np.repeat(np.rint(enlarged).astype(np.uint8)[..., np.newaxis], 3, axis=-1)

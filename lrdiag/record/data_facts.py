"""Facts about the images and the labels of a run: plain numbers and strings, a part of report.json."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from lrdiag.record.image_table import Part
from lrdiag.record.ranges import Count, Difference, Index, Number, Positive, Probability, Share, Text


@dataclass(frozen=True)
class ImageRef:
    """An image of the test set or of the training set.

    Attributes:
        part: Which set.
        index: Its place in the set.
        file: The file that it was read from, or `None`.
    """

    part: Part
    index: Index
    file: Text | None = None


@dataclass(frozen=True)
class Exhibit:
    """An image that shows a finding.

    Attributes:
        image: The image, or `None` if the pictures belong to no single image.
        caption: One line: `"given cat, suggested dog"`.
        cells: Its pictures in the sheet `findings`: the image, and perhaps its heatmap, its copy, or the image after a
            change.
    """

    image: ImageRef | None
    caption: Text
    cells: list[Index] = field(default_factory=list)


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong.

    Attributes:
        image: The image.
        given: Its label.
        suggested: The class that it probably belongs to; `None` if it seems to belong to none.
        score: Estimated probability that the label is wrong, 0–1. Suspects are ranked by it.
        reason: Why, in a few words.
    """

    image: ImageRef
    given: Index
    suggested: Index | None
    score: Probability
    reason: Text


@dataclass(frozen=True)
class LabelNoise:
    """Estimated share of wrong labels in a set.

    Attributes:
        part: Which set.
        share: The estimate.
        low: Lower end of a 95 % interval.
        high: Upper end.
        p_value: Probability of so many contradictions, or more, if no label were wrong.
    """

    part: Part
    share: Share
    low: Share
    high: Share
    p_value: Share = 1.0


@dataclass(frozen=True)
class LabelSignal:
    """How well a simple classifier of the pictures, which uses no model, agrees with the labels of a set.

    Attributes:
        part: The set.
        learned_from: The set whose labels it learned from. It has never seen the label of the image that it classifies.
        images: Number of images.
        accuracy: Share of the images that it classifies as labelled.
        chance: The same share if its predictions are assigned to the images at random.
        deviation: Standard deviation of that share.
    """

    part: Part
    learned_from: Part
    images: Count
    accuracy: Share
    chance: Share
    deviation: Number

    @property
    def gain(self) -> float:
        """How much better than chance it is."""
        return self.accuracy - self.chance


@dataclass(frozen=True)
class MixedClasses:
    """Two classes, images of which are labelled as the other one, in both directions.

    Attributes:
        part: Which set.
        first: One class.
        second: The other one.
        images: Number of images with one of the two labels.
        share: Estimated share of them with the label of the other class.
        p_value: Of the direction with fewer contradictions, corrected for the number of pairs of classes.
    """

    part: Part
    first: Index
    second: Index
    images: Count
    share: Share
    p_value: Share


@dataclass(frozen=True)
class SameClasses:
    """Two classes whose images can't be told apart. An AUC of 0.5 is chance.

    Attributes:
        first: One class.
        second: The other one.
        images: Number of test images of the two classes.
        auc: How well the model tells test images of the two classes apart.
        low: Lower end of a 95 % interval of this AUC.
        high: Upper end.
        pictures_auc: How well a simple classifier of the pictures tells them apart.
        usual: What the model reaches for other pairs of classes that are hard to tell apart.
    """

    first: Index
    second: Index
    images: Count
    auc: Share
    low: Difference
    high: Difference
    pictures_auc: Share
    usual: Share


@dataclass(frozen=True)
class Foreign:
    """A test image that resembles no training image.

    Attributes:
        image: The image.
        distance: Its distance from the training images, relative to the largest that is not foreign.
    """

    image: ImageRef
    distance: Number


CopyKind = Literal["exact", "near", "mirrored", "shifted", "scaled", "group"]


@dataclass(frozen=True)
class Copy:
    """Two images that show the same: the second one is a copy of the first."""

    image: ImageRef
    original: ImageRef
    kind: CopyKind
    same_label: bool


@dataclass(frozen=True)
class Groups:
    """The group of each image, such as its patient, scene or lot; `""` for an image without one.

    Attributes:
        test: The groups of the test images, in the order of the set.
        train: Those of the training images; empty if they are not known.
    """

    test: list[Text]
    train: list[Text]


@dataclass(frozen=True)
class SharedGroups:
    """Groups that are in the test set and in the training set.

    Attributes:
        names: Their names, those with the most test images first; 100 at most.
        count: Number of such groups.
        groups: Number of groups in the test set.
        test_images: Number of test images in them.
        correct: Number of these that the model predicts correctly.
        pairs: A test image and a training image of the same group, for some of the groups.
    """

    names: list[Text]
    count: Count
    groups: Count
    test_images: Count
    correct: Count
    pairs: list[Copy]


@dataclass(frozen=True)
class Copies:
    """Copies in and between the sets.

    Attributes:
        pairs: The copies, those of test images in the training set first; 1,000 at most.
        test_in_train: Number of test images that are copies of training images.
        within_test: Number of test images that repeat an earlier test image.
        within_train: Number of training images that repeat an earlier training image.
        searched: Number of images that were compared.
        correct: Number of test images that are copies of training images and are predicted correctly.
        other_labels: Number of copies with another label than their original.
        tells_near: Whether changed copies could be told from images that are only similar. If not, only copies with
            equal pixels are counted.
        shared_groups: Groups that are in both sets; `None` if the groups are not known.
    """

    pairs: list[Copy]
    test_in_train: Count
    within_test: Count
    within_train: Count
    searched: Count
    correct: Count = 0
    other_labels: Count = 0
    tells_near: bool = True
    shared_groups: SharedGroups | None = None


LIKE_TRAINING = "scaled like the training images"
"""The name of the correction that gives each channel the mean and the deviation of the training images."""


@dataclass(frozen=True)
class Correction:
    """The accuracy on a sample of images before and after they were changed.

    Test images are changed to correct them. Training images are changed as the test images differ from them, to measure
    what the difference costs.

    Attributes:
        part: Which images.
        name: What was changed: `"channels reversed"`.
        code: The line that changes images `x`; empty for training images.
        images: Number of images.
        before: Accuracy on the images as they are.
        after: Accuracy on the changed images.
        low: Lower end of a 95 % interval of the gain.
        p_value: Of McNemar's test.
    """

    part: Part
    name: Text
    code: Text
    images: Count
    before: Share
    after: Share
    low: Difference
    p_value: Share

    @property
    def gain(self) -> float:
        """By how much the accuracy rises."""
        return self.after - self.before


@dataclass(frozen=True)
class Shortcut:
    """Something in the images that decides the prediction without being the object.

    Attributes:
        name: What and where it is: `"a mark at the lower right of images of ship"`.
        label: The class that it makes the model predict.
        part: The images that it was found in.
        share: Share of the images of the class that show it.
        share_of_others: Share of the images of other classes that show it.
        images: Number of images of other classes that it was put on.
        turned: Share of them that were then predicted as that class.
        usual: The share that a place of the same size turns in the median class or place.
        covered_images: Number of images of the class in which it was covered.
        covered_before: Recall of the class on them before.
        covered_after: Recall after.
    """

    name: Text
    label: Index
    part: Part
    share: Share
    share_of_others: Share
    images: Count
    turned: Share
    usual: Share
    covered_images: Count = 0
    covered_before: Share | None = None
    covered_after: Share | None = None


@dataclass(frozen=True)
class Slice:
    """A group of test images on which the model fails more often than on the rest.

    Attributes:
        name: What the images have in common: `"dark images (brightness below 41)"`.
        source: Where it comes from: `"brightness"`, `"cluster"`, `"folder"`, or a column of the metadata.
        size: Number of images.
        wrong: Number of misclassified ones.
        error_low: Lower end of the 95 % Wilson interval of its error.
        error_high: Upper end.
        rest_size: Number of all other images.
        rest_wrong: Number of misclassified ones.
        expected: The error on all other images of the same classes: that of a slice whose images are no harder.
        p_value: Corrected for the number of slices that were tried.
        label: The class that all its images have, if the slice is a part of a class.
        is_given: Whether the group is given, as a folder or a value of the metadata, and not found in the images.
        looks: In which attributes its images differ most from all: `"low contrast, low brightness"`.
        members: Which images of the test set belong to it, as `unpacked` reads it.
    """

    name: Text
    source: Text
    size: Positive
    wrong: Count
    error_low: Share
    error_high: Share
    rest_size: Count
    rest_wrong: Count
    expected: Share
    p_value: Share
    label: Index | None = None
    is_given: bool = False
    looks: Text = ""
    members: str = ""

    @property
    def error(self) -> float:
        """The share of its images that are misclassified."""
        return self.wrong / self.size

    @property
    def excess(self) -> float:
        """By how much its error is higher than expected."""
        return self.error - self.expected


_MOST_PLAIN = 100_000
"""Images of a set whose subsets are not compressed."""
_COMPRESSED = "zlib:"


def packed(indices: np.ndarray, size: int) -> str:
    """Returns a subset of a set as text: one bit for each image, in base64; compressed for large sets.

    Example:
        >>> packed(np.array([1, 9]), 10), unpacked("QEA=", 10)
        ('QEA=', array([1, 9]))

    Args:
        indices: Places of the images of the subset.
        size: Number of images of the set.
    """
    bits = np.zeros(size, bool)
    bits[indices] = True
    content = np.packbits(bits).tobytes()
    if size <= _MOST_PLAIN:
        return base64.b64encode(content).decode()
    return _COMPRESSED + base64.b64encode(zlib.compress(content, 9)).decode()


def unpacked(members: str, size: int) -> np.ndarray:
    """Returns the places of the images of a subset that `packed` wrote: `int64`, ascending."""
    return np.flatnonzero(np.unpackbits(bits_of(members, size), count=size))


def bits_of(members: str, size: int) -> np.ndarray:
    """Returns the bytes of a text that `packed` wrote for a set of `size` images.

    Raises:
        ValueError: If it has another number of bytes, or is no such text.
    """
    content = base64.b64decode(members.removeprefix(_COMPRESSED), validate=True)
    if members.startswith(_COMPRESSED):
        unpacking = zlib.decompressobj()
        try:
            content = unpacking.decompress(content, size // 8 + 2)  # never more than the set has
        except zlib.error as error:
            raise ValueError(str(error)) from error
    if len(content) != -(-size // 8):
        raise ValueError(f"{len(content)} bytes of {size} images")
    return np.frombuffer(content, np.uint8)


@dataclass(frozen=True)
class Temperature:
    """The temperature that the logits are divided by so that confidence agrees with accuracy.

    Attributes:
        value: Above 1 for an overconfident model. It is fitted on one half of the test set and measured on the other.
        error_before: Expected calibration error on the other half before.
        error_after: After.
    """

    value: Number
    error_before: Probability
    error_after: Probability


@dataclass(frozen=True)
class Estimate:
    """An estimate of the accuracy without some of the test images.

    Attributes:
        without: Which images are left out: `"suspected label errors"` or `"copies of training images"`.
        images: Number of images that are left out.
        accuracy: Accuracy on the others.
        low: Lower end of its 95 % Wilson interval.
        high: Upper end.
    """

    without: Text
    images: Count
    accuracy: Share
    low: Share
    high: Share


@dataclass(frozen=True)
class DataFacts:
    """What was measured on the images and labels. `None`: not measured.

    Attributes:
        suspects: Images whose labels are probably wrong, most probable first in each set; 1,000 of each set at most.
        noise: Estimated shares of wrong labels.
        signals: How well a simple classifier of the pictures agrees with the labels.
        mixed_classes: Pairs of classes whose labels are mixed up.
        same_classes: Pairs of classes that can't be told apart.
        foreign: Images that resemble no class, farthest first.
        copies: Copies in and between the sets.
        corrections: Changes of test and training images that were tried, those on many images first, then by gain.
        shortcuts: Confirmed shortcuts, strongest first.
        slices: Groups of test images with a higher error, largest excess first.
        temperature: Temperature scaling of the confidence.
        estimates: Accuracy without some of the images.
        reasons: Why something was not measured, by the name of the field.
    """

    suspects: list[Suspect] | None = None
    noise: list[LabelNoise] | None = None
    signals: list[LabelSignal] | None = None
    mixed_classes: list[MixedClasses] | None = None
    same_classes: list[SameClasses] | None = None
    foreign: list[Foreign] | None = None
    copies: Copies | None = None
    corrections: list[Correction] | None = None
    shortcuts: list[Shortcut] | None = None
    slices: list[Slice] | None = None
    temperature: Temperature | None = None
    estimates: list[Estimate] = field(default_factory=list)
    reasons: dict[Text, Text] = field(default_factory=dict)


NOT_STUDIED = DataFacts()

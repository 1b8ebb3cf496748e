"""All scenarios: each defect on two data sets or at two strengths, and sound runs."""

from __future__ import annotations

from itertools import chain

from . import copies, images, labels, marks, pixels, slices, training
from .registry import Door, Scenario, planted
from .setups import scaled, standardized

# fmt: off
WRONG_TRAINING = "training-label-errors label-noise wrong-labels"
LEAK = "leaked-copies leak"
SHIFT = "correctable-inputs shifted-test-set input-mismatch"
NOT_LEARNING = "rate-too-low too-few-updates not-learning underfitting"
DIVERGED = "rate-too-high unstable-loss dead-units not-learning training-stopped exploding-gradients"

_LABELS = (
    planted("labels", "test-labels-wrong", labels.test_labels_wrong, "test-label-errors",
            {"cifar": (0.02, 0.05), "digits": (0.01, 0.05), "two": (0.05,)}),
    planted("labels", "test-labels-wrong", labels.test_labels_wrong, "test-label-errors",
            {"cifar-vgg": (0.05,)}, door="dataset"),
    planted("labels", "test-labels-wrong", labels.test_labels_wrong, "test-label-errors",
            {"digits28": (0.03,)}, door="npz"),
    planted("labels", "test-labels-wrong-by-pairs", labels.test_labels_wrong_by_pairs,
            "test-label-errors contradicting-annotators", {"cifar": (0.05,), "digits28": (0.02,)}),
    planted("labels", "training-labels-wrong", labels.training_labels_wrong, WRONG_TRAINING,
            {"cifar": (0.2,), "cifar-small": (0.1, 0.4), "digits": (0.1, 0.2), "digits28": (0.4,)}),
    planted("labels", "training-labels-wrong", labels.training_labels_wrong, WRONG_TRAINING,
            {"digits28": (0.2,)}, door="callback"),
    planted("labels", "training-labels-wrong-by-pairs", labels.training_labels_wrong_by_pairs,
            WRONG_TRAINING + " contradicting-annotators", {"cifar-small": (0.2,), "digits28": (0.2,)}),
    planted("labels", "pair-confused-by-annotators", labels.pair_confused_by_annotators,
            "contradicting-annotators same-class-twice", {"cifar-small": (0.35,), "digits": (0.4, 0.2)}),
    planted("labels", "class-under-two-names", labels.class_under_two_names,
            "same-class-twice contradicting-annotators", {"cifar-small": (0.5,), "digits": (0.5, 0.3)}),
    planted("labels", "classes-in-another-order", labels.classes_in_another_order, "class-order",
            {"cifar": (10, 2), "digits": (10, 2)}),
    planted("labels", "training-labels-shuffled", labels.training_labels_shuffled, WRONG_TRAINING,
            {"cifar-small": (1.0,), "digits": (0.8,)}),
    planted("labels", "test-labels-shuffled", labels.test_labels_shuffled, "wrong-labels class-order test-label-errors",
            {"cifar": (1.0,), "digits28": (0.8,)}),
    planted("labels", "foreign-images", labels.foreign_images, "no-class test-label-errors",
            {"cifar": (0.02, 0.1), "digits28": (0.05,)}),
)

_COPIES = (
    *(
        planted("copies", f"training-images-in-test-{kind}", copies.training_images_in_the_test_set(kind), LEAK,
                {"cifar": (0.02, 0.1) if kind in ("exact", "jpeg") else (0.1,), "digits28": (0.05,)})
        for kind in copies.KINDS
    ),
    planted("copies", "training-images-in-test-exact", copies.training_images_in_the_test_set("exact"), LEAK,
            {"digits": (0.02, 0.1)}),
    planted("copies", "training-images-in-test-exact", copies.training_images_in_the_test_set("exact"), LEAK,
            {"cifar": (0.05,)}, door="folder"),
    planted("copies", "training-images-in-test-mirrored", copies.training_images_in_the_test_set("mirrored"), LEAK,
            {"grey": (0.05,)}, door="dataset"),
    planted("copies", "repeated-in-test-exact", copies.repeated_in_the_test_set("exact"), "repeated-images",
            {"cifar": (0.02,), "digits28": (0.1,)}),
    planted("copies", "repeated-in-test-jpeg", copies.repeated_in_the_test_set("jpeg"), "repeated-images",
            {"cifar": (0.05,)}),
    planted("copies", "repeated-in-training-shifted", copies.repeated_in_the_training_set("shifted"),
            "repeated-images", {"cifar-small": (0.05,), "digits28": (0.05,)}),
    planted("copies", "repeated-with-other-labels", copies.repeated_in_the_test_set("exact", relabelled=True),
            "copies-with-other-labels", {"cifar": (0.02,), "digits28": (0.05,)}),
    planted("copies", "repeated-in-training-with-other-labels",
            copies.repeated_in_the_training_set("exact", relabelled=True), "copies-with-other-labels",
            {"cifar-small": (0.05,), "digits": (0.05,)}),
    planted("copies", "groups-in-both-sets", copies.groups_in_both_sets, "leaked-groups",
            {"cifar": (0.05,), "digits": (0.3,)}),
)

_QUALITY = (
    *(
        planted("quality", f"images-{name}", images.some(change), codes,
                {"cifar": (0.03,) if name in ("noise", "dark") else (0.1,),
                 "grey" if name == "enlarged" else "digits28": (0.05,)})  # all images of `digits28` are enlarged
        for name, (change, codes) in images.QUALITY.items()
    ),
    planted("quality", "images-blank", images.some(images.QUALITY["blank"][0]), "blank-images",
            {"cifar": (0.03,)}, door="folder"),
    planted("quality", "images-dark", images.some(images.QUALITY["dark"][0]), "dark-or-bright-images",
            {"cifar-subclassed": (0.05,)}),
)

BRIGHT, CONTRAST = r"bright|dark|light", r"contrast|bright|dark"
_SHIFT = (
    planted("shift", "test-set-brighter", images.every(lambda x, by, _: pixels.brighter(x, by), BRIGHT), SHIFT,
            {"cifar": (70, 40)}),
    planted("shift", "test-set-darker", images.every(lambda x, by, _: pixels.darker(x, by), BRIGHT + "|contrast"),
            SHIFT, {"cifar-resnet": (0.3,), "digits28": (0.3,)}),
    planted("shift", "test-set-of-low-contrast",
            images.every(lambda x, by, _: pixels.less_contrast(x, by), CONTRAST), SHIFT,
            {"cifar": (0.4,), "digits": (0.4,)}),
    planted("shift", "test-set-blurred", images.every(lambda x, by, _: pixels.blurred(x, by), "blur|sharp"), SHIFT,
            {"cifar": (1.5, 0.9)}),
    planted("shift", "test-set-noisy", images.every(pixels.noisy, "nois"), SHIFT,
            {"cifar": (30, 15)}),
    planted("shift", "test-set-grey", images.every(lambda x, _, __: pixels.grey(x), "grey|colou?r|saturation"), SHIFT,
            {"cifar": (1,), "superclasses": (1,)}),
    planted("shift", "test-set-inverted", images.every(lambda x, _, __: pixels.inverted(x), "invert|negative"), SHIFT,
            {"cifar": (1,), "digits": (1,)}),
    planted("shift", "test-set-with-channels-reversed",
            images.every(lambda x, _, __: pixels.channels_reversed(x), "channel|BGR|colou?r"), SHIFT,
            {"cifar": (1,), "cifar-subclassed": (1,)}),
    planted("shift", "test-set-divided", images.prepared(lambda x, by: scaled(x) / by, "divid|scal|255|multipl"), SHIFT,
            {"cifar-vgg": (255,), "digits": (255,)}),
    planted("shift", "test-set-not-divided", images.prepared(lambda x, _: x.astype("float32"), "divid|scal|255"),
            SHIFT, {"digits": (1,), "two": (1,)}),
    planted("shift", "test-set-standardized",
            images.prepared(lambda x, _: standardized(x), "standardi|mean|deviation|scal|normali"), SHIFT,
            {"cifar-vgg": (1,), "digits": (1,)}),
)

# Digits are recognized without a patch or text, so that the network does not learn them.
OTHER_DATA = {"patch": "grey", "frame": "digits28", "watermark": "digits28", "tint": "five", "text": "grey"}
_SHORTCUTS = (
    *(
        planted("shortcuts", f"{name}-in-both-sets", marks.marked(mark, test_too=True), "shortcut",
                {"cifar-small": strengths} | {OTHER_DATA[name]: strengths[:1]})
        for name, (mark, strengths) in marks.MARKS.items()
    ),
    *(
        planted("shortcuts", f"{name}-in-training", marks.marked(marks.MARKS[name][0], test_too=False), "shortcut",
                {"cifar": marks.MARKS[name][1][:1]})
        for name in ("patch", "watermark")
    ),
)

_SLICES = (
    *(
        planted("slices", f"{name}-with-metadata", slices.harder_group(change, named=True), "weak-slice",
                {"cifar": (0.04 if name == "darkened" else 0.08,),
                 "digits28" if name in ("darkened", "shrunk") else "superclasses": (0.1,)})
        for name, (change, _) in slices.GROUPS.items()
    ),
    *(
        planted("slices", f"{name}-without-metadata", slices.harder_group(change, named=False), f"weak-slice {also}",
                {"cifar": (0.1,)})
        for name, (change, also) in slices.GROUPS.items()
    ),
)

_CONFIDENCE = (
    planted("confidence", "logits-times", slices.logits_times, "overconfident",
            {"cifar": (3, 2), "digits28": (6,)}),
    planted("confidence", "logits-divided-by", slices.logits_divided, "underconfident",
            {"cifar": (3,), "digits": (4, 2)}),
    planted("confidence", "never-predicted", slices.never_predicted, "never-predicted-class weak-class",
            {"cifar": (30,), "digits": (60,)}),
    planted("confidence", "threshold-moved", slices.threshold_moved,
            "one-threshold over-predicted-class weak-class", {"two": (2, 4)}),
)

_TRAINING = (
    planted("training", "imbalanced", training.imbalanced, "imbalance",
            {"cifar-small": (50,), "digits": (20,)}),
    planted("training", "class-missing", training.class_missing, "missing-class",
            {"cifar-small": (1,), "digits": (2,)}),
    planted("training", "single-class", training.single_class, "single-class missing-class", {"digits": (1,)}),
    planted("training", "few-images", training.few_images, "little-data", {"cifar-small": (5,), "digits": (8,)}),
    planted("training", "sorted-and-not-shuffled", training.sorted_and_not_shuffled, "not-shuffled",
            {"cifar-small": (1,), "digits": (1,)}, door="callback"),
    planted("training", "sorted-validation", training.sorted_validation, "sorted-validation missing-class",
            {"cifar-small": (0.1,), "digits": (0.2,)}),
    *(
        planted("training", f"augmentation-{name}", training.augmented(layers),
                "destructive-augmentation strong-augmentation",
                {"cifar-small": strengths[1:], "digits28": strengths[:1]}, door="callback")
        for name, (layers, strengths) in training.AUGMENTATIONS.items()
    ),
    planted("training", "overfitted", training.overfitted, "overfitting past-best-epoch little-data",
            {"cifar-small": (40,)}),
    planted("training", "undertrained", training.undertrained, NOT_LEARNING, {"cifar-small": (1000,), "digits": (400,)},
            door="callback"),
    planted("training", "rate-times", training.rate_times, DIVERGED, {"cifar-small": (1000,), "digits": (300,)},
            door="callback"),
    planted("training", "rate-divided", training.rate_divided, NOT_LEARNING,
            {"cifar-small": (10000,), "digits": (1000,)}, door="callback"),
)


def clean(setup: str, *seeds: int, door: Door = "diagnose", **sizes: int) -> list[Scenario]:
    """Returns sound runs with other images for each seed."""
    return [Scenario("clean", "clean", None, frozenset(), setup, door=door, seed=seed, **sizes) for seed in seeds]


_CLEAN = (
    clean("cifar", 0, 1),
    clean("cifar", 3, test=300),
    clean("cifar", 4, train=20000, test=10000),
    clean("cifar", 5, train=2000, test=2000),
    clean("cifar", 6, door="dataset"),
    clean("cifar", 7, door="folder", train=5000, test=1000),
    clean("cifar", 8, door="npz", train=5000, test=1000),
    clean("cifar", 9, train=5000, test=6000),
    clean("cifar-resnet", 0),
    clean("cifar-resnet", 2, door="callback"),
    clean("cifar-vgg", 0),
    clean("cifar-subclassed", 0, 1),
    clean("cifar-small", 0, 1),
    clean("cifar-small", 2, door="callback"),
    clean("grey", 0, 1),
    clean("two", 0, 1),
    clean("five", 0),
    clean("superclasses", 0, 1),
    clean("digits", 0, 1),
    clean("digits", 2, door="callback"),
    clean("digits", 3, door="dataset"),
    clean("digits", 4, train=1000, test=300),
    clean("digits28", 0, 1),
    clean("digits28", 2, door="npz"),
    clean("hundred", 0, 1),
)

_FAMILIES = (_CLEAN, _LABELS, _COPIES, _QUALITY, _SHIFT, _SHORTCUTS, _SLICES, _CONFIDENCE, _TRAINING)
_ALL = list(chain.from_iterable(chain.from_iterable(_FAMILIES)))
SCENARIOS: dict[str, Scenario] = {each.name: each for each in _ALL}
if len(SCENARIOS) < len(_ALL):
    raise ValueError("Two scenarios have the same name.")

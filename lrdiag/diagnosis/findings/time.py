"""Rules about the time of a training run."""

from __future__ import annotations

from lrdiag.diagnosis.evidence import Evidence, given
from lrdiag.diagnosis.findings.answers import Answer, Found, NotChecked, Passed
from lrdiag.formats import count, duration, percent
from lrdiag.record.facts import Severity

LEAST_SECONDS = 5.0
"""Seconds below which lost time is not reported: a short run may lose most of its time."""
LEAST_PAUSES = 10.0
"""The same for pauses between epochs. TensorFlow's autotuning makes some in most runs."""
MOST_COMPILATIONS = 3
"""Number of compilations for one size of the images: for full batches, for a smaller last batch, and once again."""
HALF = 0.5
"""Share of lost time from which on a finding is a warning."""


def idle_between_epochs(evidence: Evidence, threshold: float) -> Answer:
    """A large share of the time passed between the last step of an epoch, its validation and the next epoch."""
    time = given(evidence.time)
    share = time.idle / (time.total or 1.0)
    if time.idle < LEAST_PAUSES:
        return Passed()
    if share <= threshold:
        return Passed(share, threshold)
    return Found(
        f"Training paused for {duration(time.idle)} of {duration(time.total)} between the epochs.",
        f"{percent(share)} of the time passed between the last step of an epoch, its validation and the next epoch. "
        "With TensorFlow, the usual cause is the autotuning of tf.data: each pass over a dataset may end with a pause "
        "as long as the pass itself. Keras makes such datasets of arrays, too.",
        "Turn autotuning off for the training and the validation data: `options = tf.data.Options()`, "
        "`options.autotune.enabled = False`, `dataset = dataset.with_options(options)`. Put arrays into a dataset with "
        f"`tf.data.Dataset.from_tensor_slices` first. This saves up to {duration(time.idle)}. Without tf.data, look "
        "for what starts or ends with each pass over the data, such as worker processes.",
        share,
        threshold,
        why="Nothing is computed during these pauses. Without them, the same model is trained in less time.",
        severity=_severity(share),
    )


def input_bound(evidence: Evidence, threshold: float) -> Answer:
    """The training steps wait for their data for a large share of their time."""
    time = given(evidence.time)
    if time.waiting is None:
        return NotChecked("how long the steps waited for data is not known")
    steps = time.waiting + time.computing
    share = time.waiting / (steps or 1.0)
    if time.waiting < LEAST_SECONDS:
        return Passed()
    if share <= threshold:
        return Passed(share, threshold)
    return Found(
        f"The training steps waited for data {percent(share)} of their time.",
        f"They waited for {duration(time.waiting)} of {duration(steps)}, without the steps in which the model was "
        "compiled.",
        "Prepare the data in parallel and ahead of the steps. With tf.data, use `map(..., num_parallel_calls="
        "tf.data.AUTOTUNE)`, `cache()` after what is the same in each epoch, and `prefetch(2)` at the end. With a "
        "keras.utils.PyDataset, set `workers` and `use_multiprocessing=True`; with a PyTorch DataLoader, `num_workers` "
        f"and `persistent_workers=True`. This saves up to {duration(time.waiting)}.",
        share,
        threshold,
        why="The device that trains is idle while it waits, so a faster one would not help.",
        severity=_severity(time.waiting / time.total),
    )


def slow_validation(evidence: Evidence, threshold: float) -> Answer:
    """Validation takes longer than training."""
    time = given(evidence.time)
    ratio = time.validation / (time.steps or 1.0)
    if time.validation < LEAST_SECONDS:
        return Passed()
    if ratio <= threshold:
        return Passed(ratio, threshold)
    return Found(
        f"Validation took {duration(time.validation)}, the training steps {duration(time.steps)}.",
        f"Validation took {percent(time.validation / time.total)} of the whole time.",
        "Validate less often with `validation_freq` of `fit`, on a part of the images with `validation_steps`, or in "
        "larger batches with `validation_batch_size`. With `validation_freq=2`, the same run takes about "
        f"{duration(time.validation / 2)} less.",
        ratio,
        threshold,
        why="Most of the time is spent on measuring the model, not on training it.",
    )


def recompilation(evidence: Evidence, threshold: float) -> Answer:
    """The training step is compiled again and again."""
    time = given(evidence.time)
    if time.compilations is None:
        return NotChecked("the training step is not compiled, or its compilations are not counted")
    share = time.compiling / (time.total or 1.0)
    sizes = max(1, len(given(evidence.training).stages))
    if time.compilations <= MOST_COMPILATIONS * sizes or time.compiling < LEAST_SECONDS:
        return Passed()
    if share <= threshold:
        return Passed(share, threshold)
    return Found(
        f"The training step was compiled {count(time.compilations)} times.",
        f"The steps in which it was compiled took {duration(time.compiling)}, {percent(share)} of the whole time. Once "
        "is enough for each shape of a batch.",
        "Give all batches the same shape: resize or pad the images, and leave out a smaller last batch with "
        "`batch(..., drop_remainder=True)`. If a callback compiles the model in each epoch, compile it before `fit`.",
        share,
        threshold,
        why="A step that is compiled takes many times as long as others.",
        severity=_severity(share),
    )


def _severity(lost: float) -> Severity | None:
    """A warning if half of the time was lost. `None` is the severity in the table of rules."""
    return "warning" if lost >= HALF else None

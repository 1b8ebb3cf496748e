"""Searches for shortcuts: something in the images that decides the prediction without being the object.

Candidates come from the pictures: what sets the images of one class apart, more than anything sets other classes apart.
Each is confirmed by intervention: put on images of other classes, it makes the model predict the class; removed from
images of the class, the model no longer recognizes them. Both are compared with the same change by an ordinary place,
and with the candidates of other classes.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from lrdiag.experiments.candidates import FEWEST, Candidate, Family, Sources, families, standing_out
from lrdiag.experiments.interventions import Effect, InputImages, measure
from lrdiag.experiments.scale import Scale, scale_of
from lrdiag.experiments.scoring import Scores, in_batches
from lrdiag.formats import short
from lrdiag.images.choosing import sample
from lrdiag.images.marks import RARE
from lrdiag.record.data_facts import ImageRef, Shortcut
from lrdiag.record.experiments import Changed
from lrdiag.record.image_table import ImageTable

EFFECT = 0.15
"""By how much a shortcut changes predictions more than the candidates of other classes do, at least."""
SMALL_EFFECT = 0.05
"""The same if all images of the class show it and no others."""
UNMISTAKABLE, ALONE = 0.9, 2.0
"""Clarity, and prominence relative to the next class, from which on something is reported if it changes nothing."""
RIVALS = 3
"""Candidates of other classes that a candidate is compared with."""
CLEAR = 0.5
"""Clarity of a candidate if there are fewer other classes: the images of two classes may differ in everything."""
MOST_PLACES = 20_000 * 32 * 32
"""Most places of pictures that are searched."""
EXAMPLES = 8
"""Images that show a shortcut, of each kind."""


@dataclass(frozen=True)
class _Search:
    scores: Scores
    receivers: InputImages
    sources: Sources

    def effect(self, candidate: Candidate) -> Effect | None:
        """What a candidate does; `None` if there are too few images."""
        receivers, carriers = self.images(candidate)
        if min(len(receivers), len(carriers)) < FEWEST:
            return None
        return measure(
            self.scores,
            candidate.change,
            candidate.label,
            self.receivers.values[receivers],
            self.sources.inputs.take(carriers),
        )

    def clarity(self, candidate: Candidate) -> float:
        """Share of the images of the class that show it, less `RARE` times that of the others."""
        own = self.sources.labels == candidate.label
        return float(candidate.shown[own].mean() - RARE * candidate.shown[~own].mean())

    def images(self, candidate: Candidate) -> tuple[np.ndarray, np.ndarray]:
        """Places of images of other classes, and of images of the class that show the candidate."""
        label, images, inputs = candidate.label, self.receivers, self.sources.inputs
        shown = candidate.shown[self.sources.input_places]
        return (
            images.some((images.labels != label) & (images.predicted != label)),
            inputs.some((inputs.labels == label) & shown),
        )


@dataclass(frozen=True)
class _Confirmed:
    candidate: Candidate
    effect: Effect
    usual: float
    strength: float


def find_shortcuts(
    scores: Scores,
    test: ImageTable,
    training: ImageTable | None,
    classes: Sequence[str],
) -> tuple[list[Shortcut], dict[str, list[Changed]]] | None:
    """Searches for shortcuts.

    Args:
        scores: Takes inputs of the model, and returns logits of shape `(n, classes)`.
        test: The test images, with inputs. Candidates are put on them.
        training: The training images, or `None`. Candidates come from them, or from the test images.
        classes: Name of each class.

    Returns:
        The confirmed shortcuts, strongest first, and images before and after, by their names. `None` if the inputs are
        not images, or if there are fewer than two classes with `FEWEST` images.
    """
    source = test if training is None or training.inputs is None else training
    search = _prepare(scores, test, source, len(classes))
    if search is None or len(search.sources.present) < 2:
        return None
    confirmed: dict[int, _Confirmed] = {}
    for family in families(search.sources):
        confirmed.update(_confirm(search, family, confirmed))
    ordered = sorted(confirmed.values(), key=lambda each: -each.strength)
    shortcuts = [_fact(each, search, source, classes) for each in ordered]
    changed = {
        fact.name: _examples(search, each.candidate, test, source, classes)
        for fact, each in zip(shortcuts, ordered, strict=True)
    }
    return shortcuts, changed


def _prepare(scores: Scores, test: ImageTable, source: ImageTable, classes: int) -> _Search | None:
    receivers, inputs = _images(test), _images(source)
    if receivers is None or inputs is None or receivers.values.shape[1:] != inputs.values.shape[1:]:
        return None
    shape = np.asarray(test.inputs).shape[1:]
    height, width = source.pictures.shape[1:3]
    rows = np.union1d(sample(0, len(source), max(1, MOST_PLACES // (height * width))), source.input_rows)
    sources = Sources(
        source.pictures[rows],
        source.labels[rows],
        inputs,
        np.searchsorted(rows, source.input_rows),
        scale_of(source.pictures[source.input_rows], inputs.values),
        classes,
    )
    return _Search(lambda images: in_batches(scores, images.reshape(-1, *shape)), receivers, sources)


def _images(table: ImageTable) -> InputImages | None:
    """The inputs as images, or `None` if they have not the form of images."""
    inputs, rows = table.inputs, table.input_rows
    if inputs is None or not len(inputs):
        return None
    if inputs.ndim != 4:
        shape = table.pictures.shape[1:]
        if inputs[0].size != np.prod(shape):
            return None
        inputs = inputs.reshape(-1, *shape)
    return InputImages(inputs, table.labels[rows], table.predictions.predicted[rows], rows)


def _confirm(search: _Search, family: Family, known: Container[int]) -> dict[int, _Confirmed]:
    """Tries the candidates that stand out, except those of classes with a known shortcut."""
    present = search.sources.present
    prominence = family.prominence[present]
    out = present[standing_out(prominence, family.least)].tolist()
    rivals = [each for each in present[np.argsort(-prominence, kind="stable")].tolist() if each not in out]
    confirmed = {}
    for label in out:
        candidate = family.candidate(label, label)
        clarity = search.clarity(candidate)
        if label in known or (len(rivals) < RIVALS and clarity < CLEAR):
            continue
        alone = clarity >= UNMISTAKABLE and family.prominence[label] >= ALONE * family.prominence[rivals].max(initial=0)
        tried = _tried(search, family, candidate, rivals[:RIVALS], alone=bool(alone))
        if tried is not None and (tried.strength > 0 or (alone and len(rivals) >= RIVALS)):
            confirmed[label] = tried
    return confirmed


def _tried(
    search: _Search, family: Family, candidate: Candidate, rivals: list[int], *, alone: bool
) -> _Confirmed | None:
    """Compares the effect of a candidate with those of its rivals. The strength is 0 if it does not exceed them.

    To remove a part of the object lowers the recall too. So a loss counts only if nearly all images of the class have
    the candidate, and no others (`alone`).
    """
    effect = search.effect(candidate)
    if effect is None:
        return None
    # The clearer it is that the images of a class have something of their own, the less it must change.
    least = max(SMALL_EFFECT, EFFECT * (1 - max(search.clarity(candidate), 0.0)))
    if max(effect.certain_turn, effect.certain_loss if alone else 0.0) < least:
        return _Confirmed(candidate, effect, effect.turned_by_control / effect.images, 0.0)
    usual = [search.effect(family.candidate(rival, candidate.label)) for rival in rivals]
    measured = [each for each in usual if each is not None]
    turn = effect.certain_turn - max([each.turn for each in measured], default=0.0)
    loss = effect.certain_loss - max([each.loss for each in measured], default=0.0)
    shares = [each.turned / each.images for each in measured] or [effect.turned_by_control / effect.images]
    strength = max(turn, loss) if alone else turn
    return _Confirmed(candidate, effect, float(np.median(shares)), strength if strength >= least else 0.0)


def _fact(each: _Confirmed, search: _Search, source: ImageTable, classes: Sequence[str]) -> Shortcut:
    candidate, effect = each.candidate, each.effect
    own = search.sources.labels == candidate.label
    return Shortcut(
        name=f"{candidate.name} of images of {short(classes[candidate.label])}",
        label=candidate.label,
        part=source.part,
        share=float(candidate.shown[own].mean()),
        share_of_others=float(candidate.shown[~own].mean()),
        images=effect.images,
        turned=effect.turned / effect.images,
        usual=each.usual,
        covered_images=effect.carriers,
        covered_before=effect.before / effect.carriers,
        covered_after=effect.after / effect.carriers,
    )


def _examples(
    search: _Search, candidate: Candidate, test: ImageTable, source: ImageTable, classes: Sequence[str]
) -> list[Changed]:
    """Images that the candidate turned, and images of the class without it, the unrecognized ones first."""
    scale = search.sources.scale
    if scale is None:
        return []
    receivers, carriers = search.images(candidate)
    put = candidate.change.put(search.receivers.values[receivers])
    removed = candidate.change.remove(search.sources.inputs.values[carriers])
    after = search.scores(np.concatenate([put, removed])).argmax(axis=1)
    turned = np.flatnonzero(after[: len(put)] == candidate.label)[:EXAMPLES]
    lost = np.argsort(after[len(put) :] == candidate.label, kind="stable")[:EXAMPLES]
    return [
        *_changed(scale, test, search.receivers, receivers[turned], put[turned], after[turned], classes),
        *_changed(scale, source, search.sources.inputs, carriers[lost], removed[lost], after[len(put) + lost], classes),
    ]


def _changed(
    scale: Scale,
    table: ImageTable,
    images: InputImages,
    places: np.ndarray,
    changed: np.ndarray,
    after: np.ndarray,
    classes: Sequence[str],
) -> list[Changed]:
    if not len(places):
        return []
    pictures = scale.pictures(changed)
    return [
        Changed(
            ImageRef(table.part, int(table.indices[row]), table.file(row)),
            f"{short(classes[before])} before, {short(classes[now])} after",
            table.pictures[row],
            picture,
        )
        for row, before, now, picture in zip(
            images.rows[places].tolist(), images.predicted[places].tolist(), after.tolist(), pictures, strict=True
        )
    ]

"""Parts of an evaluation: merged, they give the report of one evaluation, and parts that don't belong are refused."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from fixtures.same_report import differences

import lrdiag
from lrdiag.errors import DataError, ModelError, PartError, SettingsError
from lrdiag.evaluation import gathering, table
from lrdiag.evaluation.evaluator import Evaluator
from lrdiag.parts import joined_evaluation
from lrdiag.record import part as storage
from lrdiag.report.report import Report

L = keras.layers
BATCH = 8
generator = np.random.default_rng(0)
IMAGES, LABELS = generator.random((155, 8, 8, 1), "float32"), generator.integers(0, 3, 155)
BATCHES = [(IMAGES[first : first + BATCH], LABELS[first : first + BATCH]) for first in range(0, 155, BATCH)]


class Sequenced(keras.utils.PyDataset):
    def __init__(self) -> None:
        super().__init__()

    def __len__(self) -> int:
        return len(BATCHES)

    def __getitem__(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        return BATCHES[place]


DATA: dict[str, Callable[[], tuple[Any, ...]]] = {
    "arrays": lambda: (IMAGES, LABELS),
    "list": lambda: (BATCHES,),
    "PyDataset": lambda: (Sequenced(),),
    "tf.data": lambda: (tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(BATCH),),
    "inputs": lambda: ({"one": IMAGES, "other": IMAGES[::-1]}, LABELS),
}


def network() -> keras.Model:
    image = keras.Input((8, 8, 1), name="one")
    features = L.GlobalAveragePooling2D()(L.Conv2D(4, 3, activation="relu")(image))
    return keras.Model(image, L.Dense(3, activation="softmax")(features), name="tiny")


def network_of_two() -> keras.Model:
    one, other = keras.Input((8, 8, 1), name="one"), keras.Input((8, 8, 1), name="other")
    maps = L.Conv2D(4, 3, activation="relu")(L.Concatenate()([one, other]))
    return keras.Model({"one": one, "other": other}, L.Dense(3)(L.GlobalAveragePooling2D()(maps)), name="two")


@pytest.fixture(scope="module")
def models() -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    return {kind: network_of_two() if kind == "inputs" else network() for kind in DATA}


def whole(model: keras.Model, kind: str, **options: Any) -> Report:
    return lrdiag.diagnose(model, *DATA[kind](), batch_size=BATCH, **options)


def evaluated(model: keras.Model, kind: str, of: int, **options: Any) -> list[lrdiag.Part]:
    return [
        lrdiag.diagnose_part(model, *DATA[kind](), part=(number, of), batch_size=BATCH, **options)
        for number in range(1, of + 1)
    ]


def merged_from_folders(parts: Sequence[lrdiag.Part], folder: Path) -> Report:
    folders = [each.save(folder / str(each.record.number)) for each in parts]
    return lrdiag.merge(folders[i] for i in np.random.default_rng(len(parts)).permutation(len(parts)))


def test_parts_give_the_report_of_one_evaluation(models: dict[str, keras.Model], tmp_path: Path) -> None:
    options = {"class_names": ["ant", "bee", "cow"], "seed": 3}
    parts = evaluated(models["arrays"], "arrays", 7, **options)
    assert sum(each.record.size for each in parts) == 155
    assert differences(whole(models["arrays"], "arrays", **options), merged_from_folders(parts, tmp_path)) == []


def test_parts_keep_the_images_that_one_evaluation_keeps(
    models: dict[str, keras.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MOST_MISTAKES", 20)
    monkeypatch.setattr(gathering, "TRUST_SAMPLE", 15)
    monkeypatch.setattr(gathering, "MOST_TEST_IMAGES", 120)
    monkeypatch.setattr(gathering, "SAMPLE_OF_MORE", 90)
    monkeypatch.setattr(table, "_INPUTS", 40 * IMAGES[0].nbytes)
    evaluator = Evaluator(models["arrays"], batch_size=BATCH)
    one = evaluator.evaluate(IMAGES, LABELS)
    joined = joined_evaluation(evaluator, evaluated(models["arrays"], "arrays", 3))
    assert len(one.mistake_indices) == 20
    assert one.images is not None
    assert joined.images is not None
    assert len(one.images.indices) == 90
    for mine, other in [(one, joined), (one.images, joined.images), (one.heatmaps, joined.heatmaps)]:
        arrays = {name: each for name, each in vars(mine).items() if isinstance(each, np.ndarray)}
        assert [name for name, each in arrays.items() if not np.allclose(each, vars(other)[name], atol=1e-6)] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", DATA)
def test_any_number_of_parts_of_any_data_gives_the_report_of_one_evaluation(
    models: dict[str, keras.Model], tmp_path: Path, kind: str
) -> None:
    expected = whole(models[kind], kind)
    for of in (1, 2, 7, 16, 23) if kind == "arrays" else (2, 16):  # there are 20 batches
        parts = evaluated(models[kind], kind, of)
        assert differences(expected, merged_from_folders(parts, tmp_path / str(of))) == []


@pytest.fixture(scope="module")
def report(models: dict[str, keras.Model], two: list[lrdiag.Part]) -> Report:
    return lrdiag.merge([replace(each, model=None) for each in two], model=models["arrays"])


def test_two_reports_that_differ_are_told_apart(report: Report) -> None:
    """The tests above could not fail otherwise."""
    assert report.heatmaps is not None
    maps = replace(report.heatmaps, signed_true=report.heatmaps.signed_true + 1e-5)
    renamed = replace(report.diagnosis, model="other", test=replace(report.diagnosis.test, size=1))
    other = replace(report, run=replace(report.run, diagnosis=renamed), heatmaps=maps, mistakes=report.mistakes[1:])
    found = ["report.model: tiny and other", "report.test.size: 155 and 1", "mistakes", "heatmaps"]
    assert differences(report, other) == found


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(models: dict[str, keras.Model]) -> list[lrdiag.Part]:
    return evaluated(models["arrays"], "arrays", 2)


@pytest.fixture
def folders(two: list[lrdiag.Part], tmp_path: Path) -> list[Path]:
    return [each.save(tmp_path / f"part-{each.record.number}") for each in two]


def refusal(parts: Any, **options: Any) -> str:
    with pytest.raises((PartError, ModelError)) as caught:
        lrdiag.merge(parts, **options)
    return str(caught.value)


def changed(part: lrdiag.Part, **changes: Any) -> lrdiag.Part:
    return replace(part, record=replace(part.record, **changes))


def test_missing_and_repeated_parts_are_refused(two: list[lrdiag.Part], folders: list[Path]) -> None:
    assert refusal([]) == "There must be at least one part. Received: none"
    assert refusal(folders[1]) == (
        "All parts must be given. Evaluate those that are missing. Received: 1 of 2, without 1 part: 1"
    )
    assert refusal(changed(two[1], number=3, of=15)) == (
        "All parts must be given. Evaluate those that are missing. Received: 1 of 15, without 14 parts: "
        "1, 2, 4, 5, 6, 7, 8, 9, 10, 11, …"
    )
    assert refusal([*folders, two[1]]) == (
        f"Each part must be given once. Received: part 2 of 2 in {folders[1]} and part 2 of 2"
    )


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"model": "0" * 32}, "model"),
        ({"data": "0" * 32}, "data or its batches"),
        ({"lrdiag": "0.1.0", "engine": "jax"}, "version of lrdiag, the Keras backend"),
        ({"of": 3}, "number of parts"),
        ({"options": {"preprocess": "caffe", "output": None, "seed": 0}}, "option preprocess"),
        ({"class_names": ("a", "b", "c"), "carried_names": ("d",)}, "names of the classes"),
        ({"image_shape": (9, 8, 1)}, "size of the images ((8, 8, 1) and (9, 8, 1))"),
    ],
)
def test_a_part_of_another_evaluation_is_refused(two: list[lrdiag.Part], changes: dict[str, Any], what: str) -> None:
    foreign = changed(two[1], **changes)
    assert refusal([foreign, two[0]]) == (
        "Parts must be of one evaluation: the same model, data, options and versions. Evaluate the part that is of "
        f"another again. Received: part 1 of 2 and part 2 of {foreign.record.of}, which differ in the {what}"
    )


def test_parts_of_other_data_and_models_are_told_apart(models: dict[str, keras.Model], two: list[lrdiag.Part]) -> None:
    other = lrdiag.diagnose_part(models["list"], IMAGES[:-1], LABELS[:-1], part=(2, 2), batch_size=BATCH)
    assert refusal([two[0], other]).endswith("which differ in the model, the data or its batches")


def test_broken_parts_are_refused_with_their_folder(folders: list[Path]) -> None:
    file = folders[1] / storage.PART
    again = "The part can't be read. Evaluate it again; the others are kept. Received: "
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert refusal(folders) == f"{again}{file} (File is not a zip file)"
    file.unlink()
    assert refusal(folders) == (
        "A part is a folder that `lrdiag diagnose --part` or `Part.save` wrote. "
        f"Received: {folders[1]} without {storage.PART}"
    )


def test_a_part_of_another_form_is_refused(two: list[lrdiag.Part], folders: list[Path]) -> None:
    storage.write(folders[1], replace(two[1].record, form=0, lrdiag="0.9.0"), two[1].content)
    assert refusal(folders) == (
        "Parts must be written by the version of lrdiag that merges them. Evaluate the part again. "
        f"Received: {folders[1]}, written by lrdiag 0.9.0"
    )


MUTATIONS: dict[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]] = {
    "without labels": lambda arrays: {name: each for name, each in arrays.items() if name != "labels"},
    "fewer scores": lambda arrays: {**arrays, "scores": arrays["scores"][1:]},
    "more classes": lambda arrays: {**arrays, "scores": np.pad(arrays["scores"], ((0, 0), (0, 1)))},
    "other maps": lambda arrays: {**arrays, "mistakes.column.true": arrays["mistakes.column.true"][:, 1:]},
    "fewer pictures": lambda arrays: {**arrays, "mistakes.column.pictures": arrays["mistakes.column.pictures"][1:]},
    "other means": lambda arrays: {**arrays, "means.sums": arrays["means.sums"][:, :2]},
    "a class that is not there": lambda arrays: {**arrays, "labels": arrays["labels"] + 7},
    "places outside": lambda arrays: {**arrays, "mistakes.places": arrays["mistakes.places"] + 1000},
    "nothing": lambda arrays: {},
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_part_without_its_arrays_is_refused(two: list[lrdiag.Part], mutation: str) -> None:
    content = MUTATIONS[mutation](two[1].content)
    assert refusal([two[0], replace(two[1], content=content)]).startswith(
        "The part doesn't have the arrays of its evaluation. Evaluate it again; the others are kept. "
        "Received: part 2 of 2 ("
    )


def test_a_file_that_was_changed_is_refused_or_read_as_it_was(two: list[lrdiag.Part], folders: list[Path]) -> None:
    file = folders[1] / storage.PART
    whole_file = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole_file), 60):
        file.write_bytes(whole_file[:place] + bytes([whole_file[place] ^ 255]) + whole_file[place + 1 :])
        with suppress(PartError):  # a changed byte of the file's own directory may do no harm
            part = storage.read(folders[1])
            assert part.record == two[1].record
            assert all(np.array_equal(each, two[1].content[name]) for name, each in part.arrays().items())


def test_the_model_is_needed_and_must_be_that_of_the_parts(
    models: dict[str, keras.Model], two: list[lrdiag.Part], folders: list[Path]
) -> None:
    (folders[0] / storage.MODEL).unlink()
    assert refusal(folders) == (
        "Merging needs the model, which is in the folder of the first part. Pass it as `model`. "
        f"Received: part 1 of 2 in {folders[0]}, without a model"
    )
    assert refusal(folders, model=models["list"]) == (
        "The parts must be merged with the model that they evaluated. Received: 'tiny' with other weights"
    )
    assert not (folders[1] / storage.MODEL).exists()


def test_a_part_can_be_pickled_without_its_model(two: list[lrdiag.Part], tmp_path: Path) -> None:
    copies = pickle.loads(pickle.dumps(two))
    assert copies[0].model is None
    assert copies[0].record == two[0].record
    assert repr(copies) == "[Part(1 of 2, images=80), Part(2 of 2, images=75)]"
    assert "without a model" in refusal(copies)
    saved = storage.read(copies[1].save(tmp_path)).arrays()
    assert saved.keys() == two[1].content.keys()
    for name, each in saved.items():
        np.testing.assert_array_equal(each, two[1].content[name], strict=True)


def test_parts_are_merged_with_a_model_that_is_passed(report: Report) -> None:
    assert report.diagnosis.test.size == 155


@pytest.mark.parametrize("part", [(0, 2), (3, 2), (1.5, 2), 3, "12", (1, 2, 3), (True, 2)])
def test_a_part_that_is_none_is_refused(models: dict[str, keras.Model], part: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        lrdiag.diagnose_part(models["arrays"], IMAGES, LABELS, part=part)
    assert str(caught.value) == (
        f"`part` must be the number of the part, from 1, and the number of parts, such as (3, 8). Received: {part!r}"
    )


def test_data_of_unknown_length_is_refused(models: dict[str, keras.Model]) -> None:
    with pytest.raises(DataError, match=r"must have a known length to be evaluated in parts.*Received: takewhile of"):
        lrdiag.diagnose_part(models["arrays"], itertools.takewhile(bool, BATCHES), part=(1, 2))

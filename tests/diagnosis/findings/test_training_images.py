"""Rules about the training images."""

from __future__ import annotations

import dataclasses

import pytest
from fixtures.diagnoses import balanced, facts_of
from fixtures.image_sets import PHOTOGRAPHS, answer, found, image_set, scaled

from lrdiag.diagnosis.evidence import Evidence
from lrdiag.diagnosis.findings.answers import NotChecked, Passed
from lrdiag.record.data_facts import Correction, DataFacts
from lrdiag.record.observed import Activity, Inspection, Layer, Values


def correction(name: str, before: float, after: float) -> Correction:
    """A correction of 1,000 test images."""
    return Correction("test", name, f"x = {name}", 1000, before, after, after - before - 0.03, 1e-9)


def after(values: Values, *tried: Correction) -> Evidence:
    """The evidence of an evaluated model whose validation images have these values, after these corrections."""
    inspection = Inspection(training_data=image_set(), validation_data=image_set(values=values))
    facts = dataclasses.replace(facts_of(balanced(4, 50, 25)), data=DataFacts(corrections=list(tried)))
    return Evidence(facts, inspection=inspection)


class TestNanInput:
    def test_names_the_number_and_the_first(self) -> None:
        problem = found("nan-input", training_data=image_set(not_finite=(7, 30)))
        assert problem.title == "2 of 1,000 training images have NaN or infinite values."
        assert problem.evidence == "The first has the index 7. All training images were checked."
        assert found("nan-input", training_data=image_set(not_finite=(7,))).title.startswith(
            "1 of 1,000 training images has"
        )

    def test_says_what_was_not_checked(self) -> None:
        partly = image_set(not_finite=tuple(range(100)), checked=640)
        problem = found("nan-input", training_data=partly)
        assert problem.title == "At least 100 of 640 training images have NaN or infinite values."
        assert problem.evidence.endswith("Of 1,000 training images, the others were not checked.")

    def test_passes(self) -> None:
        assert answer("nan-input", training_data=image_set()) == Passed(0.0, 0.0)


class TestConstantInput:
    def test_one_value(self) -> None:
        problem = found("constant-input", training_data=image_set(values=Values(0.0, 0.0, 0.0, 0.0, 0.0)))
        assert problem.title == "The training images are constant: all values are 0."

    def test_one_image(self) -> None:
        alike = dataclasses.replace(PHOTOGRAPHS, between=0.0005)
        problem = found("constant-input", training_data=image_set(values=alike))
        assert problem.title == "The training images are all alike."
        assert problem.evidence.endswith("their values differ by 0.0005 from image to image, in a range from 0 to 1.")

    @pytest.mark.parametrize("between", [0.0011, 0.2])
    def test_passes(self, between: float) -> None:
        values = dataclasses.replace(PHOTOGRAPHS, between=between)
        assert isinstance(answer("constant-input", training_data=image_set(values=values)), Passed)

    def test_one_image_does_not_tell(self) -> None:
        assert isinstance(answer("constant-input", training_data=image_set(sampled=1)), NotChecked)


class TestLeak:
    def test_fires(self) -> None:
        problem = found("leak", shared=0.1, validation_data=image_set((50,) * 10))
        assert problem.title == "10.0 % of the validation images are also in the training images (50 of 500)."
        assert problem.severity == "error"

    def test_a_few_copies_are_a_warning(self) -> None:
        assert found("leak", shared=0.02, validation_data=image_set(size=None)).severity == "warning"

    @pytest.mark.parametrize("shared", [0.0, 0.01])
    def test_passes(self, shared: float) -> None:
        assert answer("leak", shared=shared, validation_data=image_set()) == Passed(shared, 0.01)


BYTES = scaled(PHOTOGRAPHS, 255)
SIGNED = scaled(PHOTOGRAPHS, 2, -1)
STANDARD = scaled(PHOTOGRAPHS, 4, -1.88)


class TestInputMismatch:
    @pytest.mark.parametrize(
        ("training", "validation", "line"),
        [
            (PHOTOGRAPHS, BYTES, "`x_val = x_val / 255`"),
            (SIGNED, BYTES, "`x_val = x_val / 127.5 - 1`"),
            (PHOTOGRAPHS, SIGNED, "`x_val = (x_val + 1) / 2`"),
            (SIGNED, PHOTOGRAPHS, "`x_val = 2 * x_val - 1`"),
            (BYTES, PHOTOGRAPHS, "`x_train = x_train / 255`"),
            (BYTES, SIGNED, "`x_train = x_train / 127.5 - 1`"),
            (STANDARD, PHOTOGRAPHS, "`x_val = (x_val - 0.47) / 0.25`"),
            (PHOTOGRAPHS, scaled(PHOTOGRAPHS, 1 / 255), "`x_val = (x_val - 0) / 0.00392`"),
        ],
    )
    def test_gives_the_line_to_write(self, training: Values, validation: Values, line: str) -> None:
        problem = found(
            "input-mismatch", training_data=image_set(values=training), validation_data=image_set(values=validation)
        )
        assert problem.title == "Training and validation images differ in scale."
        assert line in problem.advice
        assert problem.severity == "error"

    @pytest.mark.parametrize(
        ("values", "line"), [(PHOTOGRAPHS, "`x_val = 255 * x_val`"), (SIGNED, "`x_val = 127.5 * (x_val + 1)`")]
    )
    def test_a_model_that_scales_its_images_needs_pixels(self, values: Values, line: str) -> None:
        nothing = Activity(1.0, 1.0, 0.0, 0.0, True)
        rescaling = Layer("rescaling", "Rescaling", "Sequential", None, (-1,), (8, 8, 3), (8, 8, 3), None, nothing)
        problem = found(
            "input-mismatch",
            training_data=image_set(values=BYTES),
            validation_data=image_set(values=values),
            layers=(rescaling,),
        )
        assert line in problem.advice

    def test_states_what_the_best_correction_gives(self) -> None:
        tried = (correction("divided by 255", 0.31, 0.56), correction("inverted", 0.31, 0.1))
        problem = found("input-mismatch", after(BYTES, *tried))
        assert "from 0 to 1 with a mean of 0.47" in problem.evidence
        assert "On 1,000 images, accuracy is 31.0 %, and 56.0 % after this change: divided by 255." in problem.evidence

    def test_images_of_the_same_range_are_darker(self) -> None:
        problem = found("input-mismatch", after(scaled(PHOTOGRAPHS, 0.6), correction("inverted", 0.3, 0.9)))
        title = "Validation images are darker and lower in contrast than training images."
        assert problem.title == f"{title} This change corrects it: inverted."
        assert problem.advice.endswith("with one function for both: `x = inverted`.")

    @pytest.mark.parametrize(("shift", "fires"), [(0.2, False), (0.49, False), (0.8, True)])
    def test_the_shift_decides(self, shift: float, fires: bool) -> None:
        moved = scaled(PHOTOGRAPHS, 1, 0.25 * shift)
        seen = {"training_data": image_set(values=PHOTOGRAPHS), "validation_data": image_set(values=moved)}
        assert isinstance(answer("input-mismatch", **seen), Passed) is not fires

    def test_small_samples_do_not_decide(self) -> None:
        moved = scaled(PHOTOGRAPHS, 1, 0.25 * 0.8)
        few = answer("input-mismatch", training_data=image_set(), validation_data=image_set(values=moved, sampled=20))
        assert isinstance(few, NotChecked)
        assert few.reason == "512 training images and 20 validation images are too few"

    def test_a_small_difference_without_harm_passes(self) -> None:
        moved = scaled(PHOTOGRAPHS, 1, 0.25 * 0.8)
        assert found("input-mismatch", training_data=image_set(), validation_data=image_set(values=moved)).severity == (
            "warning"
        )
        assert isinstance(answer("input-mismatch", after(moved, correction("inverted", 0.5, 0.5))), Passed)

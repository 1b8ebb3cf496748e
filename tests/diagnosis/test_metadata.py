"""Tables of metadata, and how their rows are joined with images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixtures.image_tables import noise, part_of, table_of

from lrdiag.diagnosis.metadata import GivenGroups, Metadata, joined, read_given
from lrdiag.diagnosis.metadata_table import read_metadata
from lrdiag.errors import DataError
from lrdiag.record.image_table import ImageTable, Part

FILES = ("a/1.png", "a/2.png", "b/1.png", "b/3.png")


def images(*files: str, count: int = 4, part: Part = "test") -> ImageTable:
    count = len(files) or count
    labels = np.arange(count) % 2
    return table_of(noise(count), labels, np.zeros(count, bool), part=part, files=files)


def join(given: Any, test: ImageTable, train: ImageTable | None = None) -> Metadata:
    return joined(read_metadata(given), test, train)


class DataFrame:
    """What pandas, Polars and others have in common."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name: str) -> list[Any]:
        return self._columns[name]


class TestReading:
    def test_csv(self, tmp_path: Path) -> None:
        file = tmp_path / "images.csv"
        file.write_text("\ufefffile;site;age;lot\na.png;north;41;007\nb.png;;7.5;008\n\n", encoding="utf-8")
        table = read_metadata(file)
        assert table.columns == {
            "file": ["a.png", "b.png"], "site": ["north", None], "age": [41.0, 7.5], "lot": ["007", "008"],
        }  # fmt: skip
        assert read_metadata(table) is table

    def test_parquet(self, tmp_path: Path) -> None:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"index": [0, 1], "site": ["a", None]}), tmp_path / "images.parquet")
        assert read_metadata(str(tmp_path / "images.parquet")).columns == {"index": [0.0, 1.0], "site": ["a", None]}

    def test_a_data_frame(self) -> None:
        given = DataFrame({"age": [np.int64(3), np.float32("nan")], "ok": [np.bool_(True), False], "mixed": [1, "x"]})
        assert read_metadata(given).columns == {"age": [3.0, None], "ok": ["True", "False"], "mixed": ["1", "x"]}

    def test_a_data_frame_of_pandas(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"site": ["a", pandas.NA], "day": [pandas.Timestamp(2026, 1, 2), pandas.NaT]})
        assert read_metadata(frame).columns == {"site": ["a", None], "day": ["2026-01-02 00:00:00", None]}

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (3, "must be the path of a CSV or Parquet file, a dictionary of columns, or a data frame. Received: int"),
            ({}, "columns of the same length.*Received: no column"),
            ({"a": [1], "b": [1, 2]}, r"Received: a \(1\), b \(2\)"),
            ({"a": []}, r"Received: a \(0\)"),
            ({"file": ["a"]}, "a column besides those that name the images"),
            ("images.txt", "must be a CSV or Parquet file"),
            ("absent.csv", "must be a file that exists. Received: absent.csv"),
        ],
    )
    def test_rejects(self, given: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_metadata(given)

    def test_names_a_row_of_another_length(self, tmp_path: Path) -> None:
        file = tmp_path / "images.csv"
        file.write_text("file,site\na.png,north\nb.png\n")
        with pytest.raises(DataError, match=re.escape("1 cells instead of 2 in row 2 of")):
            read_metadata(file)


class TestJoining:
    def test_by_order(self) -> None:
        assert join({"site": ["a", "b", "c", "d"]}, images()).test == {"site": ["a", "b", "c", "d"]}

    def test_by_order_within_the_sets(self) -> None:
        given = {"site": list("abcdef"), "split": ["train", "test", "test", "train", "val", "test"]}
        both = join(given, images(count=3), images(count=2, part="train"))
        assert (both.test, both.train) == ({"site": ["b", "c", "f"]}, {"site": ["a", "d"]})

    def test_only_the_first_training_images_may_have_been_read(self) -> None:
        given = {"site": list("abcd"), "split": ["test", "train", "train", "train"]}
        both = join(given, images(count=1), images(count=2, part="train"))
        assert both.train == {"site": ["b", "c"]}
        by_index = join(given | {"index": [0, 2, 1, 0]}, images(count=1), images(count=2, part="train"))
        assert by_index.train == {"site": ["d", "c"]}

    def test_validation_images_may_be_what_is_evaluated(self) -> None:
        assert join({"site": list("abc"), "split": ["train", "val", "val"]}, images(count=2)).test["site"] == ["b", "c"]

    def test_by_index(self) -> None:
        given = {"index": [3, 0], "site": ["d", "a"]}
        assert join(given, images()).test == {"site": ["a", None, None, "d"]}

    @pytest.mark.parametrize("prefix", ["", "data/test/"])
    def test_by_file(self, prefix: str) -> None:
        given = {"File": [f"{prefix}b\\1.png", f"./{prefix}a/1.png", "b/9.png"], "site": ["b", "a", "x"]}
        assert join(given, images(*FILES)).test == {"site": ["a", None, "b", None]}

    def test_by_a_name_that_occurs_once(self) -> None:
        assert join({"file": ["3.png"], "site": ["d"]}, images(*FILES)).test == {"site": [None, None, None, "d"]}

    def test_of_a_sample_of_the_training_images(self) -> None:
        training = part_of(images(*FILES, part="train"), np.array([1, 3]))
        given = {"file": [*FILES, "c/7.png"], "site": list("abcde")}
        both = join(given, images("c/7.png", "c/8.png"), training)
        assert (both.test, both.train) == ({"site": ["e", None]}, {"site": [None, "b", None, "d"]})

    @pytest.mark.parametrize(
        ("given", "test", "message"),
        [
            ({"site": ["a"]}, images(), "one row for each test image, in their order. Received: 1 row for 4 test"),
            ({"file": ["1.png"], "a": [1]}, images(*FILES), r"Write more of its path. Received: '1.png'.*'b/1.png'"),
            ({"file": ["b/3.png", "3.png"], "a": [1, 2]}, images(*FILES), "Received: '3.png' twice"),
            ({"file": ["x.png"], "a": [1]}, images(*FILES), "the names of the test images.*Received: 'x.png'"),
            ({"file": ["x.png"], "a": [1]}, images(), "files of the test images are not known. Give them as `files`"),
            ({"index": [4], "a": [1]}, images(), r"from 0 to 3. Received: 4.0"),
            ({"index": [1, 1], "a": [1, 2]}, images(), "Received: the index 1 twice"),
            ({"split": ["x"], "a": [1]}, images(), "must be train, val or test. Received: 'x'"),
        ],
    )
    def test_rejects(self, given: Any, test: ImageTable, message: str) -> None:
        with pytest.raises(DataError, match=message):
            join(given, test)


class TestGroups:
    def test_of_a_column(self) -> None:
        table, groups = read_given({"patient": [7, 8.5, None, 7], "split": ["test"] * 3 + ["train"]}, "patient")
        assert table is not None
        assert groups is not None
        test, train = images(count=3), images(count=1, part="train")
        both = groups.of_images(joined(table, test, train), test, train)
        assert (both.test, both.train) == (["7", "8.5", ""], ["7"])

    def test_of_both_sets(self) -> None:
        both = GivenGroups.of((np.array([1, 2]), ["a", None]), None)
        groups = both.of_images(None, images(count=2), images(count=2, part="train"))
        assert (groups.test, groups.train) == (["a", ""], ["1", "2"])
        assert GivenGroups.of(both, None) is both

    @pytest.mark.parametrize(
        ("given", "metadata", "message"),
        [
            ("site", None, "Received: 'site' without metadata"),
            ("sites", {"site": [1]}, r"must name a column.*Did you mean 'site'\?"),
            (["a", "b"], None, "or a pair"),
            ([1], None, "or a pair"),
            (5, None, "or a pair"),
        ],
    )
    def test_rejects(self, given: Any, metadata: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            read_given(metadata, given)

    def test_needs_one_for_each_image(self) -> None:
        groups = GivenGroups.of((["a"], ["b", "c"]), None)
        with pytest.raises(DataError, match="Received: 2 groups for 4 test images"):
            groups.of_images(None, images(), None)
        with pytest.raises(DataError, match="Received: 1 group for 4 training images"):
            groups.of_images(None, images(count=2), images(part="train"))


class TestNamesThatAreNotUtf8:
    FILE = "caf\udce9/1.png"  # as Python reads it
    SHOWN = r"caf\udce9/1.png"  # as data of files names it

    @pytest.mark.parametrize("given", [FILE, SHOWN])
    def test_they_are_joined(self, given: str) -> None:
        test = images(self.SHOWN, r"caf\udce9/2.png")
        assert join({"file": [given], "sit\udce9": ["nor\udcffth"]}, test).test == {
            r"sit\udce9": [r"nor\udcffth", None]
        }

    def test_in_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_bytes(b"file,site\ncaf\xe9/1.png,north\n")
        assert join(tmp_path / "x.csv", images(self.SHOWN, "b")).test == {"site": ["north", None]}

    def test_a_column_names_groups(self) -> None:
        table = read_metadata({"index": [0, 1], "sit\udce9": ["a", "b"]})
        assert GivenGroups.of("sit\udce9", table).column == r"sit\udce9"

    def test_other_cells_of_a_file_must_be_utf_8(self, tmp_path: Path) -> None:
        (tmp_path / "x.csv").write_bytes(b"file,site\na,L\xf6we\n")
        with pytest.raises(DataError, match=r"must be in UTF-8.*Received: 'L.*udcf6we'"):
            read_metadata(tmp_path / "x.csv")

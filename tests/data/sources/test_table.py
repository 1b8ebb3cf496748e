"""Tables of image files."""

import csv
import os
import sys

import numpy as np
import pytest
from PIL import Image

from lrdiag.data.fitting import Fitting
from lrdiag.data.sources.table import ImageTable
from lrdiag.errors import DataError
from lrdiag.record.arrays import SkippedFile


@pytest.fixture
def write(tmp_path):
    """Writes a CSV file and, in the same folder, twenty images that are filled with their numbers."""
    (tmp_path / "photos").mkdir()
    for number in range(20):
        Image.new("RGB", (8, 8), 3 * (number,)).save(tmp_path / "photos" / f"{number}.png")

    def write(text, name="flowers.csv", encoding="utf-8"):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return write


def listed(labels, header="path,label"):
    """The text of a table of the first images."""
    rows = [f"photos/{number}.png,{label}" for number, label in enumerate(labels)]
    return "\n".join([header, *rows, ""])


DIVIDED = listed(
    ["dog,train", "cat,train", "dog,Test", "cat,test", "cat,val", "dog,training", "cat,validation"],
    "path,label,split",
)


def places(images) -> list[int]:
    return images.images[:, 0, 0, 0].tolist()


def test_the_column_split_divides_the_rows_and_keeps_their_order(write, progress):
    dataset = ImageTable(write(DIVIDED), Fitting(file_size=(32, 32))).load(progress)
    assert (dataset.name, dataset.classes) == ("flowers", ("cat", "dog"))
    assert (places(dataset.train), dataset.train.labels.tolist()) == ([0, 1, 5], [1, 0, 1])
    assert (places(dataset.validation), dataset.validation.labels.tolist()) == ([4, 6], [0, 0])
    assert (places(dataset.test), dataset.test.labels.tolist()) == ([2, 3], [1, 0])
    assert dataset.train.files == ("photos/0.png", "photos/1.png", "photos/5.png")
    assert dataset.train.images.shape == (3, 32, 32, 3)
    assert progress.stages == [("Reading images", 7, "images")]


def test_size_and_channels_choose_the_shape(write, progress):
    path = write(DIVIDED)
    assert ImageTable(path, Fitting((20, 48), channels=1)).load(progress).train.images.shape == (3, 20, 48, 1)


def test_without_split_the_rows_are_divided_by_class(write, progress):
    path = write(listed(["cat", "dog"] * 10))
    dataset = ImageTable(path).load(progress)
    assert np.bincount(dataset.train.labels).tolist() == [8, 8]
    assert np.bincount(dataset.test.labels).tolist() == [2, 2]
    assert sorted(places(dataset.train) + places(dataset.test)) == list(range(20))
    assert len(dataset.validation) == 0


def test_an_evaluation_reads_only_the_test_rows(write, progress):
    dataset = ImageTable(write(DIVIDED)).load(progress, test_only=True)
    assert (places(dataset.test), len(dataset.train), len(dataset.validation)) == ([2, 3], 0, 0)
    assert progress.stages == [("Reading images", 2, "images")]
    whole = ImageTable(write(listed(["cat", "dog"] * 10))).load(progress, test_only=True)
    assert places(whole.test) == list(range(20))


def test_an_evaluation_uses_the_classes_of_all_rows(write, progress):
    dataset = ImageTable(write(listed(["cat,train", "dog,test", "ant,train"], "path,label,split"))).load(
        progress, test_only=True
    )
    assert (dataset.classes, dataset.test.labels.tolist()) == (("ant", "cat", "dog"), [2])


@pytest.mark.parametrize(
    "header",
    ["path,label", "file,class", "filename,target", "image,label", "Path,LABEL", " path , label ", "file_name,label"],
)
def test_names_of_columns(write, progress, header):
    assert len(ImageTable(write(listed(["cat", "dog"] * 5, header))).load(progress).train) == 8


def test_other_columns_and_their_order_do_not_matter(write, progress):
    text = "id,label,width,image\n7,cat,8,photos/3.png\n8,dog,8,photos/4.png\n"
    assert places(ImageTable(write(text)).load(progress, test_only=True).test) == [3, 4]


def test_integers_are_sorted_by_value(write, progress):
    dataset = ImageTable(write(listed(["10", "9", "2", "2", "-1"]))).load(progress, test_only=True)
    assert dataset.classes == ("-1", "2", "9", "10")
    assert dataset.test.labels.tolist() == [3, 2, 1, 1, 0]
    mixed = ImageTable(write(listed(["10", "9", "x", "2"]))).load(progress, test_only=True)
    assert mixed.classes == ("10", "2", "9", "x")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_dialects_of_csv(write, progress, delimiter, ending, encoding):
    text = listed(["Löwe", "猫"]).replace(",", delimiter).replace("\n", ending)
    dataset = ImageTable(write(text, encoding=encoding)).load(progress, test_only=True)
    assert dataset.classes == ("Löwe", "猫")
    assert places(dataset.test) == [0, 1]


def test_quoted_cells_blank_rows_and_spaces(write, progress):
    text = 'path,label\n"photos/1.png","big, red"\n\n , \nphotos/2.png , small \n"photos/3.png","two\nlines",\n'
    dataset = ImageTable(write(text)).load(progress, test_only=True)
    assert dataset.classes == ("big, red", "small", r"two\nlines")
    assert places(dataset.test) == [1, 2, 3]


def test_absolute_paths(tmp_path, write, progress):
    (tmp_path / "tables").mkdir()
    text = f"path,label\n{tmp_path}/photos/3.png,a\n../photos/4.png,b\n"
    assert places(ImageTable(write(text, "tables/x.csv")).load(progress, test_only=True).test) == [3, 4]


def test_paths_of_windows(tmp_path, write, progress):
    (tmp_path / "a\\b.png").write_bytes((tmp_path / "photos" / "7.png").read_bytes())
    text = "path,label\nphotos\\3.png,a\n.\\photos\\4.png,b\na\\b.png,b\n"
    assert places(ImageTable(write(text)).load(progress, test_only=True).test) == [3, 4, 7]


def test_a_relative_table(write, progress, monkeypatch):
    path = write(listed(["a", "b"]))
    monkeypatch.chdir(path.parent)
    assert places(ImageTable(type(path)(path.name)).load(progress, test_only=True).test) == [0, 1]


def test_broken_and_absent_files_are_skipped_and_named(tmp_path, write, progress):
    (tmp_path / "photos" / "1.png").write_bytes(b"")
    (tmp_path / "photos" / "2.png").unlink()
    text = listed(["a", "b", "a", "a", "b"]) + "photos/a\0b.png,a\nphotos,b\n"
    dataset = ImageTable(write(text)).load(progress, test_only=True)
    assert places(dataset.test) == [0, 3, 4]
    assert dataset.skipped == (
        SkippedFile("photos/1.png", "it is empty"),
        SkippedFile("photos/2.png", "there is no such file"),
        SkippedFile(r"photos/a\x00b.png", "there is no such file"),
        SkippedFile("photos", "there is no such file"),
    )


def test_a_class_of_broken_files_is_an_error(write, progress):
    text = listed(["a"] * 10) + "lost/1.png,b\nlost/2.png,b\n"
    message = r"none of class 'b' in the table .*could not be read: 2, the first lost/1.png: there is no such file$"
    with pytest.raises(DataError, match=message):
        ImageTable(write(text)).load(progress)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"column of paths \(path, file, filename, .*\).* Received: the columns \[\] in the table"),
        ("picture,label\na,b\n", r"Received: the columns \['picture', 'label'\]"),
        ("path,kind\na,b\n", r"column of labels \(label, class, target\).* \['path', 'kind'\]"),
        ("path,label\n", "must list images. Received: the table .* without rows"),
        ("path,label\nx.png,cat\n\nx.png,\n", "needs a label, .* Received: '' in row 4 of the table"),
        ("path,label\nx.png,cat\nx.png\n", "needs a label, .* Received: '' in row 3 of"),
        ("path,label\n  ,cat\n", "needs a path, as text. Received: '  ' in row 2 of"),
        ("path,label,split\nx.png,cat,train\nx.png,cat,\n", "must be train, val or test. Received: '' in row 3 of"),
        ("path,label,split\nx.png,cat,whole\n", "must be train, val or test. Received: 'whole' in row 2 of"),
        ("path,label\na,b.png,cat\n", "as many cells as the header.* 3 cells instead of 2 in row 2 of"),
        (listed(["a,train", "b,train"], "path,label,split"), "called test.* with train only"),
        (listed(["a,train", "b,val"], "path,label,split"), "called test.* with train and validation only"),
        (listed(["a,test", "b,test"], "path,label,split"), "training images, called train.* with test only"),
        (listed(["a,train", "b,test"], "path,label,split"), "none of class 'b' in the table"),
        (listed(["a", "a"]), r"two classes or more. Received: \['a'\]"),
    ],
)
def test_unusable_tables_are_named(write, progress, text, message):
    with pytest.raises(DataError, match=message):
        ImageTable(write(text)).load(progress)


def test_a_table_in_another_encoding_is_an_error(write, progress):
    with pytest.raises(DataError, match=r"must be in UTF-8. .*Received: 'L.*udcf6we' in .*flowers.csv"):
        ImageTable(write(listed(["Löwe", "Bär"]), encoding="latin-1")).load(progress)


def test_a_huge_cell_is_an_error(write, progress):
    text = listed(["x" * (csv.field_size_limit() + 1)])
    with pytest.raises(DataError, match=r"Received: .*field larger than field limit"):
        ImageTable(write(text)).load(progress)


def test_an_unreadable_table_is_an_error(write, progress, monkeypatch):
    path = write(listed(["a", "b"]))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(DataError, match=r"must be readable.* Permission denied"):
        ImageTable(path).load(progress)


def test_the_name_of_a_table_can_be_shown(tmp_path, write, progress):
    path = write(listed(["a", "b"])).rename(tmp_path / os.fsdecode(b"caf\xe9\n.csv"))
    dataset = ImageTable(path).load(progress, test_only=True)
    assert dataset.name == r"caf\udce9\n"
    repr(dataset).encode()


@pytest.mark.parametrize(
    ("name", "reads"),
    [("a.csv", True), ("a.CSV", True), ("a.tsv", True), ("a.parquet", True), ("a.pq", True), ("a.xlsx", False),
     ("none.csv", False)],
)  # fmt: skip
def test_which_paths_are_read(tmp_path, name, reads):
    if not name.startswith("none"):
        (tmp_path / name).touch()
    assert ImageTable.reads(tmp_path / name) is reads


# --- Parquet ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def write_parquet(write):
    """Writes columns as Parquet; returns the path."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def write_columns(**columns):
        path = write("", "flowers.parquet")
        parquet.write_table(pyarrow.table(columns), path)
        return path

    return write_columns


def test_parquet_gives_the_same_data_as_csv(write, write_parquet, progress):
    lines = [line.split(",") for line in DIVIDED.splitlines()]
    columns = dict(zip(lines[0], zip(*lines[1:], strict=True), strict=True))
    from_csv = ImageTable(write(DIVIDED)).load(progress)
    from_parquet = ImageTable(write_parquet(**columns)).load(progress)
    for part in ("train", "validation", "test"):
        one, other = getattr(from_csv, part), getattr(from_parquet, part)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.files == other.files
    assert from_csv.classes == from_parquet.classes


def test_parquet_with_integers_and_without_split(write_parquet, progress):
    path = write_parquet(
        filename=[f"photos/{number}.png" for number in range(20)], target=[9, 10] * 10, more=[0.5] * 20
    )
    dataset = ImageTable(path).load(progress)
    assert dataset.classes == ("9", "10")
    assert (len(dataset.train), len(dataset.test)) == (16, 4)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["a", "b"]}, r"Received: the columns \['path'\]"),
        ({"path": ["a", None], "label": [1, 2]}, "needs a path, as text. Received: None in row 2 of"),
        ({"path": ["a", "b"], "label": ["x", None]}, "needs a label, .* Received: None in row 2 of"),
        ({"path": ["a", "b"], "label": [1.0, 2.5]}, "a name or an integer. Received: 1.0 in row 1 of"),
        ({"image": [{"bytes": b"x"}], "label": ["x"]}, "needs a path, as text. Received: {'bytes': b'x'} in row 1 of"),
        ({"path": ["a"], "label": ["x"], "split": [None]}, "must be train, val or test. Received: None in row 1"),
    ],
)
def test_unusable_parquet_is_named(write_parquet, progress, columns, message):
    with pytest.raises(DataError, match=message):
        ImageTable(write_parquet(**columns)).load(progress)


def test_a_file_of_another_format_is_an_error(tmp_path, progress):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.parquet").write_bytes(b"path,label\n")
    with pytest.raises(DataError, match=r"must be readable, .*x.parquet: .*Save it again"):
        ImageTable(tmp_path / "x.parquet").load(progress)


def test_without_pyarrow_the_error_names_the_package(tmp_path, progress, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "x.parquet").touch()
    with pytest.raises(DataError, match=r"A Parquet table needs pyarrow. Run `pip install pyarrow`"):
        ImageTable(tmp_path / "x.parquet").load(progress)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n" + "x" * 2**24 + ",cat\n", "characters in a line are more than 16,777,216"),
        ("path,label" + ",c" * 20_000 + "\nx,cat\n", "20,002 columns are more than 10,000"),
        ("path,class_" + ",c" * 9000 + "\nx,cat\n", r"'c'\] and 8,982 more in the table"),
    ],
)
def test_what_is_too_long_is_not_read(write, progress, text, message):
    with pytest.raises(DataError, match=message) as raised:
        ImageTable(write(text)).load(progress)
    assert len(str(raised.value)) < 2000


def test_a_huge_table_is_not_read(write, progress):
    path = write(DIVIDED)
    os.truncate(path, 12 * 10**9)
    with pytest.raises(DataError, match="12,000,000,000 bytes are more than"):
        ImageTable(path).load(progress)


@pytest.mark.parametrize("kind", ["string", "large_binary"])
def test_a_long_text_that_each_row_repeats_is_not_copied(tmp_path, progress, kind):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    labels = pyarrow.DictionaryArray.from_arrays(np.zeros(300_000, np.int32), pyarrow.array(["x" * 2**20], kind))
    table = pyarrow.table({"path": pyarrow.array(["a.png"] * 300_000), "label": labels})
    parquet.write_table(table, tmp_path / "x.parquet", store_schema=False)
    with pytest.raises(DataError, match="1,048,576 characters in a cell are more than 131,072"):
        ImageTable(tmp_path / "x.parquet").load(progress)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no names that are not UTF-8")
def test_the_name_of_a_file_need_not_be_utf_8(write, tmp_path, progress):
    os.rename(tmp_path / "photos", os.fsencode(tmp_path) + b"/caf\xe9")
    path = tmp_path / "flowers.csv"
    path.write_bytes(b"path,label\n" + b"".join(b"caf\xe9/%d.png,%s\n" % (n, b"ab"[n % 2 :][:1]) for n in range(20)))
    dataset = ImageTable(path).load(progress)
    assert dataset.test.files[0].startswith(r"caf\udce9/")
    assert len(dataset.skipped) == 0

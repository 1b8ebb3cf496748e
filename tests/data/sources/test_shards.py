"""Parquet files with images and tar files of WebDataset: on disk, and through fsspec."""

import io
import json
import sys
import tarfile

import pytest
from PIL import Image

from lrdiag.data import list_test_images
from lrdiag.data.fitting import Fitting
from lrdiag.data.loading import Columns
from lrdiag.data.sources.parquet_images import ParquetImages
from lrdiag.data.sources.places import Place
from lrdiag.data.sources.tar_images import TarImages
from lrdiag.errors import DataError, SettingsError
from lrdiag.record.arrays import SkippedFile

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
FITTING = Fitting((4, 4))


def png(number: int) -> bytes:
    raw = io.BytesIO()
    Image.new("RGB", (4, 4), 3 * (number,)).save(raw, "PNG")
    return raw.getvalue()


def features(label="label", names=("cat", "dog")) -> dict:
    info = {"features": {"image": {"_type": "Image"}, label: {"names": list(names), "_type": "ClassLabel"}}}
    return {"huggingface": json.dumps({"info": info})}


def write_parquet(path, numbers, labels=None, *, image="image", label="label", metadata=None, **more):
    """Writes images that are filled with their number, in row groups of three."""
    labels = [number % 2 for number in numbers] if labels is None else labels
    images = [{"bytes": png(number), "path": f"{number}.png"} for number in numbers]
    table = pa.table({image: images, label: labels, **more})
    table = table.replace_schema_metadata(features(label) if metadata is None else metadata)
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path, row_group_size=3)
    return path


def write_tar(path, members):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(content)
            archive.addfile(info, io.BytesIO(content.ljust(info.size, b" ") if info.size < 2**20 else content))
    return path


def samples(numbers):
    for number in numbers:
        yield f"{number:03}.png", png(number)
        yield f"{number:03}.cls", str(number % 2).encode()


def listed(data, progress, **columns):
    return list_test_images(str(data), None, (4, 4), 3, progress, columns=Columns(**columns))


def read(listed, progress):
    """The numbers that fill the images, their labels, and their files."""
    chunks = list(listed.read(progress))
    numbers = [int(number) for chunk in chunks for number in chunk.images[:, 0, 0, 0]]
    return numbers, [int(x) for chunk in chunks for x in chunk.labels], [x for chunk in chunks for x in chunk.files]


@pytest.fixture
def shards(tmp_path):
    """The same ten images as two Parquet files and two tar files."""
    for start, stop in ((0, 4), (4, 10)):
        write_parquet(tmp_path / "parquet" / f"test-{start}.parquet", range(start, stop))
        write_tar(tmp_path / "tar" / f"test-{start}.tar", samples(range(start, stop)))
    (tmp_path / "tar" / "classes.txt").write_text("cat\ndog\n")
    return tmp_path


@pytest.mark.parametrize("kind", ["parquet", "tar"])
@pytest.mark.parametrize("pattern", ["", "/test-*.{}", "/test-{{0,4}}.{}"])
def test_every_slice_of_shards_is_read_alone(shards, progress, kind, pattern):
    whole = listed(f"{shards}/{kind}{pattern.format(kind)}", progress)
    assert (len(whole), tuple(whole.classes)) == (10, ("cat", "dog"))
    for start, stop in [(0, 10), (0, 1), (2, 7), (3, 4), (4, 4), (9, 10)]:
        part = whole.part(start, stop)
        numbers, labels, files = read(part, progress)
        assert numbers == list(range(start, stop))
        assert labels == [number % 2 for number in numbers]
        assert files == [f"{n}.png" if kind == "parquet" else f"{n:03}.png" for n in numbers]
        assert part.digest == whole.digest
    assert read(whole.part(2, 9).part(1, 3), progress)[0] == [3, 4]
    with pytest.raises(DataError, match="Received: 5 to 11 of 10"):
        whole.part(5, 11)


def test_a_slice_reads_only_its_row_groups(shards, progress, monkeypatch):
    read_groups = []
    original = pq.ParquetFile.iter_batches

    def noted(file, *args, row_groups, **more):
        read_groups.extend(row_groups)
        return original(file, *args, row_groups=row_groups, **more)

    whole = listed(shards / "parquet", progress)
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    assert read(whole.part(7, 9), progress)[0] == [7, 8]
    assert read_groups == [1]


def test_parts_are_told_by_the_names_of_files(tmp_path, progress):
    for part, numbers in (("train", range(8)), ("test", range(8, 12))):
        (tmp_path / "p").mkdir(exist_ok=True)
        write_parquet(tmp_path / "p" / "data" / f"{part}-00000-of-00001.parquet", numbers)
    dataset = ParquetImages(Place(str(tmp_path / "p")), FITTING).load(progress)
    assert (len(dataset.train), len(dataset.test), dataset.classes) == (8, 4, ("cat", "dog"))
    test = ParquetImages(Place(str(tmp_path / "p")), FITTING).listed(progress).load(progress)
    assert test.labels.tolist() == [0, 1, 0, 1]


def test_columns_are_detected_or_chosen(tmp_path, progress):
    path = write_parquet(tmp_path / "x.parquet", range(4), image="photo", label="kind", split=["a"] * 4)
    assert read(listed(path, progress), progress)[1] == [0, 1, 0, 1]
    path = write_parquet(tmp_path / "y.parquet", range(4), label="kind", metadata={}, other=["b", "a", "b", "a"])
    with pytest.raises(DataError, match=r"--label-column. Received: .*y.parquet with the columns \['image', 'kind'"):
        listed(path, progress)
    chosen = listed(path, progress, label="other")
    assert (chosen.classes, read(chosen, progress)[1]) == (["a", "b"], [1, 0, 1, 0])
    with pytest.raises(DataError, match="--image-column"):
        listed(path, progress, image="kind", label="other")
    binary = pa.table({"img": [png(5), png(6)], "label": [0, 2]})
    pq.write_table(binary, tmp_path / "z.parquet")
    whole = listed(tmp_path / "z.parquet", progress)
    assert (whole.classes, read(whole, progress)) == (
        ["0", "1", "2"],
        ([5, 6], [0, 2], ["z.parquet, row 1", "z.parquet, row 2"]),
    )


def test_a_broken_image_is_skipped_and_listed(tmp_path, progress):
    images = [png(1), b"", None, png(4)]
    table = pa.table({"image": [{"bytes": each, "path": None} for each in images], "label": [0, 1, 0, 1]})
    pq.write_table(table, tmp_path / "x.parquet")
    reading = listed(tmp_path / "x.parquet", progress).read(progress)
    assert [chunk.labels.tolist() for chunk in reading] == [[0, 1]]
    assert reading.tally.skipped == [SkippedFile(f"x.parquet, row {row}", "it is empty") for row in (2, 3)]


def test_a_label_outside_the_classes_names_its_row_or_member(tmp_path, progress):
    path = write_parquet(tmp_path / "x.parquet", range(4), [0, 1, 2, 0])
    with pytest.raises(DataError, match=r"from 0 to 1. The classes are cat, dog. Received: 2 in row 3 of .*x.parquet"):
        read(listed(path, progress), progress)
    path = write_tar(tmp_path / "x.tar", [("a.png", png(0)), ("a.cls", b"bird")])
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    with pytest.raises(DataError, match=r"cat, dog. Received: 'bird' in a.png in .*x.tar. Correct the label"):
        listed(path, progress)
    path = write_parquet(tmp_path / "y.parquet", range(2), [None, "cat"], metadata={})
    with pytest.raises(DataError, match=r"needs a label.* Received: None in rows 1 to 2 of .*y.parquet"):
        listed(path, progress)


def test_a_truncated_file_is_named(shards, progress):
    for path in sorted(shards.glob("*/test-4.*")):
        content = path.read_bytes()
        for length in (len(content) // 2, 700, 100, 0):
            path.write_bytes(content[:length])
            with pytest.raises(DataError, match=rf"must be complete.* Received: .*{path.name}"):
                read(listed(path, progress), progress)
    (shards / "tar" / "test-0.tar").write_bytes(content[: content.rindex(b"009.cls") + 1024])
    with pytest.raises(DataError, match=r"test-0.tar: it ends or is damaged at byte"):
        listed(shards / "tar" / "test-0.tar", progress)


def test_labels_of_tar_files(tmp_path, progress):
    with_json = [("d/a.png", png(0)), ("d/a.json", b'{"label": "dog", "kind": 1}')]
    with_json += [("d/b.png", png(1)), ("d/b.json", b'{"label": "cat", "kind": 0}')]
    path = write_tar(tmp_path / "x.tar", with_json)
    whole = listed(path, progress)
    assert (whole.classes, read(whole, progress)) == (["cat", "dog"], ([0, 1], [1, 0], ["d/a.png", "d/b.png"]))
    assert listed(path, progress, label="kind").classes == ["0", "1"]
    with pytest.raises(DataError, match=r"with a field colour.* Received: d/a in .*x.tar, without a label"):
        listed(path, progress, label="colour")
    path = write_tar(tmp_path / "y.tar", [("a.png", png(0)), ("b.png", png(0)), ("b.cls", b"1")])
    with pytest.raises(DataError, match=r"member .cls, or .json.* Received: a in .*y.tar, without a label"):
        listed(path, progress)
    path = write_tar(tmp_path / "z.tar", [("a.png", png(0)), ("a.jpg", png(7)), ("a.cls", b"1")])
    with pytest.raises(DataError, match=r"one image.* Received: a.png and a.jpg"):
        listed(path, progress)
    assert read(listed(path, progress, image="jpg"), progress)[0] == [7]


def hostile(name, kind=tarfile.REGTYPE, size=0, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, link
    return info


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (hostile("/etc/a.png"), "whose name leads out of the archive"),
        (hostile("x/../../a.png"), "whose name leads out of the archive"),
        (hostile("C:a.png"), "whose name leads out of the archive"),
        (hostile("a.png", tarfile.SYMTYPE, link="/etc/passwd"), "a link or device"),
        (hostile("a.png", tarfile.LNKTYPE, link="b.png"), "a link or device"),
        (hostile("a.png", tarfile.FIFOTYPE), "a link or device"),
        (hostile("a.png", size=2**40), "declares 1,099,511,627,776 bytes, more than are left"),
    ],
)
def test_hostile_members_are_refused(tmp_path, progress, member, message):
    path = tmp_path / "x.tar"
    header = member.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(header + bytes(10240))
    with pytest.raises(DataError, match=message) as caught:
        listed(path, progress)
    assert "x.tar" in str(caught.value)


def test_a_name_may_look_like_a_pattern(shards, progress):
    folder = (shards / "tar").rename(shards / "a[1]")
    path = (folder / "test-0.tar").rename(folder / "x[1].tar")
    assert len(listed(path, progress)) == 4
    assert len(listed(folder, progress)) == 10


def test_a_compressed_tar_file_is_refused(shards, progress):
    path = shards / "tar" / "test-0.tar"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(shards / "parquet")
    with pytest.raises(DataError, match="complete and not compressed"):
        listed(path, progress)


@pytest.mark.parametrize("kind", ["parquet", "tar"])
def test_urls_are_read_through_fsspec(shards, progress, kind):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for path in (shards / kind).iterdir():
        memory.pipe_file(f"/bucket/{kind}/{path.name}", path.read_bytes())
    expected = read(listed(shards / kind, progress), progress)
    for url in (f"memory://bucket/{kind}", f"memory://bucket/{kind}/test-*.{kind}", f"file://{shards}/{kind}"):
        whole = listed(url, progress)
        assert (read(whole, progress), list(whole.classes)) == (expected, ["cat", "dog"])
        assert whole.digest == listed(shards / kind, progress).digest
    with pytest.raises(SettingsError, match=r"A URL must name .*where there are none"):
        listed("memory://bucket/nothing", progress)


def test_a_url_names_what_is_missing(progress, monkeypatch):
    pytest.importorskip("fsspec")
    with pytest.raises(DataError, match=r"A URL must name a file that can be read.*nosuch"):
        listed("nosuch://bucket/x.tar", progress)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match=r"needs the package of its protocol: s3fs for s3://"):
        listed("s3://bucket/x.tar", progress)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(DataError, match="pip install fsspec"):
        listed("s3://bucket/x.tar", progress)
    assert Place("https://me:secret@host/x.tar").shown == "https://host/x.tar"


def test_a_training_set_of_tar_files_is_divided(shards, progress):
    for path in (shards / "tar").glob("*.tar"):
        path.rename(path.with_name(path.name.replace("test", "shard")))
    dataset = TarImages(Place(str(shards / "tar")), FITTING).load(progress)
    assert (len(dataset.train), len(dataset.test)) == (8, 2)

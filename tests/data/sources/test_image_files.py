"""Image files of any kind and size, and broken ones."""

import os
import re
import threading
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from lrdiag.data.fitting import Fitting
from lrdiag.data.sources.decoding import SUFFIXES, decode
from lrdiag.data.sources.encoded import PartsReader
from lrdiag.data.sources.image_files import LabelledFiles
from lrdiag.errors import DataError
from lrdiag.record.arrays import SkippedFile


@pytest.fixture
def load_one(tmp_path, progress):
    """Loads one image written by `save`. Returns `(images, skipped)`."""

    def load(save, name="x.png", size=(32, 32), channels=3):
        save(tmp_path / name)
        files = {"test": LabelledFiles(tmp_path, [name], np.zeros(1, np.int64))}
        read = PartsReader(files, Fitting(size, channels), progress).read()
        return read.parts["test"].images, read.tally.skipped

    return load


@pytest.fixture
def pixels_of(load_one):
    """The pixels of a single image."""

    def load(*args, **options):
        images, skipped = load_one(*args, **options)
        assert skipped == []
        return images[0]

    return load


@pytest.fixture
def why_skipped(load_one):
    """The reason why a single image was skipped."""

    def load(save, name="x.png"):
        images, skipped = load_one(save, name)
        assert images.shape == (0, 32, 32, 3)
        assert [each.file for each in skipped] == [name]
        return skipped[0].reason

    return load


def gradient(height=32, width=32) -> np.ndarray:
    """A smooth image without symmetry, `uint8` of shape (height, width, 3)."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([255 * rows, 255 * columns, 128 * (1 - rows) + 60], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".JPG", ".Tif"])
def test_suffixes(pixels_of, suffix):
    Image.init()
    if Image.registered_extensions()[suffix.lower()] not in Image.SAVE:
        pytest.skip("this Pillow does not write the format")
    loaded = pixels_of(lambda path: Image.fromarray(gradient()).save(path), "x" + suffix)
    assert np.abs(loaded.astype(int) - gradient()).mean() < (12 if suffix == ".gif" else 3)


def test_the_first_frame_of_an_animation_is_read(pixels_of):
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "lime", "blue")]
    for name in ("x.gif", "x.webp", "x.tif", "x.png"):
        loaded = pixels_of(
            lambda path: frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True), name
        )
        assert (loaded == (255, 0, 0)).all(), name


@pytest.mark.parametrize(
    ("content", "suffix"),
    [(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ".jpg"), (b"<svg/>", ".png"), (bytes(400), ".png")],
)
def test_formats_that_need_other_programs_are_not_opened(why_skipped, content, suffix):
    assert "not an image of a known format" in why_skipped(lambda path: path.write_bytes(content), "x" + suffix)


def test_colours_are_red_green_blue(pixels_of):
    loaded = pixels_of(lambda path: Image.new("RGB", (32, 32), (200, 100, 50)).save(path))
    assert loaded[0, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA"])
def test_modes_of_png(pixels_of, mode):
    picture = Image.fromarray(gradient()).convert(mode)
    loaded = pixels_of(picture.save)
    np.testing.assert_array_equal(loaded, np.asarray(picture.convert("RGB")))


def test_cmyk_jpeg(pixels_of):
    loaded = pixels_of(lambda path: Image.fromarray(gradient()).convert("CMYK").save(path, quality=95), "x.jpg")
    assert np.abs(loaded.astype(int) - gradient()).mean() < 4


@pytest.mark.parametrize(("name", "colours"), [("x.png", 1), ("x.png", 3), ("x.tif", 1), ("x.tif", 3), ("x.pgm", 1)])
@pytest.mark.parametrize("factor", [257, 16])
def test_sixteen_bits_are_scaled_by_one_rule(tmp_path, progress, name, colours, factor):
    """The whole range of 16 bits becomes 0–255, and the maximum shows that images of 12 bits use little of it."""
    deep = gradient()[..., :colours].astype(np.uint16) * factor
    cv2.imwrite(str(tmp_path / name), deep[..., ::-1])
    files = {"test": LabelledFiles(tmp_path, [name], np.zeros(1, np.int64))}
    read = PartsReader(files, Fitting((32, 32)), progress).read()
    np.testing.assert_array_equal(read.parts["test"].images[0, ..., :colours], deep >> 8)
    assert read.tally.sixteen_bit_max == (deep >> 8).max()


def test_without_sixteen_bits_there_is_no_maximum(tmp_path, progress):
    files = write_numbered_images(tmp_path, 2)
    assert PartsReader({"test": files}, Fitting((8, 8)), progress).read().tally.sixteen_bit_max is None


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_values_of_32_bits_are_refused(why_skipped, kind):
    reason = why_skipped(lambda path: Image.fromarray(gradient()[..., 0].astype(kind)).save(path), "x.tif")
    assert reason == "its values have 32 bits. Save it with 8 or 16 bits"


def test_transparency_is_dropped(pixels_of):
    picture = Image.fromarray(gradient())
    picture.putalpha(0)
    np.testing.assert_array_equal(pixels_of(picture.save), gradient())


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".png", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(pixels_of, orientation, suffix):
    upright = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1),
               6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = pixels_of(lambda path: Image.fromarray(gradient()).save(path, exif=exif, quality=95), "x" + suffix)
    assert np.abs(loaded.astype(int) - upright[orientation](gradient())).mean() < 4


def test_shrinking_averages_pixels(pixels_of):
    board = np.indices((64, 64)).sum(axis=0) % 2 * 200
    loaded = pixels_of(lambda path: Image.fromarray(board.astype(np.uint8)).save(path))
    assert (loaded == 100).all()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (16, 16), (1, 1), (31, 33), (500, 375), (3, 200)])
def test_any_size_is_accepted(pixels_of, height, width):
    assert pixels_of(lambda path: Image.fromarray(gradient(height, width)).save(path)).shape == (32, 32, 3)


def test_the_size_is_height_and_width(pixels_of):
    assert pixels_of(lambda path: Image.fromarray(gradient(50, 90)).save(path), size=(20, 48)).shape == (20, 48, 3)


def test_one_channel_is_grey(pixels_of):
    picture = Image.fromarray(gradient())
    loaded = pixels_of(picture.save, channels=1)
    assert loaded.shape == (32, 32, 1)
    assert np.abs(loaded[..., 0].astype(int) - np.asarray(picture.convert("L"))).max() <= 1, "one of rounding"


def test_a_grey_picture_stays_the_same_in_one_channel(pixels_of):
    loaded = pixels_of(Image.fromarray(gradient()[..., 0]).save, channels=1)
    np.testing.assert_array_equal(loaded[..., 0], gradient()[..., 0])


ENCODINGS = [("x.png", {}), ("x.jpg", {}), ("x.jpg", {"progressive": True}), ("x.webp", {}), ("x.bmp", {})]


@pytest.mark.parametrize(("name", "options"), ENCODINGS)
@pytest.mark.parametrize("kept", [0.3, 0.8, 0.97])
def test_a_truncated_file_is_skipped(why_skipped, name, options, kept):
    def save(path):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)).save(path, **options)
        os.truncate(path, int(kept * path.stat().st_size))

    assert "\n" not in why_skipped(save, name)


@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tif", "x.jpg"])
def test_a_huge_image_is_not_decoded(why_skipped, monkeypatch, name):
    monkeypatch.setenv("LRDIAG_MAX_IMAGE_PIXELS", "1000")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 500)
    assert re.search("are more than 1,000|exceeds limit", why_skipped(Image.fromarray(gradient()).save, name))


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("length", [1, 200])
def test_a_png_with_a_wrong_checksum_is_skipped(why_skipped, capfd, place, length):
    def save(path):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)).save(path)
        data = bytearray(path.read_bytes())
        begin = int(place * len(data))
        data[begin : begin + length] = bytes(255 - value for value in data[begin : begin + length])
        path.write_bytes(data)

    assert why_skipped(save) == "the checksum of its part IDAT is wrong"
    assert capfd.readouterr().err == "", "libpng prints nothing"


def test_images_turned_upright_are_counted(tmp_path, progress):
    exif = Image.Exif()
    for number, orientation in enumerate((1, 6, 3)):
        exif[0x0112] = orientation
        Image.fromarray(gradient()).save(tmp_path / f"{number}.jpg", exif=exif)
    files = {"test": LabelledFiles(tmp_path, [f"{number}.jpg" for number in range(3)], np.zeros(3, np.int64))}
    (note,) = PartsReader(files, Fitting((32, 32)), progress).read().tally.notes(Fitting((32, 32)))
    assert note.startswith("Images whose EXIF orientation is not upright (2 of 3) were turned upright.")


def test_without_a_size_images_must_share_one(tmp_path, progress):
    for number, size in enumerate([(20, 10), (20, 10), (10, 20)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    (tmp_path / "0.png").write_bytes(b"")
    same, other = (
        LabelledFiles(tmp_path, [f"{n}.png" for n in range(count)], np.zeros(count, np.int64)) for count in (2, 3)
    )
    read = PartsReader({"test": same}, Fitting(), progress).read()
    assert (read.parts["test"].images.shape, len(read.tally.skipped), read.tally.notes(Fitting())) == (
        (1, 10, 20, 3),
        1,
        [],
    )
    with pytest.raises(DataError, match=r"--image-size.*Received: images of 20 × 10 pixels, and 2.png of 10 × 20"):
        PartsReader({"test": other}, Fitting(), progress).read()


def test_an_empty_file_is_skipped(why_skipped):
    assert why_skipped(lambda path: path.touch()) == "it is empty"


@pytest.mark.parametrize(
    "content", [b"<html>404</html>", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG IEND", b"\xff\xd8\xff\xd9"]
)
def test_a_file_of_another_format_is_skipped(why_skipped, content):
    reason = why_skipped(lambda path: path.write_bytes(content), "x.jpg")
    assert reason == f"its {len(content)} bytes are not an image of a known format"


def test_a_missing_file_is_skipped(why_skipped):
    assert why_skipped(lambda path: None) == "there is no such file"


def test_a_broken_link_is_skipped(why_skipped):
    assert why_skipped(lambda path: path.symlink_to("nowhere")) == "there is no such file"


def test_a_link_to_itself_is_skipped(why_skipped):
    assert why_skipped(lambda path: path.symlink_to(path.name)) == "there is no such file"


def test_a_pipe_is_skipped_without_waiting(why_skipped):
    assert why_skipped(os.mkfifo) == "there is no such file"


def test_an_unreadable_file_is_skipped(why_skipped, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied", "/somewhere/x.png")

    monkeypatch.setattr("lrdiag.data.sources.decoding._read", refuse)
    assert why_skipped(lambda path: path.touch()) == "Permission denied"


def test_a_reason_is_one_short_line(why_skipped, monkeypatch):
    def refuse(_):
        raise ValueError("one\n  two \x1b[31m" + 1000 * "x")

    monkeypatch.setattr("lrdiag.data.sources.decoding._read", refuse)
    reason = why_skipped(lambda path: path.touch())
    assert reason.startswith("one two \\x1b[31mxxx")
    assert len(reason) == 200


def test_a_jpeg_followed_by_other_data_is_complete(pixels_of):
    """Cameras append previews and videos, which may look like an incomplete image."""

    def save(path):
        Image.fromarray(gradient()).save(path, quality=95)
        path.write_bytes(path.read_bytes() + b"\xff\xda film")

    assert np.abs(pixels_of(save, "x.jpg").astype(int) - gradient()).mean() < 3


def test_the_format_does_not_depend_on_the_suffix(pixels_of):
    loaded = pixels_of(lambda path: Image.fromarray(gradient()).save(path, "PNG"), "x.bmp")
    np.testing.assert_array_equal(loaded, gradient())


def write_numbered_images(folder, count, broken=()):
    """Writes `count` images that are filled with their number, those in `broken` empty."""
    for number in range(count):
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    for number in broken:
        (folder / f"{number}.png").write_bytes(b"")
    return LabelledFiles(folder, [f"{number}.png" for number in range(count)], np.arange(count) % 3)


@pytest.mark.parametrize("chunk", [1, 4, 250])
def test_images_labels_and_files_still_match_if_some_are_skipped(tmp_path, progress, monkeypatch, chunk):
    monkeypatch.setattr("lrdiag.data.sources.encoded._CHUNK", chunk)
    files = write_numbered_images(tmp_path, 20, broken=(0, 7, 19))
    read = PartsReader({"train": files}, Fitting((4, 4), 1), progress).read()
    parts, skipped = read.parts, read.tally.skipped
    kept = [number for number in range(20) if number not in (0, 7, 19)]
    train = parts["train"]
    assert train.images[:, 2, 2, 0].tolist() == kept
    assert train.labels.tolist() == [number % 3 for number in kept]
    assert train.files == tuple(f"{number}.png" for number in kept)
    assert skipped == [SkippedFile(f"{number}.png", "it is empty") for number in (0, 7, 19)]
    assert progress.stages == [("Reading images", 20, "images")]
    assert progress.steps == 20


def test_the_first_images_are_given_while_others_are_read(tmp_path, progress, monkeypatch):
    """The last file can be read only after the first images were received."""
    received = threading.Event()

    def wait(path):
        assert not path.endswith("9.png") or received.wait(timeout=10)
        return decode(path)

    monkeypatch.setattr("lrdiag.data.sources.encoded._CHUNK", 2)
    monkeypatch.setattr("lrdiag.data.sources.image_files.decode", wait)
    files = write_numbered_images(tmp_path, 10, broken=(1, 2, 6))
    reader = PartsReader({"test": files}, Fitting((8, 8), 1), progress)
    parts = []
    for part in reader:
        received.set()
        parts.append(part)
    whole = reader.parts["test"]
    assert [part.images[:, 0, 0, 0].tolist() for part in parts] == [[0], [3], [4, 5], [7], [8, 9]]
    assert whole.images[:, 0, 0, 0].tolist() == [0, 3, 4, 5, 7, 8, 9]
    assert sum((part.files for part in parts), ()) == whole.files
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), whole.labels)
    assert all(np.shares_memory(part.images, whole.images) for part in parts)  # nothing is in memory twice


def test_each_part_is_read_separately(tmp_path, progress):
    files = write_numbered_images(tmp_path, 9, broken=(1, 8))
    one, other = (
        LabelledFiles(tmp_path, files.names[:2], files.labels[:2]),
        LabelledFiles(tmp_path, files.names[2:], files.labels[2:]),
    )
    read = PartsReader({"train": one, "test": other}, Fitting((8, 8), 3), progress).read()
    parts, skipped = read.parts, read.tally.skipped
    assert {part: len(images) for part, images in parts.items()} == {"train": 1, "test": 6}
    assert [each.file for each in skipped] == ["1.png", "8.png"]
    assert progress.stages == [("Reading images", 9, "images")]


@pytest.mark.parametrize(
    ("name", "shown"), [("a\nb.png", r"a\nb.png"), (os.fsdecode(b"caf\xe9.png"), r"caf\udce9.png"), ("é.png", "é.png")]
)
def test_any_name_of_a_file_can_be_shown(tmp_path, progress, name, shown):
    Image.new("L", (8, 8), 5).save(tmp_path / name)
    files = LabelledFiles(tmp_path, [name, "no" + name], np.zeros(2, np.int64))
    read = PartsReader({"test": files}, Fitting((8, 8), 1), progress).read()
    parts, skipped = read.parts, read.tally.skipped
    assert parts["test"].files == (shown,)
    assert parts["test"].images[0, 0, 0, 0] == 5
    assert [each.file for each in skipped] == ["no" + shown]
    (shown + skipped[0].file).encode()  # the encoding of JSON and HTML


def test_a_huge_file_is_not_read(why_skipped, monkeypatch):
    def save(path):
        path.touch()
        os.truncate(path, 12 * 10**9)  # it has no content

    monkeypatch.setattr("lrdiag.data.sources.decoding.jpeg.examine", lambda _: pytest.fail("it was read"))
    assert "too large: 12,000,000,000 bytes are more than 1,073,741,824" in why_skipped(save, "x.jpg")


def test_large_images_are_decoded_one_at_a_time(tmp_path, progress, monkeypatch):
    monkeypatch.setattr("lrdiag.limits.LARGE_IMAGE", 1000)
    at_once, most, lock = [], [], threading.Lock()

    def decoded(data):
        with lock:
            at_once.append(1)
            most.append(len(at_once))
        time.sleep(0.002)
        at_once.pop()
        return np.zeros((40, 40, 3), np.uint8)

    monkeypatch.setattr("lrdiag.data.sources.decoding._opencv", decoded)
    monkeypatch.setattr("lrdiag.data.sources.encoded._CHUNK", 1)
    names = [f"{number}.png" for number in range(12)]
    for name in names:
        Image.fromarray(gradient(40, 40)).save(tmp_path / name)
    files = {"test": LabelledFiles(tmp_path, names, np.zeros(12, np.int64))}
    PartsReader(files, Fitting((8, 8)), progress).read()
    assert (len(most), max(most)) == (12, 1)


def test_a_damaged_profile_of_a_png_is_not_mentioned(pixels_of, capfd):
    def save(path):
        Image.fromarray(gradient()).save(path, icc_profile=b"x" * 200)

    np.testing.assert_array_equal(pixels_of(save), gradient())
    assert capfd.readouterr().err == ""


def test_the_transparent_colour_of_a_png_stays_a_colour(pixels_of):
    grey = gradient()[..., 0]
    shown = pixels_of(lambda path: Image.fromarray(grey).save(path, transparency=int(grey[3, 3]), dpi=(72, 72)))
    np.testing.assert_array_equal(shown, np.repeat(grey[..., None], 3, 2))


def test_a_set_that_does_not_fit_in_memory_is_an_error(tmp_path, progress):
    Image.fromarray(gradient()).save(tmp_path / "x.png")
    files = {"test": LabelledFiles(tmp_path, ["x.png"], np.zeros(1, np.int64))}
    with pytest.raises(DataError, match=r"memory. Choose a smaller size with --image-size"):
        PartsReader(files, Fitting((10**9, 10**9)), progress).read()

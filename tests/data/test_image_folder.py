import os

import cv2
import numpy as np
import pytest
from PIL import Image

from lrdiag.data.image_folder import ImageFolder
from lrdiag.errors import DataError


@pytest.fixture
def load_one(tmp_path, progress):
    """Loads one picture, saved by `save`, as the only test image of its class."""

    def load(save, name="x.png", **options):
        for place in ("train/a/0.png", "train/b/0.png", "test/b/0.png"):
            path = tmp_path / "photos" / place
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32)).save(path)
        path = tmp_path / "photos" / "test" / "a" / name
        path.parent.mkdir()
        save(path)
        return ImageFolder(tmp_path / "photos", **options).load(progress).test.images[0]

    return load


def gradient(height=32, width=32) -> np.ndarray:
    """A smooth picture without symmetry, `uint8` of shape (height, width, 3)."""
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([255 * rows, 255 * columns, 128 * (1 - rows) + 60], axis=-1).astype(np.uint8)


def test_classes_and_images_come_in_sorted_order(tmp_path, write_images, progress):
    root = write_images(("dog", "Ape", "cat"))
    dataset = ImageFolder(root).load(progress)
    assert dataset.classes == ("Ape", "cat", "dog")
    np.testing.assert_array_equal(dataset.train.labels, [0, 0, 0, 1, 1, 1, 2, 2, 2])
    assert dataset.train.files[:4] == ("train/Ape/0.png", "train/Ape/1.png", "train/Ape/2.png", "train/cat/0.png")
    assert dataset.test.files[-1] == "test/dog/2.png"
    np.testing.assert_array_equal(dataset.train.images[:, 0, 0, 0], [40, 41, 42, 80, 81, 82, 0, 1, 2])
    assert dataset.name == "photos"
    assert progress.stages == [("Reading images", 18, "images")]
    assert progress.steps == 18


def test_other_files_and_hidden_ones_are_ignored(write_images, progress):
    root = write_images()
    (root / "train" / "cat" / "notes.txt").write_text("not an image")
    (root / "train" / "cat" / ".hidden.png").write_text("not an image")
    (root / "train" / "cat" / "folder.png").mkdir()
    (root / "train" / ".cache").mkdir()
    (root / "train" / "readme.md").write_text("not a class")
    assert len(ImageFolder(root).load(progress).train) == 6


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG", ".png", ".PNG"])
def test_suffixes(load_one, suffix):
    loaded = load_one(lambda path: Image.fromarray(gradient()).save(path), "x" + suffix)
    assert np.abs(loaded.astype(int) - gradient()).mean() < 3


def test_colours_are_red_green_blue(load_one):
    loaded = load_one(lambda path: Image.new("RGB", (32, 32), (200, 100, 50)).save(path))
    assert loaded[0, 0].tolist() == [200, 100, 50]


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P", "RGBA"])
def test_modes_of_png(load_one, mode):
    picture = Image.fromarray(gradient()).convert(mode)
    loaded = load_one(picture.save)
    np.testing.assert_array_equal(loaded, np.asarray(picture.convert("RGB")))


def test_cmyk_jpeg(load_one):
    loaded = load_one(lambda path: Image.fromarray(gradient()).convert("CMYK").save(path, quality=95), "x.jpg")
    assert np.abs(loaded.astype(int) - gradient()).mean() < 4


def test_sixteen_bits_keep_their_shades(load_one):
    deep = gradient()[..., 0].astype(np.uint16) * 257
    loaded = load_one(lambda path: cv2.imwrite(str(path), deep))
    np.testing.assert_array_equal(loaded[..., 0], gradient()[..., 0])


def test_transparency_is_dropped(load_one):
    picture = Image.fromarray(gradient())
    picture.putalpha(0)
    np.testing.assert_array_equal(load_one(picture.save), gradient())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(load_one, orientation):
    upright = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1),
               6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90}  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_one(lambda path: Image.fromarray(gradient()).save(path, exif=exif, quality=95), "x.jpg")
    assert np.abs(loaded.astype(int) - upright[orientation](gradient())).mean() < 4


def test_shrinking_averages_pixels(load_one):
    board = np.indices((64, 64)).sum(axis=0) % 2 * 200
    loaded = load_one(lambda path: Image.fromarray(board.astype(np.uint8)).save(path))
    assert (loaded == 100).all()


@pytest.mark.parametrize(("height", "width"), [(64, 64), (16, 16), (1, 1), (31, 33), (500, 375), (3, 200)])
def test_any_size_is_accepted(load_one, height, width):
    assert load_one(lambda path: Image.fromarray(gradient(height, width)).save(path)).shape == (32, 32, 3)


@pytest.mark.parametrize("turned", [False, True])
def test_what_juts_out_is_cut_off_at_both_sides(load_one, turned):
    wide = np.zeros((64, 192, 3), np.uint8)
    wide[:, 64:128] = 255
    wide = wide.swapaxes(0, 1) if turned else wide
    assert (load_one(lambda path: Image.fromarray(wide).save(path)) == 255).all()


def test_image_size_is_height_and_width(load_one):
    assert load_one(lambda path: Image.fromarray(gradient(50, 90)).save(path), image_size=(20, 48)).shape == (20, 48, 3)


@pytest.mark.parametrize(("name", "options"), [("x.png", {}), ("x.jpg", {}), ("x.jpg", {"progressive": True})])
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.8])
def test_a_truncated_file_is_named(load_one, name, options, kept):
    def save(path):
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)).save(path, **options)
        os.truncate(path, int(kept * path.stat().st_size))

    with pytest.raises(DataError, match=f"Received: test/a/{name} of class 'a' .* Replace or remove the file"):
        load_one(save, name)


def test_a_jpeg_with_something_behind_it_is_whole(load_one):
    """Cameras append previews and films; that these look like an open picture must not matter."""

    def save(path):
        Image.fromarray(gradient()).save(path, quality=95)
        path.write_bytes(path.read_bytes() + b"\xff\xda film")

    assert np.abs(load_one(save, "x.jpg").astype(int) - gradient()).mean() < 3


def test_a_file_of_another_format_is_named(load_one):
    with pytest.raises(DataError, match=r"Received: test/a/x\.jpg of class 'a'"):
        load_one(lambda path: path.write_text("<html>404</html>"), "x.jpg")


def test_an_unreadable_file_is_named(load_one):
    with pytest.raises(DataError, match=r"Received: test/a/x\.jpg of class 'a'"):
        load_one(lambda path: Image.fromarray(gradient()).save(path, format="GIF"), "x.jpg")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_missing_split_is_an_error(write_images, progress, split):
    root = write_images()
    (root / split).rename(root / "elsewhere")
    with pytest.raises(DataError, match=f"must hold train/<class>/ and test/<class>/.* which has no folder '{split}'"):
        ImageFolder(root).load(progress)


def test_one_class_is_an_error(write_images, progress):
    with pytest.raises(DataError, match=r"two classes or more. Received: .*\['cat'\]"):
        ImageFolder(write_images(("cat",))).load(progress)


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class_is_named(write_images, progress, split):
    root = write_images()
    for file in (root / split / "dog").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=f"needs images in {split}.* Received: none of class 'dog'"):
        ImageFolder(root).load(progress)


@pytest.mark.parametrize(
    ("test_classes", "message"),
    [
        (("cat",), r"test lacks \['dog'\]"),
        (("cat", "dog", "emu"), r"train lacks \['emu'\]"),
        (("cat", "Dog"), r"test lacks \['dog'\]; train lacks \['Dog'\]"),
    ],
)
def test_classes_that_differ_are_named(write_images, progress, test_classes, message):
    with pytest.raises(DataError, match=message):
        ImageFolder(write_images(test_classes=test_classes)).load(progress)


def test_threads_change_nothing(write_images, progress, monkeypatch):
    root = write_images(count=7)
    expected = ImageFolder(root).load(progress).train
    monkeypatch.setattr("lrdiag.data.image_folder._CHUNK", 2)
    chunked = ImageFolder(root).load(progress).train
    np.testing.assert_array_equal(chunked.images, expected.images)
    assert chunked.files == expected.files


def test_the_real_photographs_show_what_the_batches_show(tmp_path, cifar10_root, progress):
    """The folder holds the photographs of CIFAR-10 as JPEG: alike, but for compression."""
    from lrdiag.data.cifar10 import Cifar10

    root = tmp_path / "some"
    for split in ("train", "test"):
        for name in ("airplane", "frog"):
            (root / split / name).mkdir(parents=True)
            for file in sorted((cifar10_root / "images" / "test" / name).iterdir())[:20]:
                (root / split / name / file.name).symlink_to(file)
    photographs = ImageFolder(root).load(progress).test
    official = Cifar10(cifar10_root).load(progress).test
    planes = official.images[official.labels == 0].astype(np.int16)
    distances = [np.abs(planes - image).mean(axis=(1, 2, 3)).min() for image in photographs.images[:20]]
    assert max(distances) < 6


def test_a_file_that_may_not_be_read_is_named(write_images, progress, monkeypatch):
    root = write_images()

    def refuse(_):
        raise PermissionError("Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(DataError, match=r"Received: train/cat/0\.png of class 'cat' .* Permission denied"):
        ImageFolder(root).load(progress)

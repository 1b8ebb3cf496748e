"""Damaged JPEG files that decoders accept, and intact files that look unusual."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from lrdiag.data.sources import jpeg

random = np.random.default_rng(0)


def picture(height: int = 240, width: int = 320) -> Image.Image:
    """Structures of every size, as in a photograph."""
    layers = [cv2.resize(random.normal(0, side, (side, side, 3)), (width, height)) for side in (4, 16, 64)]
    return Image.fromarray((128 + sum(layers)).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def damage(data: bytes) -> str | None:
    """Returns why a file is damaged, as `decode` finds out."""
    structure = jpeg.examine(data)
    if structure is None:
        return "it has no end"
    if reason := jpeg.hidden_damage(data, structure):
        return reason
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return "it cannot be decoded" if pixels is None else jpeg.damage_seen(data, structure, pixels)


ENCODINGS = {
    "default": {},
    "fine": {"quality": 95, "subsampling": 0},
    "progressive": {"progressive": True, "quality": 95},
    "optimized": {"optimize": True},
    "restarts": {"restart_marker_rows": 1},
}
PICTURE = picture()
FILES = {name: encoded(PICTURE, **options) for name, options in ENCODINGS.items()}
THIRDS = {
    "zeros": lambda data, third: data[:third] + bytes(third) + data[2 * third :],
    "noise": lambda data, third: data[:third] + random.bytes(third) + data[2 * third :],
    "0xff": lambda data, third: data[:third] + b"\xff" * third + data[2 * third :],
    "cut": lambda data, third: data[:third],
    "cut, with an end": lambda data, third: data[:third] + b"\xff\xd9",
}


@pytest.mark.parametrize("how", THIRDS)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_found(name, how):
    data = FILES[name]
    assert damage(data) is None
    assert damage(THIRDS[how](data, len(data) // 3)) is not None


@pytest.mark.parametrize("name", ["default", "fine", "optimized"])
def test_missing_bytes_and_empty_sectors_are_found(name):
    data, third = FILES[name], len(FILES[name]) // 3
    assert damage(data[:third] + data[2 * third :]) == "its image data ends too early"
    assert damage(data[:third] + bytes(512) + data[third + 512 :]) is not None


def test_data_that_is_longer_than_the_image_is_found():
    short, long = encoded(PICTURE.crop((0, 0, 320, 160))), FILES["default"]
    start, end = jpeg.examine(long).scans[0]
    sizes = long[:start].replace((240).to_bytes(2) + (320).to_bytes(2), (160).to_bytes(2) + (320).to_bytes(2))
    inserted = sizes + long[start : end - 900] + bytes(100) + long[end - 800 :]
    assert len(short) < len(inserted)
    assert damage(inserted) == "its image data is longer than the image"


@pytest.mark.parametrize("options", [*ENCODINGS.values(), {"quality": 10}, {"quality": 100, "optimize": True}])
def test_intact_files_are_accepted(options):
    flat = [Image.new("RGB", (size, size), 3 * (shade,)) for size in (8, 500) for shade in (0, 128, 255)]
    on_grey = Image.new("RGB", (300, 300), "#808080")
    on_grey.paste(PICTURE, (20, 20))
    grey, tiny, colours = PICTURE.convert("L"), PICTURE.resize((9, 7)), PICTURE.convert("CMYK")
    for image in (*flat, on_grey, grey, tiny, colours):
        assert damage(encoded(image, **options)) is None


def test_what_cameras_append_is_ignored():
    assert damage(FILES["default"] + b"\xff\xda film" + bytes(5000)) is None


def test_the_size_and_the_orientation_are_read():
    exif = Image.Exif()
    exif[0x0112] = 6
    structure = jpeg.examine(encoded(PICTURE, exif=exif))
    assert (structure.height, structure.width, structure.turned) == (240, 320, True)
    assert not jpeg.examine(FILES["progressive"]).turned


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xc0\x00\x05\x08\x00\x00"])
def test_files_without_an_image_have_no_structure(data):
    assert jpeg.examine(data) is None


@pytest.mark.slow
def test_no_photograph_is_taken_for_damaged(real_images):
    from lrdiag.data.sources.cifar10 import Cifar10
    from lrdiag.progress import Silence

    images = Cifar10(real_images).load(Silence(), test_only=True).test.images
    for number, image in enumerate(images):
        options = list(ENCODINGS.values())[number % len(ENCODINGS)]
        options = options | {"quality": (20, 50, 75, 90, 100)[number // len(ENCODINGS) % 5]}
        assert damage(encoded(Image.fromarray(image), **options)) is None

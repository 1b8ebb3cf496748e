"""How numbers and names are written."""

from __future__ import annotations

import numpy as np
import pytest

from lrdiag import formats


@pytest.mark.parametrize(
    ("share", "written"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.78561, "78.6 %"), (0.99996, "> 99.9 %"), (0.0001, "< 0.1 %"), (None, "–")],
)
def test_percent(share: float | None, written: str) -> None:
    assert formats.percent(share).replace("\u00a0", " ") == written


@pytest.mark.parametrize(
    ("difference", "written"),
    [
        (0.0123, "+1.2"), (-0.3, "−30.0"), (0.0005, "+0.1"), (0.00049, "+0.05"), (-0.00002, "−0.002"), (0.0, "0.0"),
        (-0.0, "0.0"), (1, "+100.0"), (None, "–"),
    ],
)  # fmt: skip
def test_points(difference: float | None, written: str) -> None:
    assert formats.points(difference) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1.0, "1.0"),
        (0.996, "1.0"),
        (0.5, "0.5"),
        (0.0481, "0.048"),
        (0.001, "0.001"),
        (0.0009, "0.0009"),
        (6.7e-6, "6.7e-6"),
        (0, "< 1e-99"),
    ],
)
def test_probability(value: float, written: str) -> None:
    assert formats.probability(value).replace("\u00a0", " ") == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0351, "0.035"),
        (0.000123, "0.00012"),
        (0.0001, "0.0001"),
        (0.00009999, "0.0001"),  # rounded before it is compared with the limit
        (0.000099, "9.9e-5"),
        (1e-5, "1e-5"),
        (1, "1"),
        (12, "12"),
        (0.0, "0"),
        (np.float32(0.1), "0.1"),
        (np.inf, "inf"),
        (None, "–"),
    ],
)
def test_rate(value: float | None, written: str) -> None:
    assert formats.rate(value) == written


@pytest.mark.parametrize(("value", "written"), [(0.61234, "0.612"), (2e9, "2e+09"), (None, "not finite")])
def test_loss(value: float | None, written: str) -> None:
    assert formats.loss(value) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 00 s"), (192, "3 min 12 s"), (3900, "1 h 05 min")],
)
def test_duration(seconds: float, written: str) -> None:
    assert formats.duration(seconds).replace("\u00a0", " ") == written


def test_plural() -> None:
    assert [formats.plural(number, "mistake") for number in (0, 1, 2140)] == [
        "0 mistakes",
        "1 mistake",
        "2,140 mistakes",
    ]


def test_a_name_cannot_reverse_the_text_around_it() -> None:
    assert formats.short("\u202egnp.tac\u202c") == "gnp.tac"
    assert formats.short("\u05d0\u05d1") == "\u2068\u05d0\u05d1\u2069"


def test_a_name_stays_on_its_line() -> None:
    assert formats.short("a\n b\t c\u2028d") == "a b c d"
    assert formats.short(" 4.2\u00a0% ") == "4.2\u00a0%"


def test_a_long_name_is_cut() -> None:
    assert formats.short("x" * 10_000) == "x" * 39 + "…"


def test_characters_that_html_forbids_are_replaced() -> None:
    assert formats.legible("a\x00\ud800\ufffeb") == "a\ufffd\\ud800\ufffdb"
    assert formats.legible(7) == 7


def test_bytes_that_are_not_utf_8_are_escaped_alike() -> None:
    name = "caf\udce9"  # as Python reads a file name in Latin-1
    assert formats.encodable(name) == formats.printable(name) == formats.legible(name) == r"caf\udce9"
    assert formats.encodable_record({name: [(name, 1)]}) == {r"caf\udce9": [[r"caf\udce9", 1]]}


def test_nothing_controls_a_terminal() -> None:
    assert formats.for_terminal("\x1b[1mb\n::error::c\x9bd\u202ee\u2068f") == r"\x1b[1mb\n::error::c\x9bd\u202ee\u2068f"
    assert formats.for_terminal(formats.short("אב")) == "\u2068אב\u2069"
    assert formats.for_terminal("4.2\u00a0%") == "4.2 %"
    long = formats.for_terminal("a" * 9000 + "What to do")
    assert len(long) < 4100
    assert long.endswith("What to do")

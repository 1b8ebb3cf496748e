"""Formats of numbers and of names from outside, shared by the page, the summary and the terminal."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any

MISSING = "–"
NAME_LIMIT = 40
_SMALLEST_PLAIN = Decimal("0.0001")
"""The smallest learning rate that is written without an exponent."""

_DIRECTION_MARKS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROLS = f"{_UNPRINTABLE.pattern}|{_DIRECTION_MARKS.pattern}|[\u2028\u2029]"
_ISOLATED = f"\u2068(?:(?!{_CONTROLS}).)*\u2069"  # as `short` returns a name with right-to-left letters
_NOT_ON_A_TERMINAL = re.compile(f"(?P<isolated>{_ISOLATED})|{_CONTROLS}")
_LONGEST_MESSAGE = 4000
_END_OF_MESSAGE = 500  # characters: what was received, and what to do
_SPACES = re.compile(r"[^\S\u00a0]+")  # a no-break space, as before a percent sign, stays
_NOT_IN_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")


def percent(share: float | None) -> str:
    r"""A share as `78.6 %`; never rounds up to `100.0 %` or down to `0.0 %`.

    >>> percent(0.7856), percent(0.99998), percent(None)
    ('78.6\xa0%', '>\xa099.9\xa0%', '–')
    """
    if share is None:
        return MISSING
    if 0.9995 <= share < 1:
        return ">\u00a099.9\u00a0%"
    if 0 < share < 0.0005:
        return "<\u00a00.1\u00a0%"
    return f"{100 * share:.1f}\u00a0%"


def points(difference: float | None, digits: int = 1) -> str:
    """A difference of two shares in percentage points, with its sign; never rounds to zero.

    Two digits suit a difference beside its two shares in percent: with one, it may differ by 0.1 from what a reader
    subtracts.

    >>> points(0.0123), points(-0.004), points(0.0003), points(0.0), points(None), points(-0.0084, digits=2)
    ('+1.2', '−0.4', '+0.03', '0.0', '–', '−0.84')

    Args:
        difference: The difference, or `None`.
        digits: Digits after the decimal point.
    """
    if difference is None:
        return MISSING
    value = 100 * difference
    if value == 0:
        return "0.0"
    style = f"+.{digits}f" if abs(value) >= 0.5 * 10**-digits else "+.1g"
    return f"{value:{style}}".replace("-", "−")


def probability(value: float) -> str:
    """A p-value with two significant digits.

    >>> probability(0.0481), probability(1.0), probability(6.7e-6)
    ('0.048', '1.0', '6.7e-6')
    """
    if value < 1e-99:
        return "<\u00a01e-99"
    return rate(value) if value < 0.001 else f"{value:.2g}" if value < 0.995 else "1.0"


def rate(value: float | None, digits: int = 2) -> str:
    """A learning rate as `0.035`; below 0.0001 as `3.2e-5`.

    >>> rate(0.0351), rate(0.000123), rate(0.1), rate(10.0), rate(3.21e-5), rate(1e-5), rate(0.0125, digits=3)
    ('0.035', '0.00012', '0.1', '10', '3.2e-5', '1e-5', '0.0125')

    Args:
        value: The rate, or `None`.
        digits: Maximum number of significant digits.
    """
    if value is None:
        return MISSING
    if not math.isfinite(value):
        return f"{value}"
    rounded = Decimal(f"{value:.{digits - 1}e}").normalize()
    if not rounded or abs(rounded) >= _SMALLEST_PLAIN:
        return f"{rounded:f}"
    mantissa, exponent = f"{rounded:e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def loss(value: float | None, is_known: bool = True) -> str:
    """A loss with three decimals.

    >>> loss(0.4567), loss(None), loss(None, is_known=False)
    ('0.457', 'not finite', 'unknown')
    """
    if value is None:
        return "not finite" if is_known else "unknown"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.3g}"


def count(value: int) -> str:
    """An integer with thousands separators."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """A count with its noun: `1 mistake`, `2,140 mistakes`."""
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def duration(seconds: float) -> str:
    """Wall time as `4.2 s`, `3 min 12 s` or `1 h 05 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}\u00a0min {rest:02d}\u00a0s"
    return f"{minutes // 60}\u00a0h {minutes % 60:02d}\u00a0min"


def setting(value: str | int | float | bool | None) -> str:
    """The value of a setting.

    >>> setting(True), setting(None), setting(0.1)
    ('yes', 'not set', '0.1')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not set" if value is None else f"{value}"


def plain(text: str) -> str:
    """Text for a terminal or for Markdown: with normal spaces, so that `grep "47.3 %"` finds a figure.

    >>> plain(percent(0.473))
    '47.3 %'
    """
    return text.replace("\u00a0", " ")


def short(name: str, limit: int = NAME_LIMIT) -> str:
    """A name from outside on one line, at most `limit` characters, that cannot reverse the text around it.

    Removes directional marks and isolates names with right-to-left letters, because `<bdi>` is not available in
    attributes and in Markdown.
    """
    # Cut before cleaning as well: a name of a megabyte must not be processed once for each of its images.
    words = _SPACES.sub(" ", _DIRECTION_MARKS.sub("", name[: 10 * limit])).strip()
    if len(words) > limit:
        words = words[: limit - 1].rstrip() + "…"
    if any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in words):
        return f"\u2068{words}\u2069"
    return words or "(no name)"


def encodable(text: str) -> str:
    r"""Text that can be encoded: bytes of a name that are not UTF-8 are escaped.

    Python reads such bytes as lone surrogates, which UTF-8 and JSON do not allow. Everything that is written escapes
    them in this way, so that a name is the same in each file.

    >>> encodable("caf\udce9")
    'caf\\udce9'
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def encodable_record(record: Any) -> Any:
    """A record of plain values, in which each text is `encodable`."""
    return with_texts(record, encodable)


def with_texts(record: Any, change: Callable[[str], str]) -> Any:
    """A record of plain values, in which each text is changed, also that of keys."""
    match record:
        case str():
            return change(record)
        case dict():
            return {with_texts(key, change): with_texts(value, change) for key, value in record.items()}
        case list() | tuple():
            return [with_texts(value, change) for value in record]
    return record


def printable(name: str) -> str:
    r"""Escapes control characters and invalid UTF-8, which would break lines, terminals and JSON.

    >>> print(printable("a\nb"))
    a\nb
    """
    return _UNPRINTABLE.sub(_escaped, name)


def for_terminal(text: str) -> str:
    r"""Text from outside for one line of a terminal, where it controls nothing: no colours, no lines, no direction.

    A line that begins with `::` would be a command for GitHub's runner. Long text is shortened in the middle.

    >>> print(for_terminal("\x1b[2Ja\n::error::b"))
    \x1b[2Ja\n::error::b
    """
    if len(text) > _LONGEST_MESSAGE:
        text = f"{text[: _LONGEST_MESSAGE - _END_OF_MESSAGE]} … {text[-_END_OF_MESSAGE:]}"
    return _NOT_ON_A_TERMINAL.sub(_escaped, plain(text))


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found.groupdict().get("isolated") else ascii(found[0])[1:-1]


def legible(value: object) -> object:
    """Replaces characters that HTML does not allow: control characters and non-characters. Escapes invalid UTF-8."""
    return _NOT_IN_HTML.sub("\ufffd", encodable(value)) if type(value) is str else value

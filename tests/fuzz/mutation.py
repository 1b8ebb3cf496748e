"""Changes to JSON documents, to bytes and to text."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

NUMBERS: list[Any] = [0, 1, -1, 2, 10**6, 10**9, 2**31, 2**53, 2**63 - 1, 2**63, 10**40, 0.5, -0.5, 7.5, 1e-320, 1e30]
NUMBERS += [1e99, 1e308, -1e308]
TEXTS = [
    "",
    "x" * 10_000,
    "x" * 200_000,
    "\u202e\u0000\x1b[2J",
    "</script><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "../../conftest.py",
    "/dev/zero",
    "error",
    "=1+1",
    "`" * 99,
    "\n" * 5,
    "0f" * 32,
    "é" * 50,
]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"a": 1}]


def places(node: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every value of a document."""
    if path:
        yield path
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from places(node[key], (*path, key))


def at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def mutated_json(document: Any, rng: random.Random) -> Any:
    """The document with one to three changes."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        every = list(places(document))
        if every:
            _change(document, rng.choice(every), every, rng)
    return document


def _change(document: Any, path: Path, every: list[Path], rng: random.Random) -> None:
    parent, key = at(document, path[:-1]), path[-1]
    value = parent[key]
    way = rng.random()
    if way < 0.08:
        del parent[key]
    elif way < 0.16:
        parent[key] = copy.deepcopy(at(document, rng.choice(every)))
    elif way < 0.24:
        parent[key] = copy.deepcopy(rng.choice([*NUMBERS, *TEXTS, *OTHERS]))
    else:
        parent[key] = _similar(value, rng)


def _similar(value: Any, rng: random.Random) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice([value + 1, value - 1, 2 * value, -value, *(n for n in NUMBERS if isinstance(n, int))])
    if isinstance(value, float):
        return rng.choice([value + 0.01, value - 0.01, 2 * value, -value, *map(float, NUMBERS)])
    if isinstance(value, str):
        return rng.choice([value * 2, value[:-1], value.upper(), *TEXTS])
    if isinstance(value, list):
        shuffled = value[:]
        rng.shuffle(shuffled)
        return rng.choice([[], value[:1], value[:-1], value + value, value[::-1], shuffled, [*value, None]])
    if isinstance(value, dict):
        return rng.choice([{}, dict(list(value.items())[:-1]), value | {"x" * rng.randrange(9): 1}])
    return rng.choice([0, 0.5, "text", [], {}])


def mutated_bytes(content: bytes, rng: random.Random) -> bytes:
    """The content with some bytes changed, removed, repeated or added."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place, way = rng.randrange(len(changed) + 1), rng.randrange(6)
        length = min(rng.choice((1, 2, 4, 64, 1024)), len(changed) - place)
        if way == 0:
            del changed[place : place + length]
        elif way == 1:
            changed[place:place] = changed[place : place + length]
        elif way == 2:
            changed[place : place + length] = bytes(rng.choice((0, 255)) for _ in range(length))
        elif way == 3 and length >= 4:
            value = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1))
            changed[place : place + 4] = value.to_bytes(4, rng.choice(("big", "little")))
        elif way == 4 and rng.random() < 0.2:
            del changed[place:]
        elif place < len(changed):
            changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def mutated_text(text: str, rng: random.Random) -> bytes:
    """The text with lines, words and characters changed, as UTF-8 or perhaps not."""
    lines = text.splitlines(keepends=True)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(len(lines)) if lines else 0
        way = rng.randrange(7)
        if way == 0 and lines:
            del lines[place]
        elif way == 1 and lines:
            lines.insert(place, rng.choice(lines))
        elif way == 2 and lines:
            lines[place] = rng.choice(('"', "'", ",,,", "[", "]", "=", "\ufeff", "\x00", "\r")) + lines[place]
        elif way == 3 and lines:
            cut = rng.randrange(len(lines[place]) + 1)
            lines[place] = lines[place][:cut] + rng.choice(TEXTS) + lines[place][cut:]
        elif way == 4 and lines:
            lines[place] = lines[place].replace(
                rng.choice("=,0123456789\"'"), rng.choice(("", "=", "-1", "1e999", "[["))
            )
        elif way == 5:
            lines.append(rng.choice(TEXTS) + "\n")
        else:
            rng.shuffle(lines)
    content = "".join(lines).encode(errors="replace")
    return mutated_bytes(content, rng) if rng.random() < 0.3 else content

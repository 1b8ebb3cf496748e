"""The errors of lrdiag.

    LrdiagError
    ├── SettingsError           an option or argument is invalid
    ├── DataError               images or labels are invalid
    │   └── DataUnavailable     data isn't on disk and can't be downloaded
    ├── ModelError              a model can't be loaded or doesn't fit the data
    ├── NoSuggestion            a range test gives no learning rate
    ├── ComparisonError         two runs have different test images or classes
    ├── MemoryShortage          the memory does not suffice
    ├── TemplateError           a custom template can't be rendered
    └── RunFolderError          a run folder can't be read or written

A message says what was wrong, the rule, what was received and what to do. The command line prints it without a
traceback and exits with code 2.
"""

import operator
import os
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import SupportsIndex

from lrdiag.vocabulary import spelling

_FILES_COMPARED = 2000  # names in a folder; comparing more takes too long
_PREFIX = 3  # letters from which the beginning of a name is enough to recognise it


class LrdiagError(Exception):
    """Base class of all errors that lrdiag raises.

    Example:
        >>> import lrdiag
        >>> try:
        ...     lrdiag.Settings(epochs=0)
        ... except lrdiag.LrdiagError as error:
        ...     print(error)
        `epochs` must be a whole number, 1 or more. Received: 0
    """


class SettingsError(LrdiagError, ValueError):
    """An option or argument has an invalid value."""


class DataError(LrdiagError, ValueError):
    """Images or labels are broken, of another format, or inconsistent."""


class DataUnavailable(DataError):
    """Data isn't on disk and can't be downloaded.

    Attributes:
        reason: Why, in a sentence.

    Args:
        reason: Why, in a sentence.
        advice: What to do.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason} {advice}".rstrip())
        self.reason = reason


class ModelError(LrdiagError, ValueError):
    """A model can't be loaded or doesn't fit the data."""


class NoSuggestion(LrdiagError):
    """A range test gives no learning rate, because its loss does not fall.

    Example:
        >>> import lrdiag
        >>> from lrdiag.rate.range_test import Sweep
        >>> flat = lrdiag.RangeTest((Sweep([0.001, 0.01, 0.1], [2.3, 2.3, 2.3]),))
        >>> try:
        ...     flat.suggest()
        ... except lrdiag.NoSuggestion:
        ...     print("none")
        none
    """


class ComparisonError(LrdiagError, ValueError):
    """Two runs were evaluated on different test images or classes."""


class MemoryShortage(LrdiagError, MemoryError):
    """The memory of the computer or of its GPU does not suffice."""


class TemplateError(LrdiagError):
    """A custom template is missing or broken."""


class RunFolderError(LrdiagError):
    """A run folder can't be read or written."""


class PartError(LrdiagError, ValueError):
    """Parts of an evaluation can't be merged: one is missing, repeated, broken, or of another evaluation."""


def require_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raises unless `value` is one of `choices`.

    Raises:
        SettingsError: With the choices.
    """
    choices = list(choices)
    if value not in choices:
        raise SettingsError(
            f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}{did_you_mean(str(value), choices)}"
        )


def require_count(name: str, value: object, at_least: int = 1) -> None:
    """Raises unless `value` is an integer >= `at_least`.

    Raises:
        SettingsError: With the limit.
    """
    if not isinstance(value, SupportsIndex) or isinstance(value, bool) or operator.index(value) < at_least:
        raise SettingsError(f"`{name}` must be a whole number, {at_least} or more. Received: {value!r}")


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Returns the end of an error message: the known name that is most similar to `name`.

    Example:
        >>> did_you_mean("epoch", ["seed", "epochs"]), did_you_mean("cosine", ["cyclic", "cosine-restarts"])
        (". Did you mean 'epochs'?", ". Did you mean 'cosine-restarts'?")

    Args:
        name: The name that was received.
        known: The valid names.
        prefix: Text to show before the valid name.

    Returns:
        A sentence, or `""` if no name is similar.
    """
    by_spelling = {spelling(each): each for each in known}
    wanted = spelling(name)
    begun = [each for each in by_spelling if each.startswith(wanted)] if len(wanted) >= _PREFIX else []
    close = get_close_matches(wanted, by_spelling) or begun
    close.sort(key=lambda each: sorted(each) != sorted(wanted))  # swapped letters are the most frequent slip
    return f". Did you mean {prefix + by_spelling[close[0]]!r}?" if close else ""


def did_you_mean_file(path: Path) -> str:
    """Returns the end of an error message: the file or folder beside `path` that has the most similar name."""
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _FILES_COMPARED)]
    except (OSError, ValueError):  # the latter for a name that contains a null character
        return ""
    return did_you_mean(path.name, names, "" if path.parent == Path() else f"{path.parent}{os.sep}")

"""Every error that lrdiag raises on purpose.

    LrdiagError
    ├── SettingsError           an option or argument that cannot be used
    ├── DataError               images or labels that cannot be used
    │   └── DataUnavailable     data that is neither on disk nor to be downloaded
    ├── ModelError              a network that cannot be used
    ├── NoSuggestion            a range test from which no learning rate can be read
    ├── ComparisonError         two runs that cannot be compared
    ├── TemplateError           templates of one's own that cannot be rendered
    └── RunFolderError          a run folder that cannot be read or written

A message says what was wrong, the rule, what was received and what to do. The command line prints it without
a traceback and ends with exit code 2.
"""

import operator
from collections.abc import Iterable
from difflib import get_close_matches
from typing import SupportsIndex


class LrdiagError(Exception):
    """The base of every error that lrdiag raises on purpose.

    Example:
        >>> import lrdiag
        >>> try:
        ...     lrdiag.Settings(epochs=0)
        ... except lrdiag.LrdiagError as error:
        ...     print(error)
        `epochs` must be a whole number, 1 or more. Received: 0
    """


class SettingsError(LrdiagError, ValueError):
    """An option or argument is outside the values it may take."""


class DataError(LrdiagError, ValueError):
    """Images or labels are broken, foreign or inconsistent."""


class DataUnavailable(DataError):
    """Data is neither on disk nor to be downloaded."""


class ModelError(LrdiagError, ValueError):
    """A network does not load or does not fit the data."""


class NoSuggestion(LrdiagError):
    """A range test holds no descent from which a learning rate could be read.

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
    """Two runs were not judged on the same test set."""


class TemplateError(LrdiagError):
    """Templates of one's own are missing or broken."""


class RunFolderError(LrdiagError):
    """A run folder cannot be read or written."""


def require_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuses what is none of the choices that an argument has.

    Raises:
        SettingsError: If it is none.
    """
    choices = list(choices)
    if value not in choices:
        raise SettingsError(f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}")


def require_count(name: str, value: object, at_least: int = 1) -> None:
    """Refuses what is no whole number of things.

    Raises:
        SettingsError: If it is none, or less than `at_least`.
    """
    if not isinstance(value, SupportsIndex) or isinstance(value, bool) or operator.index(value) < at_least:
        raise SettingsError(f"`{name}` must be a whole number, {at_least} or more. Received: {value!r}")


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Ends a message that refuses `name` with the nearest one that is known; empty where none is near.

    Example:
        >>> did_you_mean("epoch", ["seed", "epochs"])
        ". Did you mean 'epochs'?"

    Args:
        name: What was received.
        known: What could have been meant.
        prefix: Stands before the known name where it is shown.
    """
    close = get_close_matches(name, list(known), n=1)
    return f". Did you mean {prefix + close[0]!r}?" if close else ""

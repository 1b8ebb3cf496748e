"""Checks of the arguments of curves."""

from __future__ import annotations

from numbers import Real

from lrdiag.errors import SettingsError


def is_number(value: object) -> bool:
    """Returns whether `value` is a real number of Python or numpy. A boolean isn't."""
    return isinstance(value, Real) and not isinstance(value, bool)


def require_positive(**values: float) -> None:
    """Raises unless each value is a positive, finite number.

    Raises:
        SettingsError: If one isn't.
    """
    for name, value in values.items():
        if not (is_number(value) and 0 < value < float("inf")):
            raise SettingsError(f"Argument `{name}` must be a positive, finite number. Received: {name}={value!r}")


def require_one_or_more(**values: float) -> None:
    """Raises unless each value is a finite number >= 1.

    Raises:
        SettingsError: If one isn't.
    """
    for name, value in values.items():
        if not (is_number(value) and 1 <= value < float("inf")):
            raise SettingsError(f"Argument `{name}` must be 1 or more, and finite. Received: {name}={value!r}")


def require_ascending(**values: float) -> None:
    """Raises unless the first of two values is less than the second.

    Raises:
        SettingsError: If it isn't.
    """
    (low, lesser), (high, greater) = values.items()
    if lesser >= greater:
        raise SettingsError(f"Argument `{low}` must be less than `{high}`. Received: {low}={lesser}, {high}={greater}")

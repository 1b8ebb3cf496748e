"""Data frames of pandas, which is imported only when one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lrdiag.errors import LrdiagError

if TYPE_CHECKING:
    import pandas as pd


def data_frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    """Returns a data frame of these columns.

    Raises:
        LrdiagError: If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise LrdiagError(f"A data frame needs pandas. Run `pip install pandas`. Received: {error}") from error
    return pd.DataFrame(columns)

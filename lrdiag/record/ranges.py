"""Types of the numbers and texts in the records, with the limits that are checked when a run is read.

The limits are far beyond what a run contains. They are part of the published schemas.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

_LARGEST_COUNT = 2**53 - 1
"""The largest integer that a float, and JavaScript, can represent exactly."""
_LARGEST = 1e100
_LONGEST = 100_000

Count = Annotated[int, Meta(ge=0, le=_LARGEST_COUNT)]
"""A number of things."""
Positive = Annotated[int, Meta(ge=1, le=_LARGEST_COUNT)]
"""A number of things, at least one."""
Index = Annotated[int, Meta(ge=0, le=_LARGEST_COUNT)]
"""A place in a list, counted from 0."""
Number = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
"""A measured value, such as a loss."""
Share = Annotated[float, Meta(ge=0, le=1)]
"""A counted share, or the end of its interval."""
Probability = Annotated[float, Meta(ge=0, le=1.02)]
"""A probability, or a mean of some. Those of a model with 16 bits may sum to slightly more than 1."""
Difference = Annotated[float, Meta(ge=-2, le=2)]
"""A difference of two shares, or the end of its interval."""
Rate = Annotated[float, Meta(ge=0, le=1e30)]
"""A learning rate."""
Duration = Annotated[float, Meta(ge=-1, le=1e10)]
"""Wall time in seconds. A sum of differences may be slightly below 0."""
Code = Annotated[str, Meta(pattern="^[a-z0-9-]{1,80}$")]
"""The name of a rule, which stands in summary.md as it is."""
Text = Annotated[str, Meta(max_length=_LONGEST)]
"""A name or a sentence."""
Shape = Annotated[list[Positive], Meta(min_length=3, max_length=3)]
"""Height, width and channels of an image."""

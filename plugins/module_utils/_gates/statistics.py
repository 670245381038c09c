# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of samples. PRIVATE to the collection."""

from __future__ import annotations

import math
import typing as t


def percentile(values: t.Iterable[float], share: float) -> float | None:
    """Returns the value below which *share* (0 to 1) of *values* lie, or None when there are no values.

    Linear interpolation between the two closest ranks: with the n values sorted as x[0] … x[n-1] and
    h = (n - 1) · share, the result is x[⌊h⌋] + (h - ⌊h⌋) · (x[⌊h⌋ + 1] - x[⌊h⌋]). This is type 7 of Hyndman and Fan,
    "Sample Quantiles in Statistical Packages" (1996), the default of NumPy and R.
    Raises ValueError for a share outside 0 to 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must be from 0 to 1, not {share!r}")
    ordered = sorted(values)
    if not ordered:
        return None
    rank = (len(ordered) - 1) * share
    low = math.floor(rank)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (rank - low) * (ordered[high] - ordered[low])

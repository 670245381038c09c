# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Statistics of samples."""

from __future__ import annotations

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._gates.statistics import percentile


@pytest.mark.parametrize(
    ("values", "share", "result"),
    [
        ([], 0.5, None),
        ([7.0], 0.99, 7.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.5),
        ([1.0, 2.0, 3.0, 4.0], 0.0, 1.0),
        ([1.0, 2.0, 3.0, 4.0], 1.0, 4.0),
        # numpy.percentile([10, 20, 30, 40, 50], 95) and R's quantile(..., type = 7) give the same.
        ([50.0, 40.0, 30.0, 20.0, 10.0], 0.95, 48.0),
    ],
)
def test_percentile_interpolates_between_the_closest_ranks(
    values: list[float], share: float, result: float | None
) -> None:
    assert percentile(values, share) == pytest.approx(result)


@pytest.mark.parametrize("share", [-0.1, 1.1, 95])
def test_percentile_refuses_a_share_that_is_none(share: float) -> None:
    with pytest.raises(ValueError, match="share must be from 0 to 1"):
        percentile([1.0], share)

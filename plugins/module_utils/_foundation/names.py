# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that files, units and containers are made of. PRIVATE to the collection."""

from __future__ import annotations

import re

from .errors import BadInput

_APPLICATION = re.compile(r"[a-z][a-z0-9-]{0,30}")


def check_application(application: str) -> str:
    """Returns *application* when it can name files, units and containers. Raises BadInput."""
    if not _APPLICATION.fullmatch(application):
        raise BadInput(
            "The name of the application cannot be used.",
            expected="a lower-case name like shop, up to 31 characters",
            found=application,
            where="application",
        )
    return application

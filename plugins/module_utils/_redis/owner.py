# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who owns the files of a server on this host. PRIVATE to the collection."""

from __future__ import annotations

import pwd

from .._foundation.errors import NotFound


def of(user: str) -> tuple[int, int]:
    """Returns the ids of *user* and its group. Raises NotFound on a host without the package that makes it."""
    try:
        account = pwd.getpwnam(user)
    except KeyError as error:
        raise NotFound(
            "The server is not installed on this host.",
            expected=f"the user {user}, which its package makes",
            next_step=f"apt-get install {user}-server, or the role vitalops.rollout.redis",
        ) from error
    return account.pw_uid, account.pw_gid

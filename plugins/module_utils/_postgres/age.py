# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When what a server reads at a path became what it is. PRIVATE to the collection."""

from __future__ import annotations

import os
import typing as t

#: Settings that name files which the server reads at a reload.
CERTIFICATE = ("ssl_cert_file", "ssl_key_file", "ssl_ca_file", "ssl_crl_file")


def changed_at(path: str) -> float:
    """Returns the newest time of what *path* leads to and of every link on the way: a link that moves renews it, too.

    0 for a path that leads nowhere.
    """
    if not os.path.exists(path):
        return 0.0
    newest, here, left = os.stat(path).st_mtime, "/", _parts(path)
    while left:
        here = os.path.join(here, left.pop(0))
        if os.path.islink(here):
            newest = max(newest, os.lstat(here).st_mtime)
            target = os.readlink(here)
            left = _parts(target) + left
            here = "/" if os.path.isabs(target) else os.path.dirname(here)
    return newest


def of_certificate(settings: t.Mapping[str, t.Any], data: str) -> float:
    """Returns when the newest file of the certificate in *settings* changed; a relative path starts at *data*."""
    paths = [os.path.join(data, str(settings[name])) for name in CERTIFICATE if settings.get(name)]
    return max(map(changed_at, paths), default=0.0)


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]

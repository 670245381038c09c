# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a server would start with new settings, found out beside the running one. PRIVATE to the collection.

PostgreSQL reads its files, loads its libraries, checks what settings must agree with each other, and works out its
shared memory before it opens a port: ``postgres -C`` does just that, and ends. It wants a data folder for it; one with
the version and the control file of the real one is enough, so the running server is not touched.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
import typing as t

from .._foundation import command
from .._foundation.errors import BadInput
from .cluster import ANSWER_SECONDS, Cluster

#: Known only after everything else is (from PostgreSQL 15 on; before, it is the files alone that are checked).
_LATE = "data_checksums"


def check(cluster: Cluster, text: str) -> None:
    """Raises BadInput, with PostgreSQL's own words, when it would not start with *text* as our file."""
    folder = tempfile.mkdtemp(prefix="rollout-postgres-")
    try:
        candidate = _fill(cluster, folder, text)
        server = ["env", "-C", folder, f"{cluster.programs}/postgres", "-C", _LATE, "-D", folder]
        options = ["-c", f"config_file={candidate}", "-c", f"data_directory={folder}", "-c", "log_destination=stderr"]
        ended = command.run(
            ["runuser", "-u", "postgres", "--", *server, *options, "-c", "logging_collector=off"],
            deadline=ANSWER_SECONDS,
            accepted=range(256),
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if ended.code:
        raise BadInput(
            "PostgreSQL would not start with these settings.",
            expected="settings that the server accepts",
            found="\n    ".join(reasons(ended.error, candidate)) or f"exit code {ended.code}",
            where="postgres_settings and the variables of role postgres",
            next_step="correct them, then run this again; nothing has changed",
        )


def reasons(told: str, candidate: str) -> list[str]:
    """Returns the lines that say why, without time and process, each once; *candidate* is the file of this check."""
    found = []
    for line in told.splitlines():
        _before, separator, words = line.partition(": ")
        level = _before.rsplit(" ", 1)[-1]
        if separator and level in ("LOG", "ERROR", "FATAL", "DETAIL", "HINT"):
            words = words.strip().replace(candidate, "rollout.conf")
            if words not in found and "contains errors" not in words:
                found.append(words)
    return found


def _fill(cluster: Cluster, folder: str, text: str) -> str:
    shutil.copy(os.path.join(cluster.data, "PG_VERSION"), folder)
    os.mkdir(os.path.join(folder, "global"))
    shutil.copy(os.path.join(cluster.data, "global", "pg_control"), os.path.join(folder, "global"))
    candidate = os.path.join(folder, "candidate.conf")
    with open(candidate, "w", encoding="utf-8") as handle:
        handle.write(f"include '{cluster.folder}/postgresql.conf'\n{text}")
    # What ALTER SYSTEM has set has the last word, here as there.
    automatic = os.path.join(cluster.data, "postgresql.auto.conf")
    if os.path.exists(automatic):
        shutil.copy(automatic, folder)
    owner = pwd.getpwnam("postgres")
    for path in _all(folder):
        os.chown(path, owner.pw_uid, owner.pw_gid)
        os.chmod(path, 0o700 if os.path.isdir(path) else 0o600)
    return candidate


def _all(folder: str) -> t.Iterator[str]:
    for here, _folders, files in os.walk(folder):
        yield here
        yield from (os.path.join(here, file) for file in files)

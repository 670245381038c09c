# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster as Debian's tools and the server's own files tell it, and data that is another's."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation import durable
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres import cluster as clusters
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres import trial
from ansible_collections.vitalops.rollout.plugins.module_utils._postgres.cluster import Cluster

LISTED = """\
15 main 5433 down,binaries_missing postgres /srv/old /var/log/postgresql/postgresql-15-main.log
17 main 5432 online postgres /var/lib/postgresql/17/main /var/log/postgresql/postgresql-17-main.log
"""


@pytest.fixture
def here(tmp_path: Path) -> Cluster:
    (tmp_path / "PG_VERSION").write_text("17\n")
    (tmp_path / "global").mkdir()
    put_identity(tmp_path, 7571)
    return Cluster("17", str(tmp_path), str(tmp_path), "/usr/bin", "postgresql.service")


def put_identity(folder: Path, number: int) -> None:
    (folder / "global" / "pg_control").write_bytes(struct.pack("=Q", number) + b"\0" * 100)


def test_clusters_are_read_from_what_debian_lists() -> None:
    known = clusters.parse(LISTED)
    old, new = known["15", "main"], known["17", "main"]
    assert (old.data, old.programs, new.port) == ("/srv/old", "/usr/lib/postgresql/15/bin", 5432)
    assert new.unit == "postgresql@17-main.service"
    assert new.folder == "/etc/postgresql/17/main"


def test_where_a_server_listens_is_told_by_itself_not_by_files_that_wait_for_a_restart(here: Cluster) -> None:
    pid = f"{os.getpid()}\n/data\n1795269600\n6000\n/run/elsewhere\n*\n"
    assert clusters.listening(here, pid)[-3:] == (6000, "/run/elsewhere", True)
    assert clusters.listening(here, None).runs is False
    assert clusters.listening(here, pid.replace(str(os.getpid()), "99999999")).runs is False


def test_without_debians_tools_the_layout_tells_where_a_cluster_is(tmp_path: Path) -> None:
    layout = clusters.Layout(str(tmp_path), str(tmp_path), "/usr/bin", "postgresql.service")
    assert clusters.find("16", layout) == Cluster("16", *layout, 5432, "/var/run/postgresql", False)
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}\n1795269600\n6000\n/run/elsewhere\n*\n")
    assert clusters.find("16", layout)[-3:] == (6000, "/run/elsewhere", True)


def test_data_that_nobody_has_seen_before_is_taken_and_remembered(here: Cluster) -> None:
    assert clusters.check_identity(here) == "7571"
    assert clusters.remember_identity(here, "7571") is True
    assert clusters.remember_identity(here, "7571") is False
    assert clusters.check_identity(here) == "7571"


def test_data_of_another_cluster_is_refused(here: Cluster) -> None:
    clusters.remember_identity(here, "7571")
    put_identity(Path(here.data), 9999)
    with pytest.raises(BadInput) as refused:
        clusters.check_identity(here)
    for part in ("belongs to another cluster", "system identifier 7571", "system identifier 9999", f"rm {here.mark}"):
        assert part in str(refused.value)
    assert (durable.read_json(here.mark, schema=1) or {})["system_identifier"] == "7571"


def test_data_of_another_version_is_refused(here: Cluster) -> None:
    (Path(here.data) / "PG_VERSION").write_text("15\n")
    with pytest.raises(BadInput, match="belongs to another cluster"):
        clusters.check_identity(here)


def test_reasons_are_the_words_of_the_server_without_times_and_twice_said_things() -> None:
    told = """\
2026-11-30 02:40:00.000 UTC [42] LOG:  invalid value for parameter "work_mem": "banana" in file "/x/c.conf" line 7
2026-11-30 02:40:00.000 UTC [42] LOG:  invalid value for parameter "work_mem": "banana" in file "/x/c.conf" line 7
2026-11-30 02:40:00.000 UTC [42] FATAL:  configuration file "/x/c.conf" contains errors
FATAL:  could not access file "nothing": No such file or directory
"""
    assert trial.reasons(told, "/x/c.conf") == [
        'invalid value for parameter "work_mem": "banana" in file "rollout.conf" line 7',
        'could not access file "nothing": No such file or directory',
    ]

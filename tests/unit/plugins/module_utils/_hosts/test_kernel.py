# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of the kernel: set where the host may, told where it may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._hosts import kernel

WANTED = kernel.read({"vm.overcommit_memory": 1}, {"net.core.somaxconn": 511}, "madvise")


@pytest.fixture
def root(tmp_path: Path) -> str:
    for path, text in (
        ("/proc/sys/vm/overcommit_memory", "0\n"),
        ("/proc/sys/net/core/somaxconn", "4096\n"),
        (kernel.HUGE_PAGES, "[always] madvise never\n"),
    ):
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True)
        file.write_text(text)
    return str(tmp_path)


def test_what_differs_is_set_now_and_after_a_boot(root: str) -> None:
    done = kernel.apply("rollout-redis", WANTED, check=False, root=root)
    assert done.refused == []
    assert Path(f"{root}/proc/sys/vm/overcommit_memory").read_text() == "1"
    assert Path(f"{root}/proc/sys/net/core/somaxconn").read_text() == "4096\n"  # more than enough is left
    assert "vm.overcommit_memory = 1" in Path(f"{root}/etc/sysctl.d/60-rollout-redis.conf").read_text()
    assert "madvise" in Path(f"{root}/etc/tmpfiles.d/rollout-redis.conf").read_text()


def test_a_second_run_and_a_check_change_nothing(root: str) -> None:
    planned = kernel.apply("rollout-redis", WANTED, check=True, root=root)
    assert Path(f"{root}/proc/sys/vm/overcommit_memory").read_text() == "0\n"
    assert kernel.apply("rollout-redis", WANTED, check=False, root=root) == planned
    # The kernel shows the chosen mode in brackets.
    Path(f"{root}{kernel.HUGE_PAGES}").write_text("always [madvise] never\n")
    assert kernel.apply("rollout-redis", WANTED, check=False, root=root) == kernel.Outcome([], [])


def test_what_the_host_may_not_set_is_told(root: str) -> None:
    Path(f"{root}/proc/sys/vm/overcommit_memory").unlink()
    done = kernel.apply("rollout-redis", WANTED, check=False, root=root)
    assert done.refused == ["/proc/sys/vm/overcommit_memory: 1 (No such file or directory)"]


@pytest.mark.parametrize("name", ["../x", "vm", "vm..x", "vm.x/../y"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        kernel.read({name: 1}, {}, None)

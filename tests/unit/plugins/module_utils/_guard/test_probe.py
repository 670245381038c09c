# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances are asked directly, all at once, and one good answer is enough."""

from __future__ import annotations

import socket
import time
import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._guard.probe import Check, answers, anyone

Host = t.Any
CHECK = Check("/ready", 200, "shop")


def silent() -> socket.socket:
    """Takes connections and never answers."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


def test_a_healthy_answer_has_the_wanted_status(host: Host) -> None:
    assert answers(host.blue.address, CHECK)
    assert answers(host.blue.address, Check("/ready", 200, None))
    host.blue.status = 503
    assert not answers(host.blue.address, CHECK)
    assert answers(host.blue.address, Check("/ready", 503, "shop"))


def test_whoever_does_not_answer_is_not_healthy() -> None:
    with silent() as nobody:
        place = "{}:{}".format(*nobody.getsockname())
        assert not answers(place, CHECK, timeout=0.2)
    assert not answers(place, CHECK, timeout=0.2)
    for nonsense in ("", "no such place:80", "127.0.0.1:port"):
        assert not answers(nonsense, CHECK, timeout=0.2)


def test_the_first_good_answer_is_enough_and_nobody_waits_for_a_silent_host(host: Host) -> None:
    with silent() as nobody:
        place = "{}:{}".format(*nobody.getsockname())
        began = time.monotonic()
        assert anyone([place, host.blue.address], CHECK, timeout=5)
        assert time.monotonic() - began < 3
        assert not anyone([place], CHECK, timeout=0.2)


def test_without_instances_nobody_answers() -> None:
    assert not anyone([], CHECK)

# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is primary: what Sentinel and the servers know counts more than the inventory."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.errors import BadInput
from ansible_collections.vitalops.rollout.plugins.module_utils._redis import places, replication, sentinels, wire
from ansible_collections.vitalops.rollout.plugins.module_utils._redis.replication import Decision, Seen, Told, decide

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
SET: dict[str, t.Any] = {
    "address": A,
    "primary_address": A,
    "peer_addresses": [],
    "port": 6379,
    "tls": False,
    "ca_path": "",
    "administrator_password": "a",
    "replication_password": "",
    "sentinel_addresses": [],
    "sentinel_port": 26379,
    "sentinel_password": "s",
    "set_name": "primary",
}
FRESH_A, FRESH_B = Seen(A, "master"), Seen(B, "master")


@pytest.mark.parametrize(
    ("own", "servers", "sentinels", "decision"),
    [
        # Nobody knows anything: the inventory.
        (A, [FRESH_A, FRESH_B], [], Decision(A, "the inventory")),
        (B, [FRESH_A, FRESH_B], [Told(), Told()], Decision(A, "the inventory")),
        (B, [Seen(A), FRESH_B], [], Decision(A, "the inventory")),
        # The servers know.
        (B, [Seen(A, "slave", B), Seen(B, "master", "", 1)], [], Decision(B, "the servers")),
        (A, [Seen(A, "master"), Seen(B, "master", "", 1)], [], Decision(B, "the servers")),
        # A replica of a dead primary stays one.
        (B, [Seen(A), Seen(B, "slave", A)], [], Decision(A, "the servers")),
        # Following somebody outside the set is no vote.
        (B, [FRESH_A, Seen(B, "slave", "192.0.2.9")], [], Decision(A, "the inventory")),
        # Sentinel has elected another one, and the old primary came back as a primary.
        (A, [FRESH_A, FRESH_B], [Told(B, (A,)), Told(B, (A,)), Told()], Decision(B, "Sentinel", True)),
        (B, [FRESH_A, FRESH_B], [Told(B, (A,))], Decision(B, "Sentinel", True)),
        # One Sentinel lags behind the others.
        (A, [FRESH_A], [Told(B, (A,)), Told(B, (A,)), Told(A, (B,))], Decision(B, "Sentinel", True)),
        # One of three Sentinels is believed as long as no server says otherwise, but not with the keys of this one.
        (A, [FRESH_A, FRESH_B], [Told(B, (A,)), Told(), Told()], Decision(B, "Sentinel", False)),
        # A host that Sentinel has never seen.
        (C, [Seen(C, "master")], [Told(A, (B,))], Decision(A, "Sentinel", False)),
    ],
)
def test_the_elected_primary_stays(own: str, servers: list[Seen], sentinels: list[Told], decision: Decision) -> None:
    assert decide(own, A, servers, sentinels) == decision


@pytest.mark.parametrize(
    ("servers", "sentinels", "found"),
    [
        ([], [Told(A), Told(B)], "Sentinels of this set do not agree"),
        ([Seen(A, "master", "", 1), Seen(B, "master", "", 1)], [], "servers of this set do not agree"),
        # A Sentinel that is cut off with the old primary.
        ([Seen(B, "master", "", 1)], [Told(A, (B,)), Told(), Told()], "Few Sentinels of this set answer"),
    ],
)
def test_two_primaries_are_a_case_for_people(servers: list[Seen], sentinels: list[Told], found: str) -> None:
    with pytest.raises(BadInput, match=found):
        decide(A, A, servers, sentinels)


def test_a_person_reads_who_is_primary_and_who_says_so() -> None:
    assert replication.line_of(Decision(A, "the inventory"), A) == f"{A} is primary"
    assert replication.line_of(Decision(B, "Sentinel"), A) == (
        f"{B} is primary, says Sentinel, and stays; the inventory names {A}"
    )


def test_what_info_says_is_read() -> None:
    assert replication.read(B, {"role": "slave", "master_host": A, "connected_slaves": "0"}) == Seen(B, "slave", A)
    assert replication.read(A, {"role": "master", "connected_slaves": "2"}) == Seen(A, "master", "", 2)


@pytest.mark.parametrize(
    ("own", "primary", "problem", "refused"),
    [
        (Seen(""), B, "no route to host", True),
        (Seen("", "master"), B, "WRONGPASS", True),
        (Seen("", "slave", C), B, "WRONGPASS", True),
        (Seen("", "slave", B), B, "no route to host", False),
        (Seen("", "master"), A, "no route to host", False),
        (Seen(""), B, "", False),
    ],
)
def test_a_primary_that_lets_nobody_in_is_found_out_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, own: Seen, primary: str, problem: str, refused: bool
) -> None:
    asked: list[replication.Wanted] = []

    def ask(wanted: replication.Wanted) -> Decision:
        asked.append(wanted)
        return Decision(primary, "the inventory")

    monkeypatch.setattr(replication, "seen", lambda *_address: own)
    monkeypatch.setattr(replication, "ask", ask)
    monkeypatch.setattr(replication, "_let_in", lambda *_primary: problem)
    wanted = places.set_of({**SET, "primary_address": B})._replace(own=wire.Address(path="/run/redis/rollout.sock"))
    if refused:
        with pytest.raises(BadInput, match=rf"nothing was changed[\s\S]*{problem}"):
            replication.foresee(wanted)
    else:
        assert replication.foresee(wanted).changed is False
    # A server that says nothing is not asked for its part.
    assert bool(asked[0].own.path) is bool(own.role)


def test_keys_of_all_databases_count() -> None:
    told = "# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\ndb11:keys=40,expires=1,avg_ttl=0\r\n"
    assert replication.keys_of(wire.read_info(told)) == 42
    assert replication.keys_of({}) == 0


@pytest.mark.parametrize(
    ("info", "hears"),
    [
        ({"master_link_status": "up", "master_sync_in_progress": "0"}, True),
        ({"master_link_status": "down", "master_sync_in_progress": "1"}, True),
        ({"master_link_status": "down", "master_sync_in_progress": "0"}, False),
        ({}, False),
    ],
)
def test_a_replica_hears_its_primary_or_does_not(info: dict[str, str], hears: bool) -> None:
    assert replication.hears(info) is hears


def test_names_are_refused_where_sentinel_tells_addresses() -> None:
    replication.check_addresses([A, "fd00::1"])
    with pytest.raises(BadInput, match=r"data1\.example\.org"):
        replication.check_addresses([A, "data1.example.org"])


def test_sentinel_is_told_only_what_differs() -> None:
    known = {"quorum": "2", "down-after-milliseconds": "30000"}
    wanted = {"quorum": 2, "down-after-milliseconds": 5000}
    assert sentinels.numbers_to_set(known, wanted) == {"down-after-milliseconds": ("30000", 5000)}


@pytest.mark.parametrize(
    ("flags", "sees"),
    [
        ("master", True),
        ("master,disconnected", False),
        ("s_down,o_down,master", False),
        ("master,failover_in_progress", False),
        ("", False),
    ],
)
def test_sentinel_sees_its_primary_or_does_not(flags: str, sees: bool) -> None:
    assert sentinels.sees(flags) is sees


@pytest.mark.parametrize(
    ("state", "login"),
    [
        ("", ("", "")),
        ("sentinel auth-user shop sentinel\nsentinel auth-pass shop secret\n", ("sentinel", "secret")),
        ('sentinel auth-pass shop "a b"\n', ("", "a b")),
        ("sentinel auth-pass other secret\n", ("", "")),
    ],
)
def test_the_login_that_sentinel_keeps_is_read(state: str, login: tuple[str, str]) -> None:
    assert sentinels.login_in(state, "shop") == login


def test_sentinels_own_file_is_not_one_of_ours() -> None:
    place = places.sentinel_of("redis")
    finds = places.set_of(SET)
    wanted = sentinels.Wanted({"port": 26379}, A, "s3cret", "adm1n", (), 26379, False, {}, finds)
    files = sentinels.static(place, wanted)
    assert place.state not in files
    assert "sentinel monitor" not in "".join(files.values())
    assert "user default off" in files[place.users]
    assert "adm1n" not in files[place.users]

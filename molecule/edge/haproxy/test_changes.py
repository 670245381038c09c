# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to users while the edge changes: a switch under open WebSockets, reloads, a load balancer that dies."""

from __future__ import annotations

import contextlib
import time

from .conftest import PAIRS, Edge, Load, LoadBalancer, both, echo


def test_a_switch_leaves_upgraded_connections_where_they_are(edge: Edge) -> None:
    def one(debian: str) -> None:
        balancer = edge.balancers[PAIRS[debian][0]]
        with contextlib.closing(balancer.upgrade()) as old:
            assert echo(old, "one") == "blue:one"
            balancer.point("green")
            try:
                with contextlib.closing(balancer.upgrade()) as new:
                    assert echo(new, "two") == "green:two"
                assert echo(old, "three") == "blue:three"
                # A reload leaves it to the old worker, which ends with it.
                balancer.run("systemctl reload haproxy")
                assert echo(old, "four") == "blue:four"
                assert _workers(balancer) == 2
            finally:
                balancer.point("blue")
        _until(lambda: _workers(balancer) == 1, 10)

    both(one)


def test_a_reload_loses_no_request(edge: Edge) -> None:
    def one(debian: str) -> None:
        balancer = edge.balancers[PAIRS[debian][0]]
        with Load(balancer, balancer.address) as load:
            for _number in range(5):
                time.sleep(0.5)
                balancer.run("systemctl reload haproxy")
            time.sleep(0.5)
        print(debian, len(load.good), "good,", load.failures)
        assert load.failures == []
        assert len(load.good) > 100

    both(one)


def test_the_other_load_balancer_takes_over_when_haproxy_dies(edge: Edge) -> None:
    def one(debian: str) -> None:
        owner = _owner(edge, debian)
        heir = next(edge.balancers[name] for name in PAIRS[debian] if name != owner.name)
        with Load(owner, owner.public) as load:
            time.sleep(1)
            owner.run("systemctl kill --signal=KILL --kill-whom=all haproxy; systemctl stop haproxy")
            _until(lambda: heir.public in heir.run("ip -4 -o address show eth0"), 10)
            _until(lambda: bool(load.good) and load.good[-1] > time.monotonic() - 0.2, 10)
            time.sleep(2)
            settled = time.monotonic()
            time.sleep(1)
            # The first one comes back and takes nothing: each move would cut the connections of the moment.
            owner.run("systemctl start haproxy")
            time.sleep(3)
        moments = sorted(load.good)
        gap = max(after - before for before, after in zip(moments, moments[1:], strict=False))
        total = len(load.failures) + len(moments)
        print(debian, f"{len(load.failures)} of {total} failed, nobody was served for {gap:.1f} s", load.failures[:3])
        # In flight: what the dead one had; then connections that nobody takes, until the address has moved.
        assert gap < 6
        assert not [moment for moment, _words in load.failures if moment > settled]
        assert _owner(edge, debian) is heir

    both(one)


def _owner(edge: Edge, debian: str) -> LoadBalancer:
    """Returns the load balancer that has the address of users; exactly one has it."""
    pair = [edge.balancers[name] for name in PAIRS[debian]]
    owners = [one for one in pair if one.public in one.run("ip -4 -o address show eth0")]
    assert len(owners) == 1, [one.name for one in owners]
    return owners[0]


def _workers(balancer: LoadBalancer) -> int:
    """Returns how many workers HAProxy's master has."""
    return len(balancer.run("pgrep -P $(systemctl show --value -p MainPID haproxy) -x haproxy").splitlines())


def _until(true: object, seconds: float) -> None:
    """Waits until *true* returns true."""
    assert callable(true)
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, f"not true within {seconds:g} s"
        time.sleep(0.2)

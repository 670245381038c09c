# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is typed is what is meant: verbs of faults and load, down to the commands that reach a host."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.vitalops.rollout.plugins.module_utils._foundation.command import Completed
from ansible_collections.vitalops.rollout.tests.lab import cli, hosts
from ansible_collections.vitalops.rollout.tests.lab.state import Lab

LAB = Lab("lab", "pair", 13, 2, "hosts.yml", subnet="10.231.7.0/24")


class Engine:
    """Stands in for docker: remembers the commands, and answers by the program that is run."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.commands: list[str] = []

    def __call__(self, *arguments: str, **_options: t.Any) -> Completed:
        self.commands.append(" ".join(arguments))
        for program, output in self.answers.items():
            if program in arguments:
                return Completed(0, output, "")
        return Completed(0, "", "")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine(ip="2: eth0    inet 10.231.7.11/24 scope global eth0\n")
    monkeypatch.setattr(hosts, "docker", made)
    return made


@pytest.mark.parametrize("urls", [["http://lb1/"], ["http://lb1/", "http://lb2/"]])
def test_load_goes_to_one_address_or_several(urls: list[str]) -> None:
    options = [word for url in urls for word in ("--url", url)]
    assert cli.parser().parse_args(["load", "start", *options]).urls == urls


@pytest.mark.parametrize(("typed", "signal"), [([], "KILL"), (["--signal", "TERM"], "TERM")])
def test_kill_sends_kill_unless_told_otherwise(engine: Engine, typed: list[str], signal: str) -> None:
    chosen = cli.parser().parse_args(["kill", "lb1", "haproxy", *typed])
    assert hosts.kill_process(LAB, chosen.host, chosen.pattern, chosen.signal) == f"unit haproxy.service got {signal}"
    assert engine.commands[-1].endswith(f"systemctl kill --signal={signal} haproxy.service")


def test_an_unknown_signal_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.parser().parse_args(["kill", "lb1", "haproxy", "--signal", "NONE"])
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("peer", "address"), [("controller", "10.231.7.1"), ("app1", "10.231.7.16"), (None, None)], ids=str
)
def test_a_cut_drops_both_directions_of_exactly_one_peer(engine: Engine, peer: str | None, address: str | None) -> None:
    hosts.cut(LAB, "lb1", peer)
    sides = [f"{side} {address} " if address else "" for side in ("-s", "-d")]
    assert [command.split("--append ")[1] for command in engine.commands if "--append" in command] == [
        f"LAB-CUT-PREROUTING {sides[0]}--jump DROP",
        f"LAB-CUT-POSTROUTING {sides[1]}--jump DROP",
    ]


def test_status_names_who_is_cut_off(engine: Engine) -> None:
    rules = ["-s 10.231.7.1/32 ", "-s 10.231.7.12/32 ", ""]
    engine.answers["iptables"] = "".join(f"-A LAB-CUT-PREROUTING {rule}-j DROP\n" for rule in rules)
    assert hosts.cuts(LAB, "lb1") == ["controller", "lb2", "everybody"]


@pytest.mark.parametrize(("typed", "folder"), [([], "/var/lib/rollout"), (["/srv"], "/srv")])
def test_the_state_folder_is_filled_unless_told_otherwise(typed: list[str], folder: str) -> None:
    assert cli.parser().parse_args(["fill", "lb1", *typed]).folder == folder

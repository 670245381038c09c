# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate that cannot be right is refused while HAProxy goes on; a self-made one is renewed in time."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from .conftest import PAIRS, Edge, LoadBalancer

FIRST = tuple(pair[0] for pair in PAIRS.values())
LIMIT = ("--limit", ":".join((*FIRST, "app1")))
SELF_MADE = "/etc/haproxy/certificates/.shop/self_made"


def served(balancer: LoadBalancer) -> str:
    """Returns the fingerprint of the certificate that users get."""
    connection = balancer.connect()
    connection.connect()
    certificate: bytes = connection.sock.getpeercert(binary_form=True)  # type: ignore[union-attr]
    connection.close()
    return hashlib.sha256(certificate).hexdigest()


def made(folder: Path, days: int) -> tuple[str, str]:
    """Returns a certificate for the name of the shop, and its key."""
    command = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days {days} -subj /CN=shop"
    command += " -addext subjectAltName=DNS:shop.example.com -keyout key.pem -out certificate.pem"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return (folder / "certificate.pem").read_text(), (folder / "key.pem").read_text()


def given(folder: Path, certificate: str, key: str, *names: str) -> tuple[str, ...]:
    """Returns the options of a playbook that gives a certificate."""
    variables = {
        "load_balancer_certificate_chain": certificate,
        "load_balancer_certificate_key": key,
        "load_balancer_names": ["shop.example.com", *names],
    }
    file = folder / "variables.json"
    file.write_text(json.dumps(variables))
    return ("-e", f"@{file}")


def test_what_cannot_be_right_is_refused_and_users_notice_nothing(edge: Edge, tmp_path: Path) -> None:
    before = [served(edge.balancers[name]) for name in FIRST]
    (tmp_path / "short").mkdir()
    certificate, _key = made(tmp_path, 100)
    short, short_key = made(tmp_path / "short", 5)
    cases = {
        "does not belong to its certificate": (certificate, short_key),
        "in 4 days": (short, short_key),
    }
    for told, pair in cases.items():
        ended = edge.provision("-vvv", "--diff", *LIMIT, *given(tmp_path, *pair))
        assert ended.returncode == 2
        assert told in " ".join((ended.stdout + ended.stderr).split())
        assert "PRIVATE KEY" not in ended.stdout + ended.stderr
        assert [served(edge.balancers[name]) for name in FIRST] == before


def test_a_given_certificate_takes_the_place_of_the_self_made_one(edge: Edge, tmp_path: Path) -> None:
    certificate, key = made(tmp_path, 100)
    assert edge.provision(*LIMIT, *given(tmp_path, certificate, key)).returncode == 0
    fingerprint = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=certificate,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.rpartition("=")[2]
    wanted = fingerprint.strip().replace(":", "").lower()
    assert [served(edge.balancers[name]) for name in FIRST] == [wanted] * len(FIRST)


def test_a_self_made_certificate_is_renewed_before_it_expires(edge: Edge) -> None:
    before = {name: served(edge.balancers[name]) for name in FIRST}
    for name in FIRST:
        short = "openssl x509 -req -in request.pem -CA authority.pem -CAkey authority_key.pem -days 5"
        edge.balancers[name].run(f"cd {SELF_MADE} && {short} -copy_extensions copyall -out certificate.pem")
    assert edge.provision(*LIMIT).returncode == 0
    after = {name: served(edge.balancers[name]) for name in FIRST}
    assert all(after[name] != before[name] for name in FIRST)
    for name in FIRST:
        edge.balancers[name].run("openssl x509 -noout -checkend 30000000 -in /etc/haproxy/certificates/shop.crt")
        edge.balancers[name].run(f"cd {SELF_MADE} && openssl verify -x509_strict -CAfile authority.pem certificate.pem")
    again = edge.provision(*LIMIT)
    assert again.returncode == 0
    assert all("changed=0" in line for line in again.stdout.splitlines() if "unreachable=" in line)

# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret shows: each one is a marked string, all is set up with them, and then they are looked for everywhere."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import typing as t
from pathlib import Path

import pytest
import yaml

from ... import marked_secrets

# Whoever has it may guess at the password.
PASSWORD_HASH = "$5$edgelab$Qh2UkhAvLwHqDe49pS1Nd9Q.9hYSFPLYgwE3kdX6Wg8"


@pytest.fixture(scope="module")
def marks(lab: t.Any) -> dict[str, str]:
    """Every secret of the inventory, by what it is: marked strings; what the registry knows is one by itself."""
    names = (
        "lab_postgres_password",
        "lab_redis_password",
        "lab_admin_token",
        "gate_header",
        "gate_body",
        "reader",
        "cache",
        "redis",
        "replication",
        "sentinel",
    )
    made = {name: f"marked{secrets.token_hex(12)}" for name in names}
    return {**made, "lab_registry_password": str(lab.hosts["vars"]["lab_registry_password"])}


class Key(t.NamedTuple):
    """A certificate and its key, both PEM; the *mark* is a line of the key."""

    chain: str
    key: str
    mark: str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    """A certificate for the load balancer, one for PostgreSQL, and one for Redis."""
    made = {}
    for name in ("load balancer", "postgres", "redis"):
        folder = tmp_path_factory.mktemp("key")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=shop"
        command += " -addext subjectAltName=DNS:shop.example.com -keyout key.pem -out chain.pem"
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
        key = (folder / "key.pem").read_text()
        made[name] = Key((folder / "chain.pem").read_text(), key, key.splitlines()[1])
    return made


def everything(marks: dict[str, str], keys: dict[str, Key]) -> dict[str, t.Any]:
    """Returns variables that make every role use a secret of each kind that it knows.

    Sentinel's own and that of a managed Redis need more hosts: data_services looks for them.
    """
    gates = [
        {
            "name": "ready",
            "type": "http",
            "path": "/ready",
            "secret_headers": {"Authorization": f"Bearer {marks['gate_header']}"},
            "secret_body": json.dumps({"password": marks["gate_body"]}),
        },
        {"name": "database", "type": "postgres", "query": "SELECT true", "expected": "true"},
        {"name": "cache", "type": "redis", "at_most": {"memory_share": "90 %"}},
    ]
    return {
        **{name: mark for name, mark in marks.items() if name.startswith("lab_")},
        "rollout_gates": {"before_switch": gates},
        "load_balancer_tls": True,
        "load_balancer_names": ["shop.example.com"],
        "load_balancer_certificate_chain": keys["load balancer"].chain,
        "load_balancer_certificate_key": keys["load balancer"].key,
        "load_balancer_protected_paths": [{"path": "/metrics", "users": {"prometheus": PASSWORD_HASH}}],
        "postgres_tls": True,
        "postgres_tls_chain": keys["postgres"].chain,
        "postgres_tls_key": keys["postgres"].key,
        "postgres_users": [
            {"name": "reader", "password": marks["reader"], "databases": ["reference"], "read_only": True}
        ],
        "redis_administrator_password": marks["redis"],
        "redis_users": [{"name": "cache", "password": marks["cache"], "keys": ["cache:*"]}],
        "redis_replication_password": marks["replication"],
        "redis_sentinel_password": marks["sentinel"],
        "redis_tls_port": 6380,
        "redis_certificate_chain": keys["redis"].chain,
        "redis_certificate_key": keys["redis"].key,
    }


class Seen(t.NamedTuple):
    """What runs at the highest verbosity wrote, and the command lines that ran meanwhile, by host."""

    output: str
    arguments: dict[str, list[str]]


@pytest.fixture(scope="module")
def seen(lab: t.Any, marks: dict[str, str], keys: dict[str, Key], tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Everything is provisioned and deployed with the marks, as talkatively as can be."""
    inventory: Path = tmp_path_factory.mktemp("marked") / "marked.yml"
    inventory.write_text(yaml.safe_dump({"all": {"vars": everything(marks, keys)}}))
    names = sorted({*lab.group("application"), *lab.group("load_balancer"), *lab.group("postgres")})
    talkative = ("-vvvvv", "--diff")
    with marked_secrets.sampled(lab, names) as arguments:
        provisioned = lab.play("provision", *talkative, inventories=[inventory])
        deployed = lab.play("deploy", *talkative, "-e", "rollout_version=1.1.0", inventories=[inventory])
        unready = ("-e", "rollout_version=1.2.0", "-e", "rollout_ready_deadline=5")
        again = lab.play("deploy", *talkative, *unready, inventories=[inventory])
    assert (provisioned.code, deployed.code) == (0, 0)
    assert again.code == 2, "1.2.0 is never ready: its refusal tells much, and must not tell secrets"
    return Seen(provisioned.output + deployed.output + again.output, arguments)


@pytest.fixture(scope="module")
def shapes(marks: dict[str, str], keys: dict[str, Key]) -> dict[str, str]:
    """What to look for, by what it is: the marks, and what basic authentication makes of them."""
    encoded = base64.b64encode(f"rollout:{marks['lab_registry_password']}".encode()).decode()
    kept = {f"key of {name}": key.mark for name, key in keys.items()}
    return {**marks, **kept, "basic authentication": encoded, "hash of a password": PASSWORD_HASH}


def test_the_output_of_runs_has_no_secret(seen: Seen, shapes: dict[str, str]) -> None:
    assert "PLAYBOOK: deploy.yml" in seen.output, "the runs were not as talkative as they should be"
    assert marked_secrets.in_text(seen.output, shapes) == []


def test_no_process_has_a_secret_in_its_command_line(seen: Seen, shapes: dict[str, str]) -> None:
    assert marked_secrets.in_command_lines(seen.arguments, shapes) == []


def test_logs_have_no_secret(lab: t.Any, seen: Seen, shapes: dict[str, str]) -> None:
    for name in seen.arguments:
        assert marked_secrets.in_logs(lab, name, shapes) == []


def test_facts_have_no_secret(lab: t.Any, seen: Seen, shapes: dict[str, str]) -> None:
    for name in seen.arguments:
        assert marked_secrets.in_facts(lab, name, shapes) == []


def test_state_and_journals_of_rollouts_have_no_secret(lab: t.Any, seen: Seen, shapes: dict[str, str]) -> None:
    for name in lab.group("load_balancer"):
        state = lab.connect(name).check_output("find /var/lib/rollout -type f -exec cat {} +")
        assert "1.1.0" in state
        assert marked_secrets.in_text(state, shapes) == []


def test_nobody_can_read_a_secret(lab: t.Any, seen: Seen, shapes: dict[str, str]) -> None:
    for name in seen.arguments:
        assert marked_secrets.readable(lab, name, shapes) == []

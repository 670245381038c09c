# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each secret that a role knows is one of those that Molecule marks and looks for everywhere."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest
import yaml

MOLECULE = Path("molecule")
EVERYTHING = "default/secrets/test_secrets.py"
STANDBYS = "data_services/standby/test_standby.py"
REDIS = "data_services/redis/test_redis.py"
MANAGED_REDIS = "data_services/redis/test_redis_managed.py"
POSTGRES = "data_services/postgres/test_postgres.py"
GIVEN_BY_OTHERS = "is one of another role: "
#: Where each secret is marked: a test, and the words in it that mark it. Or the variables of which it is made.
MARKED: dict[str, tuple[str, str]] = {
    "certificate: certificate_key": (GIVEN_BY_OTHERS, "load_balancer_certificate_key, postgres_tls_key"),
    "container_engine: container_engine_registries.password": (EVERYTHING, "lab_registry_password"),
    "load_balancer: load_balancer_certificate_key": (EVERYTHING, '"load_balancer_certificate_key"'),
    "load_balancer: load_balancer_protected_paths.users": (EVERYTHING, '"users": {"prometheus": PASSWORD_HASH}'),
    "postgres: postgres_databases.password": (EVERYTHING, '"lab_postgres_password"'),
    "postgres: postgres_login.password": (GIVEN_BY_OTHERS, "rollout_database"),
    "postgres: postgres_managed.password": (POSTGRES, 'secrets = ("lab_postgres_password"'),
    "postgres: postgres_replication_password": (STANDBYS, '"password of replication"'),
    "postgres: postgres_tls_key": (EVERYTHING, '"postgres_tls_key"'),
    "postgres: postgres_users.password": (EVERYTHING, '"postgres_users"'),
    "redis: redis_administrator_password": (EVERYTHING, '"redis_administrator_password"'),
    "redis: redis_certificate_key": (EVERYTHING, '"redis_certificate_key"'),
    "redis: redis_logins.password": (GIVEN_BY_OTHERS, "rollout_redis"),
    "redis: redis_managed": (MANAGED_REDIS, '"administrator-of-the-service"'),
    "redis: redis_password": (EVERYTHING, '"lab_redis_password"'),
    "redis: redis_replication_password": (EVERYTHING, '"redis_replication_password"'),
    "redis: redis_sentinel_password": (EVERYTHING, '"redis_sentinel_password"'),
    "redis: redis_users.password": (EVERYTHING, '"redis_users"'),
    "rollout: rollout_database": (EVERYTHING, '"lab_postgres_password"'),
    "rollout: rollout_gates": (EVERYTHING, '"secret_headers"'),
    "rollout: rollout_redis": (EVERYTHING, '"lab_redis_password"'),
    "rollout: rollout_secrets": (EVERYTHING, '"lab_admin_token"'),
    "sentinel: sentinel_administrator_password": (REDIS, '"administrator-of-the-lab"'),
    "sentinel: sentinel_certificate_key": (REDIS, '(SCENARIO / "certificates").glob("*.key")'),
    "sentinel: sentinel_password": (REDIS, '"sentinel-of-the-lab"'),
    "sentinel: sentinel_redis_administrator_password": (REDIS, '"administrator-of-the-lab"'),
    "sentinel: sentinel_users.password": (REDIS, '"shop-of-the-lab"'),
    "slot: slot_secrets": (GIVEN_BY_OTHERS, "rollout_secrets"),
}


def secrets(options: t.Mapping[str, t.Any], above: str = "") -> t.Iterator[str]:
    """Returns the names of all options that are secrets, of those inside others behind the name of the other one."""
    for name, option in options.items():
        if option.get("no_log"):
            yield above + name
        yield from secrets(option.get("options", {}), f"{above}{name}.")


def test_each_secret_of_a_role_is_marked_somewhere() -> None:
    found = {
        f"{path.parent.parent.name}: {name}"
        for path in Path("roles").glob("*/meta/argument_specs.yml")
        for entry in yaml.safe_load(path.read_text())["argument_specs"].values()
        for name in secrets(entry["options"])
    }
    assert found == set(MARKED)


@pytest.mark.parametrize(("secret", "place"), MARKED.items(), ids=MARKED.keys())
def test_the_mark_is_where_the_table_says(secret: str, place: tuple[str, str]) -> None:
    test, words = place
    if test == GIVEN_BY_OTHERS:
        others = {one.split(": ")[1] for one, (where, _words) in MARKED.items() if where != GIVEN_BY_OTHERS}
        assert set(words.split(", ")) <= others, f"{secret} is made of {words}"
    else:
        assert words in (MOLECULE / test).read_text()

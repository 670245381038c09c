# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the variables of role postgres come to, and everything that is refused before a host is touched."""

from __future__ import annotations

import typing as t

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.vitalops.rollout.plugins.filter.postgres_plan import postgres_plan

GB = 1024**3
SHOP = {"name": "shop", "owner": "shop", "password": "hunter2"}
VECTOR = {"vector": "postgresql-{version}-pgvector"}
TOLD: dict[str, t.Any] = {
    "source": "distribution",
    "version": "17",
    "distribution_version": "17",
    "port": 5432,
    "listen_addresses": [],
    "allowed_networks": [],
    "access_rules": [],
    "member_rules": [],
    "max_connections": 100,
    "memory": "512MB",
    "shared_buffers": "",
    "settings": {},
    "tls": False,
    "tls_required": False,
    "tls_chain": "",
    "tls_key": "",
    "tls_authority": "",
    "tls_folder": "/etc/postgresql-common/certificates",
    "databases": [SHOP],
    "users": [],
    "privileges": [],
    "extension_packages": VECTOR,
    "unpackaged": {},
}
TLS: dict[str, t.Any] = {"tls": True, "tls_required": True}
NET: dict[str, t.Any] = {"allowed_networks": ["10.0.0.0/8"], "listen_addresses": ["*"]}


def plan(host: int = 16 * GB, cores: int = 4, **changes: t.Any) -> dict[str, t.Any]:
    return postgres_plan({**TOLD, **changes}, host, cores, "17")


def rule(method: str, **changes: t.Any) -> dict[str, t.Any]:
    return {"type": "host", "databases": ["all"], "users": ["all"], "networks": ["all"], "method": method, **changes}


def test_a_small_host_starts_with_what_postgresql_itself_would_take() -> None:
    settings = plan(GB, cores=1)["settings"]
    assert (settings["shared_buffers"], settings["work_mem"], settings["maintenance_work_mem"]) == (
        "128MB",
        "4MB",
        "64MB",
    )
    assert settings["listen_addresses"] == ["127.0.0.1"]
    assert settings["password_encryption"] == "scram-sha-256"
    assert "ssl" not in settings and "shared_preload_libraries" not in settings


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"shared_buffers": "128MB"}, "384MB"),
        ({"shared_buffers": "131072"}, "1GB"),
        ({"shared_buffers": "1GB", "settings": {"effective_cache_size": "300MB"}}, "300MB"),
        ({"memory": "25 %"}, "3GB"),
    ],
)
def test_the_planner_expects_no_smaller_cache_than_shared_buffers(changes: dict[str, t.Any], expected: str) -> None:
    assert plan(**changes)["settings"]["effective_cache_size"] == expected


def test_a_host_that_tells_some_megabytes_less_after_an_update_gets_the_same_settings() -> None:
    before, after = (plan(16 * GB - told * 1024**2, memory="75 %")["settings"] for told in (350, 362))
    assert before == after
    assert before["shared_buffers"] == "2944MB"


def test_the_tuning_of_a_tenant_provisioning_service_can_be_said() -> None:
    tuned = {"work_mem": "256MB", "max_parallel_workers": 4, "max_parallel_workers_per_gather": 4}
    settings = plan(shared_buffers="4GB", settings=tuned)["settings"]
    assert (settings["shared_buffers"], settings["effective_cache_size"]) == ("4GB", "4GB")
    assert {name: settings[name] for name in tuned} == tuned


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"port": 1}}, "postgres_settings must not hold port: it belongs to postgres_port"),
        ({"settings": {"password_encryption": "md5"}}, "it belongs to the role: SCRAM-SHA-256"),
        ({"allowed_networks": ["10.0.0.0/8"]}, "postgres_listen_addresses is empty"),
        ({"allowed_networks": ["everywhere"], "listen_addresses": ["*"]}, "takes networks such as 10.0.0.0/8"),
        ({"databases": [SHOP, SHOP]}, "every name must be there once. Found: shop of shop, shop of shop"),
        ({"databases": [{**SHOP, "name": "Shop"}]}, "Names are made of a-z"),
        ({"databases": [{**SHOP, "owner": "postgres"}]}, "none is postgres"),
        ({"databases": [SHOP, {**SHOP, "name": "b", "password": "x"}]}, "the same password everywhere"),
        ({"users": [{"name": "shop", "password": "x"}]}, "owners stand in postgres_databases alone"),
        (
            {"users": [{"name": "r", "password": "x", "databases": ["lost"]}]},
            "r names databases that postgres_databases",
        ),
        ({"version": "16"}, "is not the distribution's, which is 17"),
        ({"tls_chain": "-----BEGIN"}, "belong together"),
        ({"access_rules": [rule("cert", type="hostssl", users=["device"])], **TLS}, "method cert needs postgres_tls"),
        ({"tls_required": True}, "postgres_tls_required needs postgres_tls"),
        ({"memory": "plenty"}, "is not an amount of memory"),
        ({"memory": "0 %"}, "is no share"),
        ({"settings": {"work_mem": "banana"}}, "banana is not an amount of memory"),
        ({"access_rules": [rule("reject")]}, "rule 1 would lock shop out of shop"),
        ({"access_rules": [rule("reject", type="hostssl")], **TLS}, "rule 1 would lock shop out"),
        ({"access_rules": [rule("reject", type="hostssl")], "tls": True}, "rule 1 would lock shop out"),
        ({"access_rules": [rule("reject", type="hostnossl")]}, "rule 1 would lock shop out"),
        ({"access_rules": [rule("gss")]}, "Found: method gss"),
        ({"access_rules": [rule("ldap", users=["+shop"])]}, "Found: method ldap"),
        ({"access_rules": [rule("cert", type="hostssl", databases=["samerole"])], **TLS}, "Found: method cert"),
        ({"access_rules": [rule("reject", networks=["samehost"])]}, "the role itself logs in from there"),
        ({"access_rules": [rule("ldap", without_password=["shop"])]}, "the role itself logs in from there"),
        (
            {"access_rules": [rule("reject", networks=["10.0.0.0/9"]), rule("ldap", networks=["10.128.0.0/9"])], **NET},
            "rule 2 would lock shop out of shop from 10.0.0.0/8",
        ),
        (
            {"access_rules": [rule("ldap", networks=["10.0.0.0/8"], without_password=["reader"])], **NET},
            "without_password: [shop]",
        ),
        ({"access_rules": [rule("peer", type="local")]}, "type local has no networks"),
        ({"access_rules": [rule("peer", type="local", networks=None, users=["postgres"])]}, "lock the role itself out"),
        ({"access_rules": [rule("reject", users=['x" "y'])]}, "is no name of a database or role"),
    ],
)
def test_refused_with_the_reason(changes: dict[str, t.Any], message: str) -> None:
    refused = plan(**changes)
    assert message in "\n".join(refused["problems"])
    assert list(refused) == ["problems"]
    assert "hunter2" not in str(refused)


@pytest.mark.parametrize(
    ("rules", "changes"),
    [
        ([rule("scram-sha-256"), rule("reject")], {}),
        ([rule("scram-sha-256", networks=["10.1.0.0/16", "127.0.0.1/32", "::1/128"]), rule("reject")], {}),
        ([rule("reject", users=["somebody", "+team"])], {}),
        ([rule("reject", databases=["sameuser"], users=["other"])], {}),
        ([rule("reject", networks=["10.9.0.0/16"])], {}),
        ([rule("reject", networks=["10.0.0.0/9", "fd00::/8"]), rule("gss", networks=["10.128.0.0/10"])], {}),
        ([rule("reject", type="hostnossl")], TLS),
        ([rule("reject", type="hostssl")], {}),
        ([rule("reject", databases=["replication"])], {}),
        ([rule("ldap", networks=["10.0.0.0/8"], without_password=["shop"])], {}),
        ([rule("reject", networks=[".example.com", "no network"])], {}),
    ],
)
def test_a_rule_that_leaves_the_owner_a_way_in_is_taken(
    rules: list[dict[str, t.Any]], changes: dict[str, t.Any]
) -> None:
    assert plan(access_rules=rules, **NET, **changes)["problems"] == []


def test_not_enough_memory_is_told_with_its_sum() -> None:
    (message,) = plan(4 * GB, shared_buffers="3GB", settings={"work_mem": "256MB"})["problems"]
    for part in ("not enough memory", "3072 MB for shared_buffers", "at most 3686 MB", "work_mem of"):
        assert part in message


def test_the_first_line_is_the_superusers_and_the_last_one_is_closed() -> None:
    lines = plan(
        access_rules=[rule("scram-sha-256", type="hostssl", databases=["replication"], users=["copy", "+team"])],
        users=[{"name": "reader", "password": "x", "databases": ["shop"], "read_only": True}],
        listen_addresses=["*"],
        allowed_networks=["10.0.0.0/8"],
        tls=True,
        tls_required=True,
    )["access"]
    assert lines[1:3] == ['local all "postgres" peer', 'local replication "postgres" peer']
    assert lines[3] == 'hostssl replication "copy",+"team" all scram-sha-256'
    assert 'host "shop" "shop" 127.0.0.1/32 scram-sha-256' in lines
    assert 'hostssl "shop" "reader" 10.0.0.0/8 scram-sha-256' in lines
    assert not [line for line in lines if line.startswith("host ") and "10.0.0.0/8" in line]
    assert lines[-2:] == ["local all all reject", "host all all all reject"]


def test_no_rule_of_an_operator_cuts_standbys_off() -> None:
    standbys = rule("scram-sha-256", databases=["replication"], users=["replicator"], networks=["10.0.0.2/32"])
    lines = plan(access_rules=[rule("reject", databases=["replication"])], member_rules=[standbys])["access"]
    assert lines[3:5] == [
        'host replication "replicator" 10.0.0.2/32 scram-sha-256',
        "host replication all all reject",
    ]


def test_a_rule_with_two_networks_is_two_lines() -> None:
    two = plan(access_rules=[rule("ldap", networks=["10.0.0.0/8", "fd00::/8"], options={"ldapserver": "x"})])["access"]
    assert two[3:5] == ['host all all 10.0.0.0/8 ldap ldapserver="x"', 'host all all fd00::/8 ldap ldapserver="x"']


def test_extensions_bring_their_packages_and_what_they_need_at_the_start() -> None:
    found = plan(
        databases=[{**SHOP, "extensions": ["vector", "pg_stat_statements"]}],
        settings={"shared_preload_libraries": "auto_explain"},
    )
    assert found["packages"] == ["postgresql-17-pgvector"]
    assert found["settings"]["shared_preload_libraries"] == ["auto_explain", "pg_stat_statements"]
    assert found["extensions"] == [
        {"database": "shop", "name": "vector"},
        {"database": "shop", "name": "pg_stat_statements"},
    ]


def test_an_extension_that_the_distribution_does_not_have_is_refused_by_name() -> None:
    lacks: dict[str, t.Any] = {"databases": [{**SHOP, "extensions": ["vector"]}], "unpackaged": VECTOR}
    (problem,) = plan(**lacks)["problems"]
    assert "Extension vector of database shop" in problem and "postgres_source: pgdg" in problem
    assert plan(**lacks, source="pgdg")["problems"] == []
    assert plan(**lacks, extension_packages={"vector": "our-pgvector"})["problems"] == []


def test_roles_may_do_what_is_said_and_nothing_else() -> None:
    users = [
        {"name": "copy", "password": "x", "attributes": ["REPLICATION"]},
        {"name": "reader", "password": "y", "databases": ["shop"], "read_only": True},
    ]
    found = plan(users=users, databases=[SHOP, {**SHOP, "name": "second"}])
    assert {one["name"]: one["flags"] for one in found["roles"]} == {
        "shop": "LOGIN,NOSUPERUSER,NOCREATEDB,NOCREATEROLE,NOREPLICATION",
        "copy": "LOGIN,NOSUPERUSER,NOCREATEDB,NOCREATEROLE,REPLICATION",
        "reader": "LOGIN,NOSUPERUSER,NOCREATEDB,NOCREATEROLE,NOREPLICATION",
    }
    assert found["readers"] == [{"database": "shop", "owner": "shop", "user": "reader"}]
    assert found["connections"] == [{"database": "shop", "user": "reader"}]


def test_a_certificate_is_used_where_it_is_wanted() -> None:
    settings = plan(tls=True)["settings"]
    assert settings["ssl_cert_file"] == "/etc/postgresql-common/certificates/server.crt"
    assert settings["ssl_min_protocol_version"] == "TLSv1.2"


def test_clients_with_certificates_get_in_when_somebody_signs_them() -> None:
    devices = rule("cert", type="hostssl", users=["device"])
    found = plan(access_rules=[devices], tls=True, tls_authority="-----BEGIN")
    assert found["settings"]["ssl_ca_file"] == "/etc/postgresql-common/certificates/server.ca"
    assert 'hostssl all "device" all cert' in found["access"]


def test_input_of_another_shape_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="expected the variables of role postgres, found list"):
        postgres_plan(t.cast(t.Any, []), GB, 1, "17")


def privilege(**changes: t.Any) -> dict[str, t.Any]:
    return {"database": "shop", "roles": ["reporter"], "objects": "orders", "privileges": "SELECT", **changes}


def test_default_privileges_are_for_what_the_owner_of_the_database_makes() -> None:
    told = [privilege(), privilege(type="default_privs", objects="SEQUENCES"), privilege(database="postgres")]
    found = plan(privileges=told)["privileges"]
    assert [(one["type"], one.get("maker")) for one in found] == [
        ("table", None),
        ("default_privs", "shop"),
        ("table", None),
    ]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (privilege(database="other"), "other is no database of postgres_databases. Found there: shop"),
        (privilege(roles=["public"]), "Name the roles"),
        (privilege(objects=""), "objects are missing, which type table needs"),
        (privilege(type="group"), "type group takes no privileges"),
        (privilege(privileges=None), "all others need some. Found: type table"),
    ],
)
def test_a_privilege_that_cannot_be_given_is_refused_by_its_number(bad: dict[str, t.Any], message: str) -> None:
    (problem,) = plan(privileges=[privilege(), bad])["problems"]
    assert problem.startswith("postgres_privileges, number 2: ")
    assert message in problem

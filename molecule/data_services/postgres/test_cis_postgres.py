# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Items of the CIS PostgreSQL 17 Benchmark v1.1.0, also on PostgreSQL 15; what is not here is in docs/security.md.

A test has the number and the title of its item. Each server is asked once.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

LOOK = (Path(__file__).parent / "on_host" / "look.py").read_text()
#: Items that are settings alone, and what they must be.
SETTINGS: dict[str, dict[str, str]] = {
    "3.1.2 Ensure the log destinations are set correctly": {"log_destination": "stderr"},
    "3.1.14 Ensure the correct messages are written to the server log": {"log_min_messages": "warning"},
    "3.1.15 Ensure the correct SQL statements generating errors are recorded": {"log_min_error_statement": "error"},
    "3.1.16 Ensure 'debug_print_parse' is disabled": {"debug_print_parse": "off"},
    "3.1.17 Ensure 'debug_print_rewritten' is disabled": {"debug_print_rewritten": "off"},
    "3.1.18 Ensure 'debug_print_plan' is disabled": {"debug_print_plan": "off"},
    "3.1.19 Ensure 'debug_pretty_print' is enabled": {"debug_pretty_print": "on"},
    "3.1.20 Ensure 'log_connections' is enabled": {"log_connections": "on"},
    "3.1.21 Ensure 'log_disconnections' is enabled": {"log_disconnections": "on"},
    "3.1.23 Ensure 'log_hostname' is set correctly": {"log_hostname": "off"},
    "3.1.25 Ensure 'log_statement' is set correctly": {"log_statement": "ddl"},
    "6.2 Ensure 'backend' runtime parameters are configured correctly": {
        "ignore_system_indexes": "off",
        "jit_debugging_support": "off",
        "jit_profiling_support": "off",
        "post_auth_delay": "0",
    },
    "6.8 Ensure TLS is enabled and configured correctly": {"ssl": "on"},
    "6.9 Ensure the TLSv1.0 and TLSv1.1 Protocols are Disabled": {"ssl_min_protocol_version": "TLSv1.2"},
    "7.2 Ensure logging of replication commands is configured": {"log_replication_commands": "on"},
}


class Server(t.NamedTuple):
    """What a server and its host tell of themselves."""

    settings: dict[str, str]
    automatic: list[str]
    roles: list[dict[str, t.Any]]
    rules: list[dict[str, t.Any]]
    definers: list[str]
    writers: list[str]
    modes: dict[str, list[str]]
    umask: str
    unit: str
    shadow: str
    passwords: list[str]
    files: list[str]
    audit: list[str]

    def roles_with(self, *attributes: str) -> list[str]:
        """Returns the roles that have one of the attributes."""
        return [role["rolname"] for role in self.roles if any(role[name] for name in attributes)]


@pytest.fixture(scope="module", params=("data1", "data4"))
def server(lab: t.Any, request: pytest.FixtureRequest) -> Server:
    return Server(**json.loads(lab.connect(request.param).check_output("python3 -c %s", LOOK)))


@pytest.mark.parametrize("wanted", SETTINGS.values(), ids=SETTINGS.keys())
def test_setting(server: Server, wanted: dict[str, str]) -> None:
    assert {name: server.settings[name] for name in wanted} == wanted


def test_1_3_ensure_systemd_service_files_are_enabled(server: Server) -> None:
    assert server.unit == "enabled"


def test_1_4_ensure_data_cluster_initialized_successfully(server: Server) -> None:
    assert server.modes[server.settings["data_directory"]] == ["0o700", "postgres"]
    assert server.settings["data_checksums"] == "on"


def test_1_6_and_1_7_verify_that_pgpassword_is_not_in_profiles_or_in_use(server: Server) -> None:
    assert server.passwords == []


def test_2_1_ensure_the_file_permissions_mask_is_correct(server: Server) -> None:
    assert server.umask == "0077"


def test_2_2_ensure_extension_directory_has_appropriate_ownership_and_permissions(server: Server) -> None:
    version = server.settings["server_version"].split(".")[0]
    assert server.modes[f"/usr/share/postgresql/{version}/extension"] == ["0o755", "root"]


def test_2_3_and_2_4_no_command_history_and_no_passwords_in_the_service_file(server: Server) -> None:
    assert server.files == []


def test_3_1_6_ensure_the_log_file_permissions_are_set_correctly(server: Server) -> None:
    logs = {path: mode for path, (mode, _owner) in server.modes.items() if path.startswith("/var/log/postgresql/")}
    assert logs
    assert [path for path, mode in logs.items() if int(mode, 8) & 0o037] == []


def test_3_1_24_ensure_log_line_prefix_is_set_correctly(server: Server) -> None:
    for part in ("%m", "%p", "%d", "%u", "%a", "%h"):
        assert part in server.settings["log_line_prefix"]


def test_3_2_ensure_the_postgresql_audit_extension_pgaudit_is_enabled(server: Server) -> None:
    assert "pgaudit" in server.settings["shared_preload_libraries"]
    assert any("CREATE ROLE" in line for line in server.audit)


def test_4_1_ensure_interactive_login_is_disabled(server: Server) -> None:
    assert server.shadow[0] in "!*"


def test_4_3_ensure_excessive_administrative_privileges_are_revoked(server: Server) -> None:
    assert server.roles_with("rolsuper", "rolcreaterole", "rolcreatedb", "rolbypassrls") == ["postgres"]


def test_4_5_ensure_excessive_function_privileges_are_revoked(server: Server) -> None:
    assert server.definers == [], "functions with the rights of their owner, beside those of extensions"


def test_4_6_ensure_excessive_dml_privileges_are_revoked(server: Server) -> None:
    assert server.writers == [], "who may write beside the owner"


def test_4_10_ensure_all_accounts_that_can_log_in_have_passwords(server: Server) -> None:
    without = [role["rolname"] for role in server.roles if role["rolcanlogin"] and not role["scram"]]
    assert without == ["postgres"], "it comes over the socket, by peer"


def test_5_2_ensure_postgresql_is_bound_to_an_ip_address(server: Server) -> None:
    addresses = server.settings["listen_addresses"].split(", ")
    assert len(addresses) == 2
    assert not {"*", "0.0.0.0", "::"} & {*addresses}


def test_5_3_ensure_login_via_local_unix_domain_socket_is_configured_correctly(server: Server) -> None:
    local = [(rule["users"], rule["method"]) for rule in server.rules if rule["type"] == "local"]
    assert local == [(["postgres"], "peer"), (["postgres"], "peer"), (["all"], "reject")]


def test_5_4_ensure_login_via_host_tcp_ip_socket_is_configured_correctly(server: Server) -> None:
    *hosts, last = (rule for rule in server.rules if rule["type"] != "local")
    assert (last["users"], last["method"]) == (["all"], "reject")
    assert {rule["method"] for rule in hosts} == {"scram-sha-256"}
    outside = {rule["type"] for rule in hosts if rule["address"] not in ("127.0.0.1", "::1")}
    assert outside == {"hostssl"}
    assert not [rule for rule in hosts if "all" in rule["users"] or "postgres" in rule["users"]]


def test_6_3_to_6_6_runtime_parameters_come_from_the_files_of_the_role_alone(server: Server) -> None:
    assert server.automatic == []


def test_6_8_ensure_tls_is_enabled_and_its_key_is_closed(server: Server) -> None:
    assert server.modes[server.settings["ssl_key_file"]] == ["0o640", "root"]


def test_6_10_ensure_weak_ssl_tls_ciphers_are_disabled(server: Server) -> None:
    ciphers = server.settings["ssl_ciphers"].split(":")
    assert [one for one in ciphers if not (one.startswith("ECDHE-") and ("GCM" in one or "POLY1305" in one))] == []


def test_7_1_ensure_a_replication_only_user_is_created_and_used_for_streaming_replication(server: Server) -> None:
    replicating = [role for role in server.roles if role["rolreplication"] and role["rolname"] != "postgres"]
    assert replicating
    assert not any(role["owns"] for role in replicating)


def test_8_1_ensure_postgresql_subdirectory_locations_are_outside_the_data_cluster(server: Server) -> None:
    for name in ("config_file", "hba_file", "ident_file", "ssl_cert_file", "ssl_key_file"):
        assert not server.settings[name].startswith(server.settings["data_directory"])

# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run on a host with PostgreSQL: what the server and its files tell of themselves, as JSON."""

import glob
import json
import os
import pwd
import subprocess

QUERY = """
SELECT json_build_object(
  'settings', (SELECT json_object_agg(name, setting) FROM pg_settings),
  'automatic', (SELECT coalesce(json_agg(name), '[]') FROM pg_settings WHERE sourcefile LIKE '%.auto.conf'),
  'roles', (SELECT json_agg(json_build_object(
     'rolname', rolname, 'rolsuper', rolsuper, 'rolcreaterole', rolcreaterole, 'rolcreatedb', rolcreatedb,
     'rolbypassrls', rolbypassrls, 'rolreplication', rolreplication, 'rolcanlogin', rolcanlogin,
     'scram', coalesce(rolpassword LIKE 'SCRAM-SHA-256$%', false),
     'owns', EXISTS (SELECT FROM pg_database WHERE datdba = a.oid)) ORDER BY rolname)
     FROM pg_authid AS a WHERE rolname !~ '^pg_'),
  'rules', (SELECT json_agg(json_build_object(
     'type', type, 'users', user_name, 'address', address, 'method', auth_method) ORDER BY line_number)
     FROM pg_hba_file_rules),
  'definers', (SELECT coalesce(json_agg(p.oid::regprocedure::text), '[]') FROM pg_proc AS p WHERE p.prosecdef
     AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
     AND p.pronamespace <> 'pg_catalog'::regnamespace),
  'writers', (SELECT coalesce(json_agg(DISTINCT c.relname || ': ' || acl.grantee::regrole), '[]')
     FROM pg_class AS c, aclexplode(c.relacl) AS acl
     WHERE acl.grantee NOT IN (0, c.relowner) AND acl.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')))
"""
AUDITED = "CREATE ROLE audited_by_a_test; DROP ROLE audited_by_a_test"
PROFILES = ("/etc/environment", "/etc/profile", "/etc/profile.d/*", "/root/.*", "/home/*/.*", "/var/lib/postgresql/.*")
UNWANTED = (".psql_history", ".pg_service.conf")


def psql(statement):
    asked = ["runuser", "-u", "postgres", "--", "psql", "-XAtqd", "clinic", "-c", statement]
    return subprocess.run(asked, check=True, capture_output=True, text=True, cwd="/").stdout


def mode(path):
    found = os.stat(path)
    return [oct(found.st_mode & 0o7777), pwd.getpwuid(found.st_uid).pw_name]


def holding(word, paths):
    """Returns the files that hold *word*; processes may end meanwhile."""
    found = []
    for path in paths:
        try:
            with open(path, "rb") as handle:
                found += [path] if word in handle.read() else []
        except OSError:
            continue
    return found


def main():
    psql(AUDITED)
    told = json.loads(psql(QUERY))
    data, version = told["settings"]["data_directory"], told["settings"]["server_version"].split(".")[0]
    logs = glob.glob("/var/log/postgresql/*.log")
    with open(os.path.join(data, "postmaster.pid"), encoding="utf-8") as handle:
        status = f"/proc/{handle.readline().strip()}/status"
    with open(status, encoding="utf-8") as handle:
        told["umask"] = next(line.split()[1] for line in handle if line.startswith("Umask:"))
    key = os.path.realpath(told["settings"]["ssl_key_file"])
    extensions = f"/usr/share/postgresql/{version}/extension"
    told["modes"] = {path: mode(path) for path in (data, extensions, *logs)}
    told["modes"][told["settings"]["ssl_key_file"]] = mode(key)
    asked = ["systemctl", "is-enabled", "postgresql.service"]
    told["unit"] = subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()
    with open("/etc/shadow", encoding="utf-8") as handle:
        told["shadow"] = next(line.split(":")[1] for line in handle if line.startswith("postgres:"))
    profiles = [path for pattern in PROFILES for path in glob.glob(pattern) if os.path.isfile(path)]
    told["passwords"] = holding(b"PGPASSWORD", [*profiles, *glob.glob("/proc/[0-9]*/environ")])
    homes = ("/root", "/var/lib/postgresql", *glob.glob("/home/*"))
    told["files"] = [path for home in homes for path in glob.glob(f"{home}/.p*") if os.path.basename(path) in UNWANTED]
    told["audit"] = []
    for path in logs:
        with open(path, encoding="utf-8", errors="replace") as handle:
            told["audit"] += [line for line in handle if "AUDIT: SESSION" in line and "audited_by_a_test" in line]
    print(json.dumps(told))


main()

# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is connected now, and could not come back with new access rules. PRIVATE to the collection.

PostgreSQL itself reads the new lines (pg_hba_file_rules) while it still goes by the old ones.
"""

from __future__ import annotations

import re
import typing as t

from .._foundation.errors import BadInput

#: A rule about names of hosts or networks of the server cannot be judged here: it is believed when it lets in.
LOCKED_OUT = """
WITH sessions AS (
  SELECT DISTINCT usename, client_addr, coalesce(ssl, false) AS encrypted,
    CASE WHEN backend_type = 'walsender' AND datname IS NULL THEN 'replication' ELSE datname END AS database
  FROM pg_stat_activity LEFT JOIN pg_stat_ssl USING (pid)
  WHERE client_addr IS NOT NULL AND usename IS NOT NULL
), rules AS (
  SELECT *, CASE WHEN netmask IS NOT NULL THEN address::inet END AS network FROM pg_hba_file_rules WHERE error IS NULL
), decided AS (
  SELECT s.*, r.line_number, r.auth_method FROM sessions AS s LEFT JOIN LATERAL (
    SELECT line_number, auth_method FROM rules
    WHERE (type = 'host' OR (type = 'hostssl' AND encrypted) OR (type = 'hostnossl' AND NOT encrypted))
    AND (s.database = ANY (database) OR (s.database <> 'replication' AND ('all' = ANY (database)
      OR ('sameuser' = ANY (database) AND s.database = usename) OR ('samerole' = ANY (database)
        AND EXISTS (SELECT FROM pg_roles WHERE rolname = s.database AND pg_has_role(usename, oid, 'MEMBER'))))))
    AND EXISTS (SELECT FROM unnest(user_name) AS one WHERE one IN ('all', usename) OR (one LIKE '+%'
      AND EXISTS (SELECT FROM pg_roles WHERE rolname = substr(one, 2) AND pg_has_role(usename, oid, 'MEMBER'))))
    AND CASE WHEN address = 'all' THEN true WHEN network IS NULL THEN auth_method <> 'reject'
      WHEN family(network) <> family(client_addr) THEN false
      ELSE (client_addr & netmask::inet) = (network & netmask::inet) END
    ORDER BY line_number LIMIT 1) AS r ON true
)
SELECT coalesce(json_agg(json_build_array(usename, host(client_addr), database, line_number)
  ORDER BY usename, client_addr), '[]')
FROM decided WHERE auth_method IS NULL OR auth_method = 'reject'"""

_ALONE = re.compile(r"[0-9.]+/32|[0-9a-fA-F:.]+/128")


def refuse(told: t.Iterable[t.Sequence[t.Any]], may_lose: t.Sequence[str], lines: t.Sequence[str]) -> None:
    """Raises BadInput for sessions that LOCKED_OUT *told* (user, address, database, number of a line in *lines*).

    Users and addresses in *may_lose* are meant to be locked out.
    """
    lost = [one for one in told if not {one[0], one[1]} & {*may_lose}]
    if lost:
        raise BadInput(
            "The new access rules would lock out who is connected now.",
            expected="a rule that lets them in again, or their names or addresses in postgres_may_lose",
            found="\n    ".join(_shown(one, lines) for one in lost),
        )


def taken_out(old: t.Sequence[str], new: t.Sequence[str]) -> list[str]:
    """Returns the addresses that lines of *old* name alone, and *new* names no more, while it goes on with others.

    That is a host that somebody took out of the inventory, perhaps because it has died: its sessions outlive it.
    """
    before, after = _alone(old), _alone(new)
    return sorted(before - after) if before & after else []


def _alone(lines: t.Sequence[str]) -> set[str]:
    """Not the host itself, which the rules of every login name."""
    words = {word.partition("/")[0] for line in lines for word in line.split() if _ALONE.fullmatch(word)}
    return words - {"127.0.0.1", "::1"}


def _shown(one: t.Sequence[t.Any], lines: t.Sequence[str]) -> str:
    user, address, database, number = one
    rule = lines[number - 1] if number else "no rule"
    return f"{user} from {address} in {database}: {rule}"

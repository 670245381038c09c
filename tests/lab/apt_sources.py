# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian mirrors that this machine uses, read from its apt configuration, and written for another Debian."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

CODENAMES = {12: "bookworm", 13: "trixie"}
# A suite of the Debian archive; what other vendors call theirs does not match.
_SUITE = re.compile(
    r"^(?:bullseye|bookworm|trixie|forky|duke|sid|oldstable|stable|testing|unstable)(?P<kind>-updates|-security)?$"
)
_KEPT_OPTIONS = ("check-valid-until", "trusted")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Mirror(t.NamedTuple):
    """Where one kind of suite comes from: kind is "", "-updates" or "-security"; options are [key=value …]."""

    kind: str
    uri: str
    components: str
    options: str


def read_machine(folder: Path = Path("/etc/apt")) -> list[Mirror]:
    """Returns the Debian mirrors in the apt configuration under *folder*, at most one per kind. May be empty."""
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    mirrors: list[Mirror] = []
    for file in files:
        if file.suffix in (".list", ".sources") and file.is_file():
            text = file.read_text(encoding="utf-8", errors="replace")
            mirrors += parse_stanzas(text) if file.suffix == ".sources" else parse_lines(text)
    first: dict[str, Mirror] = {}
    for mirror in mirrors:
        first.setdefault(mirror.kind, mirror)
    return [first[kind] for kind in ("", "-updates", "-security") if kind in first] if "" in first else []


def parse_lines(text: str) -> list[Mirror]:
    """Reads the one-line format: deb [option=value] URI suite component…"""
    mirrors = []
    for line in text.splitlines():
        found = re.match(
            r"^\s*deb\s+(?:\[(?P<options>[^\]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)\s+(?P<rest>[^#]+)", line
        )
        if found:
            pairs = [pair.split("=", 1) for pair in (found["options"] or "").split() if "=" in pair]
            mirrors += _mirrors([found["uri"]], [found["suite"]], found["rest"].split(), dict(pairs))
    return mirrors


def parse_stanzas(text: str) -> list[Mirror]:
    """Reads the deb822 format: stanzas of fields, with continuation lines and comments inside."""
    mirrors = []
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
        fields: dict[str, str] = {}
        name = ""
        for line in stanza.splitlines():
            if line[:1] in (" ", "\t"):
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, _colon, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes").lower() not in ("no", "false"):
            mirrors += _mirrors(
                fields.get("uris", "").split(),
                fields.get("suites", "").split(),
                fields.get("components", "").split(),
                fields,
            )
    return mirrors


def _mirrors(uris: list[str], suites: list[str], components: list[str], options: dict[str, str]) -> list[Mirror]:
    if "main" not in components:
        return []
    kept = " ".join(f"{key}={options[key].lower()}" for key in _KEPT_OPTIONS if key in options)
    mirrors = []
    for uri in uris:
        for suite in suites:
            found = _SUITE.match(suite)
            if found and uri.startswith(("http://", "https://")):
                mirrors.append(Mirror(found["kind"] or "", uri.rstrip("/"), "main", kept))
    return mirrors


def sources_list(mirrors: t.Sequence[Mirror], debian: int) -> str:
    """Returns the lines of a sources.list for Debian *debian* (12 or 13)."""
    lines = []
    for mirror in mirrors:
        options = " ".join(part for part in (f"signed-by={KEYRING}", mirror.options) if part)
        lines.append(f"deb [{options}] {mirror.uri} {CODENAMES[debian]}{mirror.kind} {mirror.components}\n")
    return "".join(lines)

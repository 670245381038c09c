# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cannot be right in the settings of a load balancer, before anything of it is touched. Pure. PRIVATE."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from . import _load_balancer_nginx as nginx

# A path that HAProxy's and nginx's configuration can hold without quotes, and that compares with a decoded one.
_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_NAME = re.compile(r"[A-Za-z0-9_.@-]+")
_HEADER = re.compile(r"[A-Za-z0-9-]+")
# What crypt(5) of Debian 12 and 13 makes: SHA-256, SHA-512, yescrypt.
_HASH = re.compile(r"\$(5|6|y)\$[./A-Za-z0-9$=,]+")
# The page is held in one buffer of HAProxy, with its headers.
_MOST_PAGE = 12 * 1024

Settings = t.Mapping[str, t.Any]


def problems(settings: Settings) -> list[str]:
    """Returns one sentence for each problem; *settings* has the variables by their names without ``load_balancer_``."""
    looks = (_listen, _headers, _limits, _protected, _maintenance, _networks, _addresses)
    more = (nginx.problems,) if settings["driver"] == "nginx" else ()
    return [problem for look in (*looks, *more) for problem in look(settings)]


def _listen(settings: Settings) -> t.Iterator[str]:
    if not settings["tls"]:
        if settings["certificate_chain"] or settings["names"]:
            yield "load_balancer_tls is false, but there is a certificate or a name: users would get plain text."
        return
    if settings["tls_port"] == settings["bind_port"]:
        yield f"load_balancer_tls_port and load_balancer_bind_port are both {settings['tls_port']}: expected two ports."
    if not settings["certificate_chain"] and not settings["names"]:
        yield "load_balancer_tls needs load_balancer_names, or a certificate in load_balancer_certificate_chain."


def _headers(settings: Settings) -> t.Iterator[str]:
    # What begins a variable there.
    signs = "$" if settings["driver"] == "nginx" else "%$"
    for name, value in settings["headers"].items():
        if not _HEADER.fullmatch(str(name)) or re.search(rf"[\r\n\0{signs}]", str(value)):
            without = " and ".join(signs)
            yield f"load_balancer_headers: {name}: expected letters and dashes, and one line without {without}."
    if not _HEADER.fullmatch(str(settings["release_header"])):
        yield f"load_balancer_release_header: expected letters and dashes, found {settings['release_header']!r}."


def _limits(settings: Settings) -> t.Iterator[str]:
    for number, limit in enumerate(settings["rate_limits"], start=1):
        where = f"load_balancer_rate_limits, entry {number}"
        unknown = sorted(set(limit) - {"path", "requests", "seconds"})
        if unknown or not _PATH.fullmatch(str(limit.get("path", ""))):
            yield f"{where}: expected path (such as /login), requests and seconds, found {dict(limit)}."
        for name in ("requests", "seconds"):
            if not _whole(limit.get(name)):
                yield f"{where}: expected {name} as a whole number above 0, found {limit.get(name)!r}."
    paths = [str(limit.get("path", "")).lower() for limit in settings["rate_limits"]]
    for number, path in enumerate(paths):
        before = next((one for one in paths[:number] if path.startswith(one)), None)
        if before is not None:
            yield f"load_balancer_rate_limits: {path} never counts behind {before}: put the longer path first."


def _protected(settings: Settings) -> t.Iterator[str]:
    for protected in settings["protected_paths"]:
        path = str(protected.get("path", ""))
        where = f"load_balancer_protected_paths, {path or 'an entry without path'}"
        if not _PATH.fullmatch(path) or path == "/":
            yield f"{where}: expected a path such as /metrics."
        if set(protected) - {"path", "networks", "users"}:
            yield f"{where}: expected path, networks and users, found {', '.join(sorted(protected))}."
        if not protected.get("networks") and not protected.get("users"):
            yield f"{where}: expected networks or users: as it is, everybody may ask it."
        yield from _wrong_networks(where, protected.get("networks") or [])
        for name, hashed in (protected.get("users") or {}).items():
            if not _NAME.fullmatch(str(name)):
                yield f"{where}: {name!r} is no name of a user."
            if not _HASH.fullmatch(str(hashed)):
                yield f"{where}: the password of {name} is not hashed; mkpasswd -m sha-512 does it."


def _maintenance(settings: Settings) -> t.Iterator[str]:
    size = len(str(settings["maintenance_page"]).encode())
    if not 0 < size <= _MOST_PAGE:
        yield f"load_balancer_maintenance_page: expected 1 to {_MOST_PAGE} bytes, found {size}."
    if not _PATH.fullmatch(str(settings["probe_path"])):
        yield f"load_balancer_probe_path: expected a path such as /ready, found {settings['probe_path']!r}."


def _networks(settings: Settings) -> t.Iterator[str]:
    for name in ("exporter_networks", "pointer_networks", "preview_networks"):
        yield from _wrong_networks(f"load_balancer_{name}", settings[name])


def _addresses(settings: Settings) -> t.Iterator[str]:
    addresses = settings["virtual_addresses"]
    if not addresses:
        return
    families = set()
    for address in addresses:
        try:
            families.add(ipaddress.ip_interface(str(address)).version)
        except ValueError:
            yield f"load_balancer_virtual_addresses: expected an address like 192.0.2.10/24, found {address!r}."
    if len(families) > 1:
        yield "load_balancer_virtual_addresses: expected IPv4 or IPv6, found both; VRRP carries one of them."
    if not settings["vrrp_interface"]:
        yield "load_balancer_virtual_addresses needs load_balancer_vrrp_interface, such as eth0."
    own, peers = str(settings["vrrp_address"]), [str(peer) for peer in settings["vrrp_peers"]]
    for name, found in (("vrrp_address", [own]), ("vrrp_peers", peers)):
        if not found or not all(_is_address(one) for one in found):
            yield f"load_balancer_{name}: expected IP addresses, found {', '.join(found) or 'none'}."
    if own in peers:
        yield f"load_balancer_vrrp_peers has the address of this host, {own}: expected those of the others."
    for name in ("vrrp_router_id", "vrrp_priority"):
        if not 0 < int(settings[name]) < 255:
            yield f"load_balancer_{name}: expected 1 to 254, found {settings[name]}."


def _wrong_networks(where: str, networks: t.Sequence[str]) -> t.Iterator[str]:
    for network in networks:
        try:
            ipaddress.ip_network(str(network))
        except ValueError as error:
            yield f"{where}: expected networks like 10.0.0.0/8, found {network!r} ({error})."


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _whole(value: t.Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0

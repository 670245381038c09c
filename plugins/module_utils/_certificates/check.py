# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must be true of a certificate, its chain and its key before a service may get them. Pure. PRIVATE."""

from __future__ import annotations

import datetime
import ipaddress
import typing as t

from .._foundation.errors import BadInput
from . import pem


class Wanted(t.NamedTuple):
    """*names*: DNS names and IP addresses to be covered; *least_days*: how long the certificates must be good for."""

    names: t.Sequence[str]
    least_days: int


class Material(t.NamedTuple):
    """PEM texts: *chain* leaf first, its *key*, and the *authority* (empty when it is not known)."""

    chain: str
    key: str
    authority: str


def check(material: Material, wanted: Wanted, now: datetime.datetime, where: str) -> list[pem.Certificate]:
    """Returns the certificates of the chain when all is as it must be. Raises BadInput that tells what is not."""
    chain = pem.certificates(material.chain, f"the chain of {where}")
    leaf = chain[0]
    if pem.key_of(material.key, where) != leaf.public_key:
        others = [one.subject for one in chain[1:] if one.public_key == pem.key_of(material.key, where)]
        raise BadInput(
            f"The key of {where} does not belong to its certificate.",
            expected=f"the private key of {leaf.subject} (the first one of the chain)",
            found=f"the key of {others[0]}: the chain must begin with it" if others else "another key",
            next_step="compare: openssl pkey -in KEY -pubout; openssl x509 -in CHAIN -noout -pubkey",
        )
    for one in chain:
        _check_time(one, wanted.least_days, now, where)
    _check_order(chain, where)
    if material.authority.strip():
        _check_authority(chain[-1], pem.certificates(material.authority, f"the authority of {where}"), where)
    uncovered = [name for name in wanted.names if not covered(name, leaf.names)]
    if uncovered:
        raise BadInput(
            f"The certificate of {where} is not about {', '.join(uncovered)}.",
            expected=f"alternative names that cover {', '.join(wanted.names)}",
            found=", ".join(leaf.names) or "no alternative name",
            next_step="order a certificate with these names, or correct certificate_alternative_names",
        )
    return chain


def covered(name: str, by: t.Sequence[str]) -> bool:
    """Returns whether *name*, a DNS name or an IP address, is one of *by*, or has a wildcard for its first label."""
    try:
        return str(ipaddress.ip_address(name)) in by
    except ValueError:
        lower = name.lower().rstrip(".")
    _first, _dot, rest = lower.partition(".")
    return lower in by or bool(rest and f"*.{rest}" in by and "." in rest)


def _check_time(one: pem.Certificate, least_days: int, now: datetime.datetime, where: str) -> None:
    if now < one.not_before:
        problem = f"is not valid before {_day(one.not_before)}"
    elif now >= one.not_after:
        problem = f"has expired on {_day(one.not_after)}"
    elif now + datetime.timedelta(days=least_days) >= one.not_after:
        problem = f"expires on {_day(one.not_after)}, in {(one.not_after - now).days} days"
    else:
        return
    raise BadInput(
        f"A certificate of {where} {problem}.",
        expected=f"one that is valid now, {_day(now)}, and for {least_days} days more",
        found=one.subject,
        next_step="get a new certificate, or lower certificate_least_days for an emergency",
    )


def _check_order(chain: t.Sequence[pem.Certificate], where: str) -> None:
    for number, (child, parent) in enumerate(zip(chain, chain[1:]), start=1):
        if not pem.issued_by(child, parent):
            raise BadInput(
                f"The chain of {where} is not in order: certificate {number} was not issued by the one after it.",
                expected=f"the certificate of {child.issuer} behind {child.subject}",
                found=parent.subject,
                next_step="put the certificate of the service first, then each issuer behind what it issued",
            )


def _check_authority(last: pem.Certificate, authorities: t.Sequence[pem.Certificate], where: str) -> None:
    if not any(one.fingerprint == last.fingerprint or pem.issued_by(last, one) for one in authorities):
        raise BadInput(
            f"The authority of {where} has not issued its chain.",
            expected=f"the certificate of {last.issuer}",
            found=", ".join(one.subject for one in authorities),
            next_step="correct certificate_authority, or add the missing issuer to certificate_chain",
        )


def _day(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")

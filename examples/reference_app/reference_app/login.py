# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Login of providers: a password check, and a session in Redis that lives an hour."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import typing as t

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field

from .context import Context, answer

SESSION_SECONDS = 3600
FIND = """
SELECT p.password_hash, json_build_object('email', p.email, 'name', p.name, 'role', r.name, 'tenant', t.name)
FROM providers p JOIN roles r ON r.id = p.role_id JOIN tenants t ON t.id = p.tenant_id
WHERE p.email = %s
"""
# An unknown provider costs the same time as a wrong password.
NOBODY = "scrypt$1024$00$00"


class Credentials(BaseModel):
    """Body of a login."""

    email: str = Field(max_length=200)
    password: str = Field(max_length=200)


def password_hash(password: str, salt: bytes, cost: int = 1024) -> str:
    """Returns scrypt$cost$salt$hash (hex). The cost is low on purpose: this is a demonstration under load."""
    digest = hashlib.scrypt(password.encode(), salt=salt, n=cost, r=8, p=1, dklen=32)
    return f"scrypt${cost}${salt.hex()}${digest.hex()}"


def password_fits(password: str, stored: str) -> bool:
    """Tells whether the password has the stored hash."""
    _name, cost, salt, _digest = stored.split("$")
    return hmac.compare_digest(password_hash(password, bytes.fromhex(salt), int(cost)), stored)


def routes(context: Context) -> APIRouter:
    """Returns the routes of one web process."""
    router = APIRouter(prefix="/api/v1")
    stores = context.stores

    @router.post("/login")
    async def _login(credentials: Credentials) -> Response:
        async with stores.pool.connection() as connection:
            row = await (await connection.execute(FIND, (credentials.email,))).fetchone()
        stored = row[0] if row else NOBODY
        if not await asyncio.to_thread(password_fits, credentials.password, stored):
            return answer({"success": False, "error": "unknown email or wrong password"}, 401)
        token = secrets.token_urlsafe(24)
        await stores.redis.set(_session(token), json.dumps(row[1]), ex=SESSION_SECONDS)
        return answer({"success": True, "token": token, "expires_in": SESSION_SECONDS, "user": row[1]})

    @router.get("/auth/status")
    async def _status(authorization: t.Annotated[str, Header()] = "") -> Response:
        user = await stores.redis.get(_session(authorization.removeprefix("Bearer "))) if authorization else None
        return answer({"authenticated": user is not None, "user": json.loads(user) if user else None})

    return router


def _session(token: str) -> str:
    return "reference:session:" + hashlib.sha256(token.encode()).hexdigest()

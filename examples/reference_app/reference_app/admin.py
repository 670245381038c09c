# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults switched while the process runs. These routes exist only when ADMIN_TOKEN is set."""

from __future__ import annotations

import hmac
import logging
import typing as t

from fastapi import APIRouter, Body, Header, Response

from .context import Context, answer

log = logging.getLogger("admin")


def routes(context: Context) -> APIRouter:
    """Returns the routes of one web process."""
    router = APIRouter(prefix="/admin")
    faults = context.settings.faults
    token = context.settings.admin_token.encode()

    @router.post("/faults")
    async def _switch(
        values: t.Annotated[dict[str, t.Any], Body()], x_admin_token: t.Annotated[str, Header()] = ""
    ) -> Response:
        if not hmac.compare_digest(x_admin_token.encode(), token):
            return answer({"error": "X-Admin-Token is missing or wrong"}, 403)
        try:
            faults.update(values)
        except ValueError as error:
            return answer({"error": str(error)}, 400)
        log.warning("faults are now %s", faults.as_dict())
        return answer(faults.as_dict())

    return router

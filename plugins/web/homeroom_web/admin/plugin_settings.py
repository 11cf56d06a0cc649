"""A plugin's settings: the form, a trial before anything is saved, and saving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quart import Blueprint, Response, request

from homeroom_web.admin.common import page
from homeroom_web.admin.controls import Control, controls_of, with_errors
from homeroom_web.admin.filled import filled_in
from homeroom_web.asking import beside_form, part
from homeroom_web.forms import field
from homeroom_web.pages import Pages, go
from homeroom_web.visitors import Failed, Visitor

FRAGMENT = "X-Fragment"
"""The header by which a page's own script asks for a part of a page."""


def add_routes(blueprint: Blueprint, pages: Pages) -> None:
    """`/admin/plugins/NAME/settings`."""

    @blueprint.get("/admin/plugins/<name>/settings")
    @pages.for_visitors
    async def plugin_settings(visitor: Visitor, name: str) -> Response:
        told = await visitor.get(_path(name))
        errors = {one["field"]: one["message"] for one in told["problems"]}
        return _page(visitor, told, controls_of(told), errors=errors, saved="saved" in request.args)

    @blueprint.post("/admin/plugins/<name>/settings")
    @pages.for_visitors
    async def change_plugin_settings(visitor: Visitor, name: str) -> Response:
        told = await visitor.get(_path(name))
        filled = filled_in(controls_of(told), await request.form)
        is_trial = await field("action") == "test"
        trial: dict[str, Any] | None = None
        refusal: Failed | None = None
        errors = filled.errors
        version = await field("version")
        if not errors:
            try:
                if not is_trial:
                    tag = {"If-Match": f'"{version}"'}
                    await visitor.send("PUT", _path(name), filled.sent, headers=tag)
                    return go(f"/admin/plugins/{part(name)}/settings?saved=1")
                trial = await visitor.send("POST", f"{_path(name)}/test", filled.sent)
            except Failed as exc:
                refusal, errors = beside_form(exc), exc.errors
        if is_trial and request.headers.get(FRAGMENT):
            return _fragment(trial, refusal, errors)
        told["version"] = version
        return _page(visitor, told, filled.controls, errors=errors, refusal=refusal, trial=trial)

    def _page(
        visitor: Visitor,
        told: dict[str, Any],
        controls: Sequence[Control],
        *,
        errors: dict[str, str],
        refusal: Failed | None = None,
        trial: dict[str, Any] | None = None,
        saved: bool = False,
    ) -> Response:
        marked, others = with_errors(controls, errors)
        return page(
            pages,
            "admin/settings.html",
            visitor,
            status=refusal.status if refusal else 422 if errors and request.method == "POST" else 200,
            told=told,
            controls=marked,
            others=others,
            refusal=refusal,
            trial=trial,
            saved=saved,
        )

    def _fragment(trial: dict[str, Any] | None, refusal: Failed | None, errors: dict[str, str]) -> Response:
        """What came of a trial, for the page's script."""
        return pages.render("admin/trial.html", trial=trial, refusal=refusal, errors=errors)


def _path(name: str) -> str:
    return f"/plugins/{part(name)}/settings"

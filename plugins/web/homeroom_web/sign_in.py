"""Signing in and out, and the page that somebody comes to first."""

from __future__ import annotations

import contextlib

import orjson
from quart import Blueprint, Response, request

from homeroom_web.forms import field, field_as_typed
from homeroom_web.menu import TOP, shown
from homeroom_web.pages import Pages, go, kept_form
from homeroom_web.scans import Scans
from homeroom_web.visitors import COOKIE, NotSignedIn, Visitor, call


def add_routes(blueprint: Blueprint, pages: Pages, scans: Scans) -> None:
    """`/`, `/sign-in` and `/sign-out`."""

    @blueprint.get("/")
    @pages.for_visitors
    async def home(visitor: Visitor) -> Response:
        links = shown(TOP, visitor)
        return go(links[0].path) if links else pages.render("home.html", visitor=visitor)

    @blueprint.get("/sign-in")
    async def ask() -> Response:
        onward = request.args.get("next", "/")
        response = pages.sign_in(onward=onward)
        if (receipt := await scans.exchange(onward)) is not None:
            scans.keep(response, receipt)
        return response

    @blueprint.post("/sign-in")
    async def enter() -> Response:
        email, onward, kept = await field("email"), await field("next") or "/", await kept_form()
        given = {"email": email, "password": await field_as_typed("password")}
        if code := await field("code"):
            given["code"] = code
        answer = await call(pages.services, "POST", "/api/v1/auth/login", json=given)
        told = orjson.loads(answer.body)
        if answer.status != 200:  # noqa: PLR2004
            wrong = told.get("detail", "")
            return pages.sign_in(status=answer.status, onward=onward, email=email, wrong=wrong, kept=kept)
        cookie, user_id = await pages.visitors.welcome(told)
        mine = kept is not None and kept.is_of(pages.person(user_id))
        response = pages.render("kept.html", kept=kept if mine else None) if kept else go(onward)
        pages.let_in(response, cookie, user_id)
        return response

    @blueprint.post("/sign-out")
    async def leave() -> Response:
        visitor = await pages.visitors.find(request.cookies.get(COOKIE))
        if visitor is not None:
            with contextlib.suppress(NotSignedIn):  # the session had ended behind the routes already
                await pages.visitors.see_off(visitor)
        response = go("/sign-in")
        response.delete_cookie(COOKIE)
        return response

"""A SIS without any quirk of its own, for a connector that has them all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson
from quart import Response, request

from homeroom import NOUNS, Noun
from homeroom.testing import SampleDistrict, Simulator


class PlainSimulator(Simulator):
    name = "plain"
    title = "Plain SIS"
    evidence = "Stands for no vendor."
    token_paths = ("/token",)
    small_pages = {"page_size": 40}

    def __init__(self, district: SampleDistrict, *, misbehave: Collection[str] = ()) -> None:
        super().__init__(district, misbehave=misbehave)
        lists: tuple[list[Any], ...] = (
            *(district.orgs, district.academic_sessions, district.courses),
            *(district.classes, district.users, district.enrollments),
        )
        self.rows = {noun: orjson.loads(orjson.dumps(rows)) for noun, rows in zip(NOUNS, lists, strict=True)}
        self.marks: list[dict[str, Any]] = []
        self.app.add_url_rule("/token", view_func=self.token, methods=["POST"])
        self.app.add_url_rule("/rows/<noun>", view_func=self.list_rows)
        self.app.add_url_rule("/marks/<student>/<day>", view_func=self.mark, methods=["GET", "PUT", "POST"])

    def settings(self, url: str) -> dict[str, Any]:
        return {"base_url": url, "client_secret": self.client_secret}

    def attendance(self) -> list[dict[str, Any]]:
        return [dict(mark) for mark in self.marks]

    async def token(self) -> Any:
        known = request.authorization
        if known is None or known.password != self.client_secret:
            return {"error": "invalid_client"}, 401
        return {"access_token": self.issue_token(), "expires_in": 3600}

    async def list_rows(self, noun: Noun) -> Any:
        if not self.token_is_good():
            return {"error": "invalid_token"}, 401
        rows = self.rows[noun]
        page = self.page(rows, int(request.args["offset"]), int(request.args["limit"]))
        total = 0 if "empty" in self.misbehave else len(rows)
        dressed = [self.dress(row, optional=("identifier", "email")) for row in page]
        return Response(orjson.dumps({"rows": dressed, "total": total}), content_type="application/json")

    async def mark(self, student: str, day: str) -> Any:
        if not self.token_is_good():
            return {"error": "invalid_token"}, 401
        if not any(user["sourced_id"] == student for user in self.rows["user"]):
            return {"error": "nobody has this id"}, 404
        held = [mark for mark in self.marks if (mark["student"], mark["school_day"]) == (student, day)]
        if request.method == "GET":
            return {"code": held[-1]["code"] if held else None}
        if request.method == "PUT" and held:
            held[-1]["code"] = (await request.get_json())["code"]
        else:
            self.marks.append({"student": student, "school_day": day, "code": (await request.get_json())["code"]})
        return {}, 200

"""What every route has in common: errors, limits, headers, and a description that names them all."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from homeroom.api.operation import OPERATION, Operation
from homeroom.store import Connection, Unavailable
from tests.services.served import HERE, Served, served


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=["accounts", "rotating_code"]) as running:
        yield running


async def test_errors_are_problems(api: Served) -> None:
    answer = await api.get("~/classes/none", "admin")
    body = await answer.get_json()
    assert answer.content_type == "application/problem+json"
    assert (body["status"], body["title"]) == (404, "Not Found")
    assert body["type"].endswith("/not-found")


async def test_who_is_not_signed_in_is_told_how(api: Served) -> None:
    answer = await api.get("~/classes")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe{}", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"title": "x"}', "text/plain", 415),
        (b"{}", "application/json", 422),
        (b'{"title": 7, "school_id": "north"}', "application/json", 422),
        (b'{"title": "x", "school_id": "north", "colour": "red"}', "application/json", 422),
        (b"[]", "application/json", 422),
        (b"", "application/json", 400),
    ],
)
async def test_a_bad_body_is_answered_clearly(api: Served, data: bytes, content_type: str, status: int) -> None:
    headers = {"Content-Type": content_type}
    answer = await api.call("POST", "~/classes", by="admin", data=data, headers=headers)
    assert answer.status_code == status
    assert (await answer.get_json())["status"] == status


async def test_a_huge_body_is_refused(api: Served) -> None:
    body = {"title": "x" * 2_000_000}
    assert (await api.post("~/classes", "admin", body)).status_code == 413


async def test_what_was_sent_is_not_echoed(api: Served) -> None:
    answer = await api.post("~/classes", "admin", {"title": 7, "nickname": "secret-canary"})
    assert "secret-canary" not in await answer.get_data(as_text=True)


async def test_a_trailing_slash_is_optional_and_never_redirects(api: Served) -> None:
    for path in ("/health", "/health/", "/api/v1/classes", "/api/v1/classes/", "/api/v1/classes/algebra/"):
        assert (await api.get(path, "admin")).status_code == 200, path
    assert (await api.get("/api/v1//classes", "admin")).status_code == 404


async def test_another_method_names_those_that_work(api: Served) -> None:
    answer = await api.call("PATCH", "~/classes", by="admin", json={})
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]


async def test_every_answer_carries_the_safety_headers_and_an_id(api: Served) -> None:
    answer = await api.get("/nothing", headers={"X-Request-Id": "phone-12345678"})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Request-Id"] == "phone-12345678"
    forged = await api.get("/nothing", headers={"X-Request-Id": "a b\tc"})
    assert forged.headers["X-Request-Id"] != "a b\tc"


async def test_too_many_requests_of_one_person_wait(sqlite_url: str) -> None:
    async with served(sqlite_url, server={"requests_per_minute": 3}) as api:
        codes = [(await api.get("~/classes", "ann")).status_code for _ in range(4)]
        assert codes == [200, 200, 200, 429]
        last = await api.get("~/classes", "ann")
        assert int(last.headers["Retry-After"]) > 0
        assert (await api.get("~/classes", "bob")).status_code == 200


async def test_a_database_that_is_away_is_503_and_says_when_to_come_back(api: Served) -> None:
    async def away(_query: Any) -> Any:
        raise Unavailable("the database cannot be reached")

    token = {"Authorization": f"Bearer {api.token('admin')}"}
    assert (await api.get("~/classes", "admin")).status_code == 200
    api.district.store.read = away  # type: ignore[method-assign,assignment]
    answer = await api.get("~/classes", headers=token)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "2"


async def test_what_nobody_foresaw_is_500_without_a_trace(api: Served, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_connection: Connection) -> Any:
        raise RuntimeError("canary-in-a-message")

    real = api.district.store.read
    await api.get("~/classes", "admin")
    api.district.store.read = lambda _query: real(broken)  # type: ignore[method-assign,assignment]
    answer = await api.get("~/classes", "admin")
    text = await answer.get_data(as_text=True)
    assert answer.status_code == 500
    assert "canary" not in text
    assert "canary" not in capsys.readouterr().err


async def test_figures_and_details_are_for_the_machine_and_for_admins(api: Served) -> None:
    for path in ("/metrics", "/health/detailed"):
        assert (await api.get(path)).status_code == 401, path
        assert (await api.get(path, "teacher_a")).status_code == 403, path
        assert (await api.get(path, "admin")).status_code == 200, path
        assert (await api.get(path, peer=HERE)).status_code == 200, path
        forwarded = await api.get(path, peer=HERE, headers={"X-Forwarded-For": "198.51.100.7"})
        assert forwarded.status_code == 401, path


async def test_behind_a_trusted_proxy_nobody_is_local(sqlite_url: str) -> None:
    async with served(sqlite_url, server={"trusted_proxies": ["127.0.0.0/8"]}) as api:
        assert (await api.get("/metrics", peer=HERE)).status_code == 401


async def test_details_tell_of_every_part(api: Served) -> None:
    details = await (await api.get("/health/detailed", "admin")).get_json()
    assert details["status"] == "ok"
    assert {plugin["name"]: plugin["state"] for plugin in details["plugins"]}["accounts"] == "loaded"
    assert details["database"]["detail"].startswith("SQLite")
    assert details["process"]["memory_bytes"] > 0


async def test_metrics_name_routes_and_no_people(api: Served) -> None:
    await api.get("~/students/ann", "teacher_a")
    text = await (await api.get("/metrics", "admin")).get_data(as_text=True)
    assert 'route="/api/v1/students/<student_id>"' in text
    assert "homeroom_request_seconds_count" in text
    assert '"ann"' not in text


async def test_the_description_names_every_route(api: Served) -> None:
    described = (await (await api.get("/openapi.json")).get_json())["paths"]
    apps = [api.app, *(api.district.mounts.apps() if api.district.mounts else ())]
    pages = {"/openapi.json", "/docs", "/docs/start.js", "/redoc", "/docs/files/{name}"}
    for app in apps:
        for rule in app.url_map.iter_rules():
            if rule.websocket:
                continue
            path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
            if path in pages:
                continue
            methods = {method.lower() for method in rule.methods or ()} - {"head", "options"}
            assert methods <= set(described.get(path, {})), f"{methods} {path} is not described"


async def test_every_operation_is_described_in_full(api: Served) -> None:
    description = await (await api.get("/openapi.json")).get_json()
    seen: set[str] = set()
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["operationId"] not in seen, where
            seen.add(operation["operationId"])
            assert {"429", "503"} <= set(operation["responses"]), where
            assert any(code.startswith("2") or code == "302" for code in operation["responses"]), where
            if "requestBody" in operation:
                assert {"400", "413", "415", "422"} <= set(operation["responses"]), where


async def test_every_body_and_every_answer_has_an_example_that_is_valid(api: Served) -> None:
    described = (await (await api.get("/openapi.json")).get_json())["paths"]
    for app in (api.app, *(api.district.mounts.apps() if api.district.mounts else ())):
        for rule in app.url_map.iter_rules():
            declared: Operation | None = getattr(app.view_functions[rule.endpoint], OPERATION, None)
            if declared is None:
                continue
            path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                operation = described[path][method.lower()]
                if declared.body is not None:
                    example = operation["requestBody"]["content"]["application/json"]["example"]
                    declared.body.model_validate_json(json.dumps(example))
                for code, model in declared.answers.items():
                    if isinstance(model, type):
                        example = operation["responses"][str(code)]["content"]["application/json"]["example"]
                        model.model_validate_json(json.dumps(example))
                for code, answer in operation["responses"].items():
                    if code.startswith("4"):
                        assert answer["content"]["application/problem+json"]["example"]["status"] == int(code)


async def test_the_docs_pages_load_nothing_from_elsewhere(api: Served) -> None:
    for path in ("/docs", "/redoc"):
        page = await (await api.get(path)).get_data(as_text=True)
        assert "//" not in page.replace("<!doctype", "").replace("//openapi", ""), path
        for name in [part.split('"')[0] for part in page.split('src="')[1:]]:
            assert (await api.get(name)).status_code == 200, name
    assert "'unsafe-inline'" in (await api.get("/redoc")).headers["Content-Security-Policy"]
    assert "'unsafe-inline'" not in (await api.get("/docs")).headers["Content-Security-Policy"]
    assert (await api.get("/docs/files/../../../app.py")).status_code == 404


async def test_no_two_models_share_a_name_in_the_description(api: Served) -> None:
    models: dict[str, set[type]] = {}
    for app in (api.app, *(api.district.mounts.apps() if api.district.mounts else ())):
        for view in app.view_functions.values():
            declared: Operation | None = getattr(view, OPERATION, None)
            if declared is None:
                continue
            for model in (declared.body, declared.query, *declared.answers.values()):
                if isinstance(model, type):
                    models.setdefault(model.__name__, set()).add(model)
    assert len(models) > 20
    assert {name: found for name, found in models.items() if len(found) > 1} == {}

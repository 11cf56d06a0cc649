"""Bodies, numbers and tokens that were made to break a server: each is refused, in words, and costs little."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeroom.auth.tokens import AccessTokens
from tests.services.front import CHEAP
from tests.services.served import Served, served

KINDS = ("", "hrk_", "hrr_", "hrt_", "hrs_", "eyJhbGciOiJub25lIn0.", "Bearer ")
VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=200)


@pytest.fixture
async def api(sqlite_url: str) -> AsyncIterator[Served]:
    async with served(sqlite_url, enabled=("accounts", "rotating_code", "geofence"), sections=SECTIONS) as running:
        yield running


SECTIONS: Mapping[str, Mapping[str, Any]] = {"accounts": CHEAP, "geofence": {"areas": {}}}
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip"])
async def test_a_compressed_body_is_never_unpacked(api: Served, encoding: str) -> None:
    """A bomb of a few kilobytes would be gigabytes in memory; what is no JSON as it comes is refused as it comes."""
    bomb = gzip.compress(b'{"title": "' + b"x" * 20_000_000 + b'"}')
    assert len(bomb) < 30_000
    answer = await api.call("POST", "~/classes", by="admin", data=bomb, headers={**JSON, "Content-Encoding": encoding})
    assert answer.status_code == 400


def deep(depth: int, opening: str, closing: str) -> str:
    return opening * depth + "1" + closing * depth


@pytest.mark.parametrize("depth", [150, 5_000, 100_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
async def test_depth_breaks_nothing_also_where_anything_may_stand(
    api: Served, depth: int, opening: str, closing: str
) -> None:
    """A proof and a plugin's settings may hold any JSON."""
    for method, path, body in (
        ("POST", "~/attendance/checkin", '{"session_id": "session_algebra", "proof": {"code": {}}}'),
        ("POST", "~/attendance/checkin", '{"session_id": "session_algebra", "proof": {"more": {}}}'),
        ("PUT", "~/plugins/geofence/settings", '{"values": {"areas": {}}, "revision": ""}'),
    ):
        text = body.replace("{}", deep(depth, opening, closing), 1)
        answer = await api.call(method, path, by="ann" if "checkin" in path else "admin", data=text, headers=JSON)
        assert answer.status_code < 500, (path, answer.status_code)
        assert answer.status_code >= 400 or depth == 150, path  # what is small and not deep may stand there


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "NaN", "Infinity", "9" * 5_000, "1." + "0" * 5_000 + "1", "-0", "1e-999", str(2**63)]
)
async def test_huge_numbers_are_refused_or_taken_and_break_nothing(api: Served, number: str) -> None:
    position = f'{{"lat": {number}, "lon": {number}, "accuracy_m": {number}}}'
    text = f'{{"session_id": "session_algebra", "proof": {{"location": {position}, "code": {number}}}}}'
    answer = await api.call("POST", "~/attendance/checkin", by="ann", data=text, headers=JSON)
    assert answer.status_code < 500
    for extra in (f'{{"more": {number}}}', f'{{"code": "1", "more": [{number}]}}'):
        odd = f'{{"session_id": "session_algebra", "proof": {extra}}}'
        answer = await api.call("POST", "~/attendance/checkin", by="ann", data=odd, headers=JSON)
        assert answer.status_code < 500, extra
    values = f'{{"values": {{"areas": {{"north": {{"lat": {number}}}}}}}, "revision": ""}}'
    answer = await api.call("PUT", "~/plugins/geofence/settings", by="admin", data=values, headers=JSON)
    assert answer.status_code < 500
    titled = f'{{"title": "T", "school_id": "north", "late_after_minutes": {number}}}'
    answer = await api.call("POST", "~/classes", by="admin", data=titled, headers=JSON)
    assert answer.status_code in (201, 400, 422)
    if number.strip("-") in ("1e999", "NaN", "Infinity", "9" * 5_000, str(2**63)):
        assert answer.status_code in (400, 422)
    for path in ("~/classes?limit={}", "~/students/search?q=a&limit={}", "~/attendance?limit={}"):
        asked = await api.get(path.format(number), "admin")
        assert asked.status_code in (200, 422), path


@pytest.mark.parametrize("name", ["q", "cursor"])
async def test_long_and_odd_searches_are_answered(api: Served, name: str) -> None:
    for text in ("%" * 900, "_%" * 400, "a" * 1_000, "a" * 20_000, "' OR 1=1 --", "\\", "%00", "\ud7ff", "'" * 500):
        query = {"q": "a", name: text}
        answer = await api.client.get(
            "/api/v1/students/search", query_string=query, headers={"Authorization": f"Bearer {api.token('admin')}"}
        )
        assert answer.status_code in (200, 422), text[:20]
        if answer.status_code == 200:
            assert json.loads(await answer.get_data())["items"] == [], text[:20]


@settings(max_examples=40)
@given(kind=st.sampled_from(KINDS), text=VISIBLE)
async def test_no_made_up_token_is_anybody(api: Served, kind: str, text: str) -> None:
    answer = await api.get("~/auth/me", headers={"Authorization": f"Bearer {kind}{text}"})
    assert answer.status_code == 401


@settings(max_examples=40)
@given(data=st.data())
async def test_no_token_that_was_changed_anywhere_is_anybody(api: Served, data: st.DataObject) -> None:
    token = api.token("admin")
    at = data.draw(st.integers(0, len(token) - 2))  # the last sign of base64 holds bits that mean nothing
    sign = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda one: one != token[at]))
    answer = await api.get("~/auth/me", headers={"Authorization": f"Bearer {token[:at]}{sign}{token[at + 1 :]}"})
    assert answer.status_code == 401
    assert isinstance(api.district.authenticator.access, AccessTokens)
    assert (await api.get("~/auth/me", headers={"Authorization": f"Bearer {token}"})).status_code == 200


@settings(max_examples=40)
@given(
    proof=st.dictionaries(
        st.text(max_size=10),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5),
        max_size=4,
    )
)
async def test_no_proof_is_too_odd_to_be_judged(api: Served, proof: dict[str, object]) -> None:
    body = {"session_id": "session_algebra", "proof": {**proof, "code": proof.get("code", "000000")}}
    answer = await api.post("~/attendance/checkin", "ann", body)
    assert answer.status_code < 500

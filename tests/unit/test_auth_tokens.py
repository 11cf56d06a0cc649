from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey
from pydantic import SecretStr

from homeroom.auth.tokens import ISSUER, AccessTokens, RefreshTokens, fingerprint, secret_token
from homeroom.settings import AuthSettings
from homeroom.store import Refused

OLD, NEW = "an old key that is long enough to sign with", "the new key that is long enough to sign with"
NOW = 1_800_000_000.0


def tokens(key: str = NEW, *, previous: tuple[str, ...] = (), **more: Any) -> AccessTokens:
    return AccessTokens(
        AuthSettings(secret_key=SecretStr(key), previous_keys=[SecretStr(old) for old in previous], **more)
    )


def issued(by: AccessTokens) -> str:
    return by.issue(user_id="u", session_id="s", now=NOW)


def part(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def header_of(token: str) -> dict[str, Any]:
    head = token.split(".", maxsplit=1)[0]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    return found


def refused(by: AccessTokens, token: str, now: float = NOW) -> None:
    for _ in range(2):  # what was refused once is not remembered as good
        with pytest.raises(Refused) as caught:
            by.verify(token, now)
        assert (caught.value.status, caught.value.problem) == (401, "not-signed-in")


def test_a_token_says_who_and_until_when() -> None:
    made = tokens()
    claims = made.verify(issued(made), NOW)
    assert (claims.user_id, claims.session_id, claims.issued, claims.expires) == ("u", "s", NOW, NOW + 1800)


def test_two_tokens_of_one_second_differ() -> None:
    made = tokens()
    assert issued(made) != issued(made)


def test_a_remembered_token_expires_all_the_same() -> None:
    made = tokens()
    token = issued(made)
    made.verify(token, NOW)
    made.verify(token, NOW + 1799)
    refused(made, token, NOW + 1800)


def test_a_token_from_the_future_is_refused_beyond_a_minute_of_skew() -> None:
    made = tokens()
    token = issued(made)
    made.verify(token, NOW - 59)
    refused(made, token, NOW - 61)


def test_an_older_key_still_verifies_until_it_is_taken_away_and_the_newest_signs() -> None:
    before = issued(tokens(OLD))
    between = tokens(NEW, previous=(OLD,))
    assert between.verify(before, NOW).user_id == "u"
    assert header_of(issued(between))["kid"] != header_of(before)["kid"]
    refused(tokens(NEW), before)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_only_the_one_algorithm_of_the_settings_is_accepted(algorithm: str) -> None:
    refused(tokens(), issued(tokens(algorithm=algorithm)))
    refused(tokens(algorithm=algorithm), issued(tokens()))


def test_an_unsigned_or_changed_token_is_refused() -> None:
    made = tokens()
    head, body, seal = issued(made).split(".")
    kid = header_of(issued(made))["kid"]
    other = part({"iss": ISSUER, "sub": "admin", "sid": "s", "iat": int(NOW), "exp": int(NOW) + 99})
    for forged in (
        f"{part({'alg': 'none', 'kid': kid})}.{body}.",
        f"{part({'alg': 'none', 'kid': kid})}.{body}.{seal}",
        f"{head}.{other}.{seal}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{part({'alg': 'HS256'})}.{body}.{seal}",
        f"{part({'alg': 'HS256', 'kid': 'another'})}.{body}.{seal}",
        f"{part({'alg': 'HS256', 'kid': [kid]})}.{body}.{seal}",
        "",
        "x",
        "a.b.c",
        "é.é.é",
        "x" * 5000,
    ):
        refused(made, forged)


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "another"},
        {"iss": None},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sid": None},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": True},
        {"iat": None},
        {"iat": 1.5},
    ],
)
def test_a_genuine_signature_under_wrong_claims_is_refused(change: dict[str, Any]) -> None:
    made = tokens()
    header = header_of(issued(made))
    claims = {"iss": ISSUER, "sub": "u", "sid": "s", "iat": int(NOW), "exp": int(NOW) + 99, **change}
    claims = {name: value for name, value in claims.items() if value is not None}
    refused(made, jwt.encode(header, claims, OctKey.import_key(NEW)))


def test_no_more_tokens_are_remembered_than_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeroom.auth.tokens._REMEMBERED", 3)
    made = tokens()
    for _ in range(6):
        made.verify(issued(made), NOW)
    assert len(made._verified) == 3


def test_a_refresh_token_is_known_as_ours_with_its_session_and_no_other_is() -> None:
    ours, theirs = RefreshTokens(b"k" * 32), RefreshTokens(b"t" * 32)
    token = ours.make("session-1")
    assert ours.session_of(token) == "session-1"
    assert ours.is_ours(token)
    assert not theirs.is_ours(token)
    assert ours.make("session-1") != token
    body, _, seal = token.rpartition(".")
    for forged in (
        token.replace("session-1", "session-2"),
        f"{body}.{'0' * len(seal)}",
        f"{body}.é",
        body,
        token.removeprefix("hrr_"),
        "",
        "hrr_",
    ):
        assert not ours.is_ours(forged)


def test_secrets_are_long_and_kept_as_a_hash() -> None:
    token = secret_token("hrk_")
    assert len(token) >= 47
    assert token not in fingerprint(token)
    assert len(fingerprint(token)) == 64

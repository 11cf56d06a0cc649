"""E-mail through a district's own mail server: what is said, and what is known of it when the server misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import ssl
import tomllib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from homeroom import AddressNews, Health, Message, Receipt
from homeroom.hookspecs import POLICIES
from homeroom.testing import KeptMessages, plugin_tests, services
from homeroom_smtp import Smtp, SmtpSettings
from homeroom_smtp.letter import letter, mailbox
from homeroom_smtp.server import NobodyKnows
from homeroom_smtp.settings import LONGEST
from tests.services import certificate
from tests.services.post_office import HANG_UP, NO_ANSWER, PostOffice, post_office

_DOCS = Path(__file__).parents[2] / "docs" / "smtp.md"
SENDER = "attendance@district.example"
PLAIN = {"host": "127.0.0.1", "security": "none", "from_email": SENDER}
MESSAGE = Message(
    id="0192f00c",
    channel="email",
    to="maria.ruiz@family.example",
    subject="Ausencia: Período 2, Matemáticas",
    body="Ana no estuvo en clase.\n.\n.. dos puntos\nfin",
    html='<p lang="es">Ana no estuvo en clase.</p>',
    sender="Escuela Norte",
    language="es",
    created_at=datetime(2026, 9, 1, 14, 3, tzinfo=UTC),
)

TestSmtp = plugin_tests(Smtp, {**PLAIN, "port": 9, "username": "attendance", "password": "a-word-nobody-knows"})


@contextlib.asynccontextmanager
async def running(
    office: PostOffice, told: KeptMessages | None = None, *, server: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[Smtp]:
    async with post_office(office, **(server or {})) as port:
        chosen = SmtpSettings.model_validate({**PLAIN, "port": port, **settings})
        plugin = Smtp(chosen, services("smtp", scopes=Smtp.scopes, messages=told))
        try:
            yield plugin
        finally:
            await plugin.stop()


async def mailed(message: Message = MESSAGE, office: PostOffice | None = None, **settings: Any) -> Receipt:
    async with running(office or PostOffice(), **settings) as plugin:
        receipt = await plugin.deliver(message)
    assert receipt is not None
    return receipt


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate.write(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def served(pem: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pem)
    return context


async def test_a_message_arrives_as_it_was_written() -> None:
    office = PostOffice()
    receipt = await mailed(office=office)

    assert receipt == Receipt(state="accepted", provider_id="0192f00c@district.example")
    (envelope,), (mail,) = office.taken, office.messages
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, [MESSAGE.to])
    assert mail["From"] == f"Escuela Norte <{SENDER}>"
    assert mail["To"] == MESSAGE.to
    assert mail["Subject"] == MESSAGE.subject
    assert mail["Message-ID"] == "<0192f00c@district.example>"
    assert mail["Date"].datetime == datetime(2026, 9, 1, 14, 0, tzinfo=UTC)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Content-Language"] == "es"
    assert {"Reply-To", "Precedence", "Cc", "Bcc"}.isdisjoint(mail.keys())
    assert mail.get_content_type() == "multipart/alternative"
    text, html = (part.get_content() for part in mail.iter_parts())
    assert text.replace("\r\n", "\n").rstrip("\n") == MESSAGE.body
    assert html.strip() == MESSAGE.html


async def test_a_message_without_html_is_plain_text() -> None:
    office = PostOffice()
    await mailed(replace(MESSAGE, html="", sender=""), office, from_name="District 7", reply_to="office@d.example")

    (mail,) = office.messages
    assert mail.get_content_type() == "text/plain"
    assert mail["From"] == f"District 7 <{SENDER}>"
    assert mail["Reply-To"] == "office@d.example"


async def test_the_subject_travels_in_ascii_as_rfc_2047_wants_it() -> None:
    office = PostOffice()
    await mailed(replace(MESSAGE, subject="缺席通知"), office)

    raw = office.taken[0].content
    assert isinstance(raw, bytes)
    assert raw.isascii()
    assert b"Subject: =?utf-8?" in raw
    assert office.messages[0]["Subject"] == "缺席通知"


async def test_only_e_mail_is_its_business() -> None:
    plugin = Smtp(SmtpSettings.model_validate({**PLAIN, "port": 9}), services("smtp"))
    assert await plugin.deliver(replace(MESSAGE, channel="sms")) is None


@pytest.mark.parametrize(
    "address",
    [
        "",
        "+15550100",
        "maria",
        "maria@",
        "@family.example",
        "a b@family.example",
        "maria@family.example\r\nBcc: all@district.example",
        "maria@family.example, other@family.example",
        "<maria@family.example>",
        "maria@-family.example",
        "maria@family..example",
        ".maria@family.example",
        "m" * 65 + "@family.example",
        "maria@" + "f" * 300,
        "ma\ud800ria@family.example",
        "maria\x00@family.example",
    ],
)
async def test_what_is_no_address_is_refused_without_asking_the_server(address: str) -> None:
    office = PostOffice()
    receipt = await mailed(replace(MESSAGE, to=address), office)
    assert (receipt.state, receipt.code, office.connections) == ("refused", "address", 0)


async def test_a_domain_in_other_letters_is_mailed_to_by_its_ascii_name() -> None:
    office = PostOffice()
    assert (await mailed(replace(MESSAGE, to="maria@família.example"), office)).state == "accepted"
    assert office.taken[0].rcpt_tos == ["maria@xn--famlia-5va.example"]


async def test_a_name_in_other_letters_needs_a_server_that_can_take_it() -> None:
    office, able = PostOffice(), PostOffice()
    refused = await mailed(replace(MESSAGE, to="josé@family.example"), office)
    assert (refused.state, refused.code, office.taken) == ("refused", "smtputf8", [])

    taken = await mailed(replace(MESSAGE, to="josé@family.example"), able, server={"enable_SMTPUTF8": True})
    assert taken.state == "accepted"
    assert able.taken[0].rcpt_tos == ["josé@family.example"]
    assert able.messages[0]["Subject"] == MESSAGE.subject


ANYTHING = st.text(st.characters(), max_size=60) | st.sampled_from(
    [
        "\r\nBcc: all@district.example\r\n\r\n",
        "x\nX-Evil: 1",
        ".\r\nQUIT\r\n",
        "\x85X-Evil: 1",
        "\u2028",
        "\ud800",
        "\x00",
    ]
)


@given(texts=st.fixed_dictionaries(dict.fromkeys(("id", "subject", "body", "html", "sender", "language"), ANYTHING)))
def test_no_text_can_add_a_header_or_end_the_message(texts: dict[str, str]) -> None:
    message = replace(MESSAGE, **texts)  # type: ignore[arg-type] # all of them are texts
    to = mailbox(MESSAGE.to)
    assert to is not None
    made = letter(message, to, sender=SENDER, sender_name="", reply_to=None, at=MESSAGE.created_at)

    head = made.content.partition(b"\r\n\r\n")[0].decode("ascii")
    names = [line.partition(":")[0] for line in head.split("\r\n") if line[:1] not in (" ", "\t")]
    allowed = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "Content-Language", "MIME-Version"}
    assert set(names) <= allowed | {"Content-Type", "Content-Transfer-Encoding"}
    assert len(names) == len(set(names))
    assert made.content.endswith(b"\r\n")
    assert b"\n" not in made.content.replace(b"\r\n", b"")
    assert b"\r" not in made.content.replace(b"\r\n", b"")
    assert max(len(line) for line in made.content.split(b"\r\n")) <= 998


async def test_a_line_with_only_a_dot_does_not_end_the_message() -> None:
    office = PostOffice()
    body = "one\n.\nMAIL FROM:<evil@example.org>\n..\n.two"
    receipt = await mailed(replace(MESSAGE, body=body, html=""), office)
    assert receipt.state == "accepted"
    assert office.messages[0].get_content().replace("\r\n", "\n").rstrip("\n") == body
    assert len(office.taken) == 1


@pytest.mark.parametrize(
    ("place", "says", "state", "code"),
    [
        ("to_recipient", "550 5.1.1 <maria.ruiz@family.example> user unknown", "refused", "550 5.1.1"),
        ("to_recipient", "550 5.7.1 relaying denied", "refused", "550 5.7.1"),
        ("to_recipient", "553 no such user", "refused", "553"),
        ("to_recipient", "450 4.2.0 greylisted", "retry", "450 4.2.0"),
        ("to_recipient", "530 5.7.0 authentication required", "retry", "530 5.7.0"),
        ("to_recipient", "421 4.3.2 closing", "retry", "421 4.3.2"),
        ("to_sender", "550 5.7.60 not your address", "retry", "550 5.7.60"),
        ("to_sender", "451 4.7.1 too many", "retry", "451 4.7.1"),
        ("to_data", "554 5.5.1 no valid recipients", "refused", "554 5.5.1"),
        ("to_data", "452 4.3.1 disk full", "retry", "452 4.3.1"),
        ("to_message", "554 5.7.1 looks like spam", "refused", "554 5.7.1"),
        ("to_message", "550 4.4.1 numbers that disagree", "refused", "550"),
        ("to_message", "451 4.3.0 try later", "retry", "451 4.3.0"),
    ],
)
async def test_every_answer_is_an_answer(place: str, says: str, state: str, code: str) -> None:
    office = PostOffice()
    setattr(office, place, says)
    receipt = await mailed(office=office)
    assert (receipt.state, receipt.code) == (state, code)
    assert "maria" not in repr(receipt)
    assert not any(word in receipt.reason for word in ("unknown", "spam", "greylisted", "denied"))


async def test_an_address_where_nobody_lives_is_told() -> None:
    for says, news in (
        ("550 5.1.1 user unknown", [(MESSAGE.to, "unreachable")]),
        ("550 5.7.1 not from you", []),
        ("550 user unknown, perhaps", []),
        ("450 4.1.1 not just now", []),
    ):
        office, told = PostOffice(), KeptMessages()
        office.to_recipient = says
        await mailed(office=office, told=told)
        assert [(one.address, one.news) for one in told.news] == news


async def test_an_answer_is_not_lost_when_what_it_tells_cannot_be_kept() -> None:
    class Away(KeptMessages):
        async def heard(self, news: AddressNews) -> None:
            raise ConnectionError(news.news)

    office = PostOffice()
    office.to_recipient = "550 5.1.1 user unknown"
    receipt = await mailed(office=office, told=Away())
    assert (receipt.state, receipt.code) == ("refused", "550 5.1.1")


async def test_a_sender_who_may_not_send_is_the_administrators_affair() -> None:
    office, told = PostOffice(), KeptMessages()
    office.to_sender = "550 5.1.1 no such sender"
    receipt = await mailed(office=office, told=told)
    assert (receipt.state, receipt.retry_after, told.news) == ("retry", 300, [])
    assert "from_email" in receipt.reason


@pytest.mark.parametrize("how", [NO_ANSWER, HANG_UP, "250", "what?", "299 strange", "354 go on"])
async def test_what_is_lost_after_the_last_dot_is_unknown(how: str) -> None:
    office = PostOffice()
    office.to_message = how if how != "250" else "250-half an answer\r\n250-more"
    async with running(office, timeout=1) as plugin:
        with pytest.raises(NobodyKnows) as caught:
            await plugin.deliver(MESSAGE)
    assert len(office.taken) == 1, "the server has it"
    assert "maria" not in str(caught.value)


@pytest.mark.parametrize("how", [NO_ANSWER, HANG_UP])
async def test_what_is_lost_before_the_message_is_sent_again(how: str) -> None:
    office = PostOffice()
    office.to_data = how
    receipt = await mailed(office=office, timeout=1)
    assert (receipt.state, receipt.retry_after, office.taken) == ("retry", 60, [])


async def test_a_server_that_greets_nobody_is_given_up_in_half_the_time() -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    chosen = SmtpSettings.model_validate({**PLAIN, "port": server.sockets[0].getsockname()[1], "timeout": 1})
    plugin = Smtp(chosen, services("smtp", scopes=Smtp.scopes))
    async with asyncio.timeout(0.9):
        receipt = await plugin.deliver(MESSAGE)
    assert receipt is not None
    assert receipt.state == "retry"
    assert "did not answer in time" in receipt.reason
    for writer in writers:
        writer.close()
    server.close()
    await server.wait_closed()


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody can be there
        chosen = SmtpSettings.model_validate({**PLAIN, "port": taken.getsockname()[1]})
        plugin = Smtp(chosen, services("smtp", scopes=Smtp.scopes))
        receipt = await plugin.deliver(MESSAGE)
        health = await plugin.health()
    assert receipt is not None
    assert receipt.state == "retry"
    assert "cannot be reached" in receipt.reason
    assert not health.ok
    assert health.findings[0].fix


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_with_a_certificate_that_is_trusted_it_signs_in_and_sends(
    served: ssl.SSLContext, pem: tuple[Path, Path], security: str
) -> None:
    office = PostOffice()
    office.password = b"right"
    chosen: dict[str, Any] = {
        "security": security,
        "host": "localhost",
        "ca_file": pem[0],
        "username": "attendance",
        "password": "right",
    }
    server = {"certificate": served, "wrapped": security == "tls"}
    async with running(office, server=server, **chosen) as plugin:
        receipt = await plugin.deliver(MESSAGE)
        assert receipt is not None
        assert receipt.state == "accepted"
        health = await plugin.health()
    assert health.ok
    assert "encrypted, signed in" in health.detail
    assert office.taken[0].rcpt_tos == [MESSAGE.to]


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(served: ssl.SSLContext, security: str) -> None:
    office = PostOffice()
    office.password = b"right"
    chosen: dict[str, Any] = {"security": security, "username": "attendance", "password": "right"}
    server = {"certificate": served, "wrapped": security == "tls"}
    async with running(office, server=server, **chosen) as plugin:
        receipt = await plugin.deliver(MESSAGE)
        health = await plugin.health()
    assert receipt is not None
    assert (receipt.state, receipt.retry_after) == ("retry", 300)
    assert "certificate" in receipt.reason
    assert "ca_file" in health.findings[0].fix
    assert (office.tried, office.taken) == ([], [])


async def test_a_certificate_for_another_name_is_not_trusted(
    served: ssl.SSLContext, pem: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    plainly = loop.getaddrinfo
    monkeypatch.setattr(loop, "getaddrinfo", lambda _host, port, **more: plainly("127.0.0.1", port, **more))
    chosen: dict[str, Any] = {"security": "starttls", "host": "mail.other.example", "ca_file": pem[0]}
    receipt = await mailed(server={"certificate": served}, **chosen)
    assert receipt.state == "retry"
    assert "certificate" in receipt.reason


async def test_without_encryption_nothing_is_said_to_a_server_that_should_offer_it() -> None:
    office = PostOffice()
    receipt = await mailed(office=office, security="starttls")
    assert (receipt.state, office.taken) == ("retry", [])
    assert "offers no encryption" in receipt.reason


async def test_a_password_that_is_wrong_is_the_administrators_affair(
    served: ssl.SSLContext, pem: tuple[Path, Path]
) -> None:
    office = PostOffice()
    office.password = b"right"
    chosen: dict[str, Any] = {
        "security": "starttls",
        "host": "localhost",
        "ca_file": pem[0],
        "username": "attendance",
        "password": "a-wrong-one",
    }
    async with running(office, server={"certificate": served}, **chosen) as plugin:
        receipt = await plugin.deliver(MESSAGE)
        health = await plugin.health()
    assert receipt is not None
    assert (receipt.state, receipt.code, receipt.retry_after) == ("retry", "535", 300)
    assert not health.ok
    assert "password" in health.findings[0].fix
    assert office.taken == []
    assert b"a-wrong-one" in office.tried
    assert "a-wrong-one" not in f"{receipt} {health} {plugin.settings!r}"


async def test_one_connection_serves_message_after_message() -> None:
    office = PostOffice()
    async with running(office) as plugin:
        for n in range(5):
            receipt = await plugin.deliver(replace(MESSAGE, id=f"m{n}"))
            assert receipt is not None
            assert receipt.state == "accepted"
    assert (office.connections, len(office.taken)) == (1, 5)
    assert [len(one.rcpt_tos) for one in office.taken] == [1] * 5


async def test_many_at_once_each_have_a_connection() -> None:
    office = PostOffice()
    async with running(office) as plugin:
        sent = await asyncio.gather(
            *(plugin.deliver(replace(MESSAGE, id=f"m{n}", to=f"f{n}@e.example")) for n in range(9))
        )
    assert [one.state for one in sent if one] == ["accepted"] * 9
    assert sorted(str(one.rcpt_tos[0]) for one in office.taken) == [f"f{n}@e.example" for n in range(9)]


async def test_a_connection_that_ended_meanwhile_is_replaced() -> None:
    office = PostOffice()
    async with running(office) as plugin:
        await plugin.deliver(MESSAGE)
        office.hang_up_everywhere()
        receipt = await plugin.deliver(replace(MESSAGE, id="second"))
    assert receipt is not None
    assert receipt.state == "accepted"
    assert (office.connections, len(office.taken)) == (2, 2)


async def test_a_connection_that_ends_at_the_next_message_is_replaced() -> None:
    class Weary(PostOffice):
        """Ends a connection when a second message is begun on it."""

        async def handle_MAIL(self, server: SMTP, *more: Any) -> str:  # noqa: N802 - aiosmtpd's name
            self.to_sender = HANG_UP if self.taken and self.connections == 1 else None
            return await super().handle_MAIL(server, *more)

    office = Weary()
    async with running(office) as plugin:
        for n in range(2):
            receipt = await plugin.deliver(replace(MESSAGE, id=f"m{n}"))
            assert receipt is not None
            assert receipt.state == "accepted"
    assert (office.connections, len(office.taken)) == (2, 2)


async def test_a_server_that_has_had_enough_of_a_connection_is_asked_on_another() -> None:
    office = PostOffice()
    async with running(office) as plugin:
        await plugin.deliver(MESSAGE)
        office.to_sender = "452 4.7.1 too many messages on this connection"
        receipt = await plugin.deliver(replace(MESSAGE, id="second"))
    assert receipt is not None
    assert receipt.code == "452 4.7.1"
    assert office.connections == 2


async def test_health_says_what_was_seen() -> None:
    office = PostOffice()
    async with running(office) as plugin:
        health = await plugin.health()
    assert health == Health(ok=True, detail=f"127.0.0.1:{plugin.settings.port} answers: not encrypted, no sign-in")
    assert office.taken == []


async def test_nothing_personal_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("mail.log").setLevel(logging.ERROR)  # the test's server tells everything
        await mailed()
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert "maria" not in told
    assert "Ana" not in told


def test_an_attempt_ends_before_the_outbox_stops_waiting() -> None:
    assert POLICIES["deliver"].deadline > LONGEST


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"host": "mail.district.example", "security": "none"}, "only for a server on this machine"),
        ({"username": "attendance"}, "belong together"),
        ({"password": "alone"}, "belong together"),
        ({"from_email": "not an address"}, "not an e-mail address"),
        ({"reply_to": "a@b.example\nBcc: c@d.example"}, "not an e-mail address"),
        ({"from_name": "District\nBcc: c@d.example"}, "one line"),
        ({"ca_file": "/no/such/file.pem"}, "does not point to a file"),
        ({"timeout": 15}, "less than or equal to 14"),
        ({"host": "mail server"}, "pattern"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SmtpSettings.model_validate({**PLAIN, **wrong})


def test_the_settings_on_the_page_can_be_used(pem: tuple[Path, Path]) -> None:
    text = re.findall(r"```toml\n(.*?)```", _DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    told = {**tomllib.loads(text)["plugins"]["smtp"], "password": "made-up", "ca_file": str(pem[0])}
    SmtpSettings.model_validate(told)
    assert set(told) == set(SmtpSettings.model_fields)

"""The district's mail server, as far as one message needs it, and what is known when something goes wrong with it.

SMTP has one moment at which nobody can say what became of a message: after the last dot was sent and before the answer
to it came. What goes wrong before that moment has surely not been sent (`NotReached`), an answer of any kind is an
answer (`Answer`), and only that moment itself raises `NobodyKnows`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from aiosmtplib import SMTP, SMTPException, SMTPResponseException, SMTPServerDisconnected

from homeroom import Finding
from homeroom_smtp.letter import Letter
from homeroom_smtp.settings import SmtpSettings

IDLE_SECONDS = 20.0
"""How long a connection is kept open for the next message."""

_IDLE_MOST = 4
_OK = 250
_GO_ON = 354
_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})\b")
_DOTS = re.compile(rb"(?m)^\.")
_LATER, _NEVER = range(400, 500), range(500, 600)

Step = Literal["sender", "recipient", "message"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server said, and to what: its numbers only, for its words may hold an address."""

    step: Step
    code: int
    enhanced: str | None = None  # RFC 3463: "5.1.1"

    @property
    def taken(self) -> bool:
        """Whether the server has the message now."""
        return self.step == "message" and self.code == _OK

    @property
    def for_good(self) -> bool:
        """Whether the same would be refused again."""
        return self.code in _NEVER

    @property
    def text(self) -> str:
        """Both numbers, as mail people write them."""
        return f"{self.code} {self.enhanced}" if self.enhanced else str(self.code)


class NotReached(Exception):
    """The message was surely not sent: `finding` says to the administrator why, `retry_after` is in seconds."""

    def __init__(self, problem: str, fix: str, *, retry_after: float = 60, code: str | None = None) -> None:
        super().__init__(problem)
        self.finding = Finding(problem=problem, fix=fix)
        self.retry_after = retry_after
        self.code = code


class NobodyKnows(Exception):
    """The message was sent and no answer came, so the server may have it or not."""


class CannotTake(Exception):
    """The server takes no address with letters beyond ASCII before the @."""


class MailServer:
    """Hands letters to the mail server, one at a time on each of a few connections that stay open between them."""

    def __init__(self, settings: SmtpSettings, *, own_name: str) -> None:
        self._settings = settings
        self._own_name = own_name
        self._place = f"{settings.host}:{settings.port}"
        self._tls = ssl.create_default_context()
        if settings.ca_file is not None:
            self._tls.load_verify_locations(settings.ca_file)
        self._idle: list[tuple[SMTP, float]] = []

    async def send(self, letter: Letter) -> Answer:
        """What the server answered, within the settings' `timeout`.

        Raises NotReached when nothing was sent, CannotTake, and NobodyKnows when there was no answer to what was sent.
        """
        until = asyncio.get_running_loop().time() + self._settings.timeout
        client = None
        try:
            async with self._in_time(self._settings.timeout / 2):
                client, answer = await self._envelope(letter)
                if answer is None:
                    answer = await self._announce(client)
            if answer is None:
                answer = await self._hand_over(client, letter, until)
        except BaseException:
            if client is not None:
                client.close()
            raise
        if answer.taken:
            self._keep(client)
        else:
            client.close()
        return answer

    async def check(self, seconds: float) -> str:
        """Sign in and leave again; gives in a few words what was seen. Raises NotReached."""
        async with self._in_time(seconds):
            client = await self._connect()
            try:
                with contextlib.suppress(SMTPException, OSError):
                    await client.quit()
            finally:
                client.close()
        signed_in = "signed in" if self._settings.username else "no sign-in"
        secured = "not encrypted" if self._settings.security == "none" else "encrypted"
        return f"{self._place} answers: {secured}, {signed_in}"

    async def close(self) -> None:
        """Take leave of the server on every connection that is still open."""
        idle, self._idle = self._idle, []
        for client, _ in idle:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await client.quit()
            client.close()

    @contextlib.asynccontextmanager
    async def _in_time(self, seconds: float) -> AsyncIterator[None]:
        """Bounds what comes before the message; whatever is lost there is NotReached."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError:
            problem = f"{self._place} did not answer in time."
            raise NotReached(problem, "See whether the mail server is busy, and what its log says.") from None
        except (SMTPException, OSError):
            raise self._lost() from None

    async def _envelope(self, letter: Letter) -> tuple[SMTP, Answer | None]:
        """A connection that has accepted sender and recipient (then the answer is None), or what it said instead.

        A connection from before may have ended meanwhile; then there is a new one.
        """
        if (client := self._kept()) is not None:
            try:
                answer = await self._address(client, letter)
            except (SMTPException, OSError):
                client.close()
            except BaseException:
                client.close()
                raise
            else:
                if answer is None or answer.step == "recipient":
                    return client, answer
                client.close()  # it has had enough of this connection, perhaps
        client = await self._connect()
        try:
            return client, await self._address(client, letter)
        except BaseException:
            client.close()
            raise

    async def _address(self, client: SMTP, letter: Letter) -> Answer | None:
        if not letter.to.is_plain and not client.supports_extension("smtputf8"):
            raise CannotTake
        options, encoding = ([], "ascii") if letter.to.is_plain else (["SMTPUTF8", "BODY=8BITMIME"], "utf-8")
        try:
            await client.mail(letter.sender, options=options)
        except SMTPResponseException as exc:
            return _answer("sender", exc.code, exc.message)
        try:
            await client.rcpt(letter.to.text, encoding=encoding)
        except SMTPResponseException as exc:
            return _answer("recipient", exc.code, exc.message)
        return None

    async def _announce(self, client: SMTP) -> Answer | None:
        """None when the server waits for the message, else what it said instead."""
        response = await client.execute_command(b"DATA")
        return None if response.code == _GO_ON else _answer("message", response.code, response.message)

    async def _hand_over(self, client: SMTP, letter: Letter, until: float) -> Answer:
        """The answer to the message itself. The library's own `data` would not tell before from after the dot."""
        protocol = client.protocol
        if protocol is None or not protocol.is_connected:
            raise self._lost()
        protocol.write(_DOTS.sub(b"..", letter.content) + b".\r\n")
        try:
            async with asyncio.timeout_at(until):
                response = await protocol.read_response()
        except TimeoutError:
            raise NobodyKnows(f"{self._place} did not answer in time whether it took the message") from None
        except (SMTPException, OSError):
            raise NobodyKnows(f"{self._place} gave no answer to the message that can be read") from None
        answer = _answer("message", response.code, response.message)
        if not (answer.taken or response.code in _LATER or answer.for_good):
            raise NobodyKnows(f"{self._place} answered the message with {response.code}, which means nothing here")
        return answer

    async def _connect(self) -> SMTP:
        """A connection that is encrypted and signed in. Raises NotReached."""
        chosen = self._settings
        client = SMTP(
            hostname=chosen.host,
            port=chosen.port,
            local_hostname=self._own_name,
            timeout=chosen.timeout,
            use_tls=chosen.security == "tls",
            start_tls=False,
            tls_context=self._tls,
        )
        try:
            await self._open(client)
            if chosen.security == "starttls":
                await self._encrypt(client)
            await client.ehlo()
            if chosen.username is not None and chosen.password is not None:
                await self._sign_in(client, chosen.username, chosen.password.get_secret_value())
        except BaseException:
            client.close()
            raise
        return client

    async def _open(self, client: SMTP) -> None:
        try:
            await client.connect()
        except SMTPResponseException as exc:
            problem = f"{self._place} turned this machine away ({exc.code})."
            raise NotReached(problem, "Let this machine in on the mail server.", code=str(exc.code)) from None
        except TimeoutError:
            raise
        except (SMTPException, OSError) as exc:
            if isinstance(exc.__cause__, ssl.SSLError):
                raise self._no_tls(exc.__cause__) from None
            problem = f"{self._place} cannot be reached."
            raise NotReached(problem, "See that host and port are right, and that no firewall is in between.") from None

    async def _encrypt(self, client: SMTP) -> None:
        try:
            await client.starttls()
        except (TimeoutError, SMTPServerDisconnected):
            raise
        except (SMTPException, OSError) as exc:
            raise self._no_tls(exc) from None

    async def _sign_in(self, client: SMTP, username: str, password: str) -> None:
        try:
            await client.login(username, password)
        except TimeoutError:
            raise
        except (SMTPException, OSError) as exc:
            code = str(exc.code) if isinstance(exc, SMTPResponseException) else None
            if code is not None and int(code) in _LATER:
                fix = "Wait; if it stays so, see what the mail server's log says."
                raise NotReached(f"{self._place} lets nobody sign in just now ({code}).", fix, code=code) from None
            problem = f"{self._place} did not accept the sign-in{f' ({code})' if code else ''}."
            fix = "See that username and password are right, and that the account may send by SMTP."
            raise NotReached(problem, fix, retry_after=300, code=code) from None

    def _lost(self) -> NotReached:
        return NotReached(f"{self._place} broke the connection off.", "See what the mail server's log says.")

    def _no_tls(self, exc: BaseException) -> NotReached:
        if isinstance(exc, ssl.SSLCertVerificationError):
            problem = f"the certificate of {self._place} cannot be trusted: {exc.verify_message}."
            fix = (
                "Use the name that the certificate is for as `host`, or name the district's own authority in `ca_file`."
            )
        else:
            problem = f"{self._place} offers no encryption in the way that is set."
            fix = (
                'Use security = "tls" (usually port 465) or "starttls" (usually port 587), whichever the server offers.'
            )
        return NotReached(problem, fix, retry_after=300)

    def _kept(self) -> SMTP | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and now - since < IDLE_SECONDS:
                return client
            client.close()
        return None

    def _keep(self, client: SMTP) -> None:
        if len(self._idle) < _IDLE_MOST and client.is_connected:
            self._idle.append((client, asyncio.get_running_loop().time()))
        else:
            client.close()


def _answer(step: Step, code: int, words: str) -> Answer:
    found = _ENHANCED.match(words)
    return Answer(step=step, code=code, enhanced=found[1] if found and found[1][0] == str(code)[0] else None)

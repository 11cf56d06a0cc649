"""A real OpenID provider for one test run: npm's `oidc-provider`, certified, on loopback."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from html import unescape
from urllib.parse import urljoin

import httpx2

from tests.services.run import NotHere, folder, once

PACKAGE = "oidc-provider@9.13.3"
CLIENT = {"client_id": "homeroom", "client_secret": "a secret between the two of us"}
HERE = "http://127.0.0.1:1"
"""Where the provider sends browsers back to: nobody listens there, the tests read the address."""
CALLBACK = f"{HERE}/api/v1/auth/providers/oidc/callback"

_SERVER = """
import { createServer } from 'node:http';
import { writeFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const [file, client_id, client_secret, redirect_uri] = process.argv.slice(2);
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id, client_secret, redirect_uris: [redirect_uri] }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: id.includes('@') ? id : `${id}@district.example`,
        email_verified: !id.startsWith('unverified'),
      }),
    }),
  });
  server.on('request', provider.callback());
  writeFileSync(file, issuer);
});
"""


def issuer() -> str:
    """The issuer of a provider started for this run. Raises NotHere where node or the package cannot be had."""
    return once("idp", _start)


def sign_in(url: str, login: str) -> str:
    """Where the browser ends up that goes to `url` and signs in as `login`: an address of ours."""
    with httpx2.Client(trust_env=False, timeout=10) as browser:
        page = browser.get(url)
        while True:
            while page.has_redirect_location:
                target = urljoin(str(page.url), page.headers["location"])
                if target.startswith(HERE):
                    return target
                page = browser.get(target)
            assert page.status_code == 200, page.text
            action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
            prompt = re.search(r'name="prompt" value="([^"]+)"', page.text)
            assert action, page.text
            assert prompt, page.text
            form = {"prompt": prompt[1], "login": login, "password": "any"}
            page = browser.post(urljoin(str(page.url), unescape(action[1])), data=form)


def cancel(url: str) -> str:
    """Where the browser ends up that goes to `url` and gives up there."""
    with httpx2.Client(trust_env=False, timeout=10) as browser:
        page = browser.get(url)
        page = browser.get(urljoin(str(page.url), page.headers["location"]))
        link = re.search(r'href="([^"]+/abort)"', page.text)
        assert link, page.text
        page = browser.get(urljoin(str(page.url), unescape(link[1])))
        while page.has_redirect_location:
            target = urljoin(str(page.url), page.headers["location"])
            if target.startswith(HERE):
                return target
            page = browser.get(target)
    raise AssertionError(page.text)


def _start() -> str:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotHere("OpenID provider: no node and npm on PATH")
    base = folder() / "idp"
    base.mkdir()
    (base / "package.json").write_text('{"private": true, "type": "module"}')
    (base / "server.mjs").write_text(_SERVER)
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE]
    try:
        subprocess.run(command, cwd=base, check=True, capture_output=True, timeout=180)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise NotHere(f"OpenID provider: {PACKAGE} cannot be installed by npm") from None
    told = base / "issuer"
    arguments = [str(told), CLIENT["client_id"], CLIENT["client_secret"], CALLBACK]
    with (base / "log").open("wb") as log:
        process = subprocess.Popen([node, "server.mjs", *arguments], cwd=base, stdout=log, stderr=log)
    (folder() / "idp.pid").write_text(str(process.pid))
    deadline = time.monotonic() + 30
    while not (told.exists() and told.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise NotHere(f"OpenID provider: {PACKAGE} does not start on this node")
        time.sleep(0.05)
    process.returncode = 0  # the controller stops it; no ResourceWarning when this worker ends first
    return told.read_text()

"""Logins to accounting systems, by OAuth 2: asked for once, refreshed as they expire, kept encrypted.

The client's id and secret are those of the company's own app at Intuit or Zoho. Secrets and tokens are encrypted with the key in
TICKMARK_SECRET_KEY (Fernet: AES-128-CBC and HMAC-SHA256); of several, separated by commas, the first encrypts and all decrypt, so
that a key can be replaced. Nothing of them is logged or shown.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.requests_client import OAuth2Session
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from requests import RequestException
from sqlalchemy import Engine, text

from ledger.errors import Refused, UnknownReference
from ledger.reports.report import Filters, check_filters

TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class System:
    """How a system gives access: its addresses, with {server} where it has several, and how a client names itself."""

    api: str
    accounts: str
    authorize: str
    tokens_at: str
    scope: str
    client_auth: str
    scheme: str  # what stands before the token in a request
    asking: Mapping[str, str] = field(default_factory=dict)
    servers: tuple[str, ...] = ()


SYSTEMS: Mapping[str, System] = {
    "quickbooks": System(
        api="https://{server}.api.intuit.com",
        accounts="https://oauth.platform.intuit.com",
        authorize="https://appcenter.intuit.com/connect/oauth2",
        tokens_at="/oauth2/v1/tokens/bearer",
        scope="com.intuit.quickbooks.accounting",
        client_auth="client_secret_basic",
        scheme="Bearer",
        servers=("quickbooks", "sandbox-quickbooks"),
    ),
    "zoho": System(
        api="https://www.zohoapis.{server}",
        accounts="https://accounts.zoho.{server}",
        authorize="https://accounts.zoho.{server}/oauth/v2/auth",
        tokens_at="/oauth/v2/token",
        scope="ZohoBooks.fullaccess.all",
        client_auth="client_secret_post",
        scheme="Zoho-oauthtoken",
        # without these it gives no token to refresh with
        asking={"access_type": "offline", "prompt": "consent"},
        servers=("com", "eu", "in", "com.au", "jp", "ca", "sa"),
    ),
}


@dataclass(frozen=True, slots=True)
class Login:
    """How to reach a company in a system, and as whom. `token` is as the system gave it, with when it expires."""

    target: str
    entity: str
    company: str
    api: str
    accounts: str
    client: str
    secret: str = field(repr=False)
    token: dict[str, Any] = field(repr=False)

    @property
    def system(self) -> System:
        """The system's own."""
        return SYSTEMS[self.target]

    def session(self) -> OAuth2Session:
        """A session that can ask for tokens."""
        return OAuth2Session(
            self.client,
            self.secret,
            token_endpoint_auth_method=self.system.client_auth,
            token=self.token or None,
            default_timeout=TIMEOUT_SECONDS,
        )


def require_ready(engine: Engine, entity: str) -> None:
    """Raise Refused for an entity that is not in the books, or a key that can't encrypt, before anybody is asked for anything."""
    _cipher()
    with engine.connect() as connection:
        check_filters(connection, Filters(entity=entity))


def _cipher() -> MultiFernet:
    keys = [key.strip() for key in os.environ.get("TICKMARK_SECRET_KEY", "").split(",") if key.strip()]
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise Refused(
            "TICKMARK_SECRET_KEY", "(hidden)" if keys else "missing",
            "expected the key that tokens are encrypted with: 32 bytes in URL-safe base64, as `openssl rand -base64 32 | tr +/ -_` gives",
        ) from None  # fmt: skip


def asked(login: Login, redirect: str, server: str) -> tuple[str, str]:
    """Where a person allows the access, and the state that comes back with it."""
    session = OAuth2Session(login.client, login.secret, scope=login.system.scope, redirect_uri=redirect)
    url, state = session.create_authorization_url(login.system.authorize.format(server=server), **login.system.asking)
    return url, state


def allowed(login: Login, redirect: str, state: str, came_back: str) -> Login:
    """The login with its first tokens, of the address to which the browser was sent back. Raises Refused."""
    session = login.session()
    session.redirect_uri = redirect
    try:
        token = session.fetch_token(
            login.accounts + login.system.tokens_at, authorization_response=came_back.strip(), state=state
        )
    except (AuthlibBaseError, RequestException, ValueError) as error:
        raise Refused(
            "login", login.target, f"expected the address the browser was sent back to: {_said(error)}"
        ) from None
    return _with_token(login, token)


def refreshed(engine: Engine, login: Login, by: str) -> Login:
    """The login with a new token, kept before it is used: the system may not take the old one again. Raises Refused."""
    old = login.token.get("refresh_token")
    try:
        token = login.session().refresh_token(login.accounts + login.system.tokens_at, refresh_token=old)
    except (AuthlibBaseError, RequestException) as error:
        raise Refused(
            "login", login.target, f"expected a login that still holds: `tickmark connect {login.target}` again ({_said(error)})"
        ) from None  # fmt: skip
    found = _with_token(login, {"refresh_token": old} | token)
    keep(engine, found, by)
    return found


def _with_token(login: Login, token: Mapping[str, Any]) -> Login:
    if not token.get("access_token") or not token.get("refresh_token"):
        raise Refused("login", login.target, f"expected tokens; it answered {_said(token.get('error', 'without any'))}")
    return replace(login, token=dict(token))


def _said(error: object) -> str:
    """What went wrong, without what was sent."""
    if isinstance(error, AuthlibBaseError):
        return f"{error.error}: {error.description}".rstrip(": ")
    return type(error).__name__ if isinstance(error, Exception) else str(error)


def keep(engine: Engine, login: Login, by: str) -> None:
    """Keep a login, in a transaction of its own, in place of the one there was."""
    sealed = _cipher().encrypt(json.dumps({"secret": login.secret, "token": login.token}).encode())
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into export_login (target, entity, company, api, accounts, client, sealed, by)"
                " values (:target, :entity, :company, :api, :accounts, :client, :sealed, :by) "
                "on conflict (target, entity) do update set company = excluded.company, api = excluded.api,"
                " accounts = excluded.accounts, client = excluded.client, sealed = excluded.sealed, at = now(), by = excluded.by"
            ),
            {
                "target": login.target, "entity": login.entity, "company": login.company, "api": login.api, "accounts": login.accounts,
                "client": login.client, "sealed": sealed.decode(), "by": by,
            },
        )  # fmt: skip


def find(engine: Engine, target: str, entity: str) -> Login:
    """The login of an entity to a system. Raises UnknownReference, or Refused where the key is another one."""
    with engine.connect() as connection:
        row: Any = connection.execute(
            text(
                "select company, api, accounts, client, sealed from export_login where target = :target and entity = :entity"
            ),
            {"target": target, "entity": entity},
        ).first()
    if row is None:
        raise UnknownReference("login", target, f"expected a login of {entity}: `tickmark connect {target}` makes one")
    try:
        kept = json.loads(_cipher().decrypt(row.sealed.encode()))
    except InvalidToken:
        raise Refused("TICKMARK_SECRET_KEY", "(hidden)", "expected the key that the login was kept with") from None
    return Login(target, entity, row.company, row.api, row.accounts, row.client, kept["secret"], kept["token"])

"""How deliveries are signed, when they are tried again, and which addresses are allowed. Pure.

The signature is that of MLflow's webhooks (and of the Standard Webhooks convention): HMAC-SHA256 over
`delivery id . timestamp . body`, so that a receiver can tell who sent a message and that it is not an old one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from holdfast.base.errors import InvalidError

ATTEMPTS_MOST = 6
NAME_CHARACTERS_MOST = 256
URL_CHARACTERS_MOST = 2_048

_BLANK = re.compile(r"[\x00-\x20\x7f]")
_FIRST_PAUSE_S = 1.0
_PAUSE_MOST_S = 60.0


def signature(secret: str, delivery_id: str, timestamp: str, body: str) -> str:
    """The value of the signature header.

    Example:
        >>> signature("s", "d", "1", "{}")
        'v1,IU+2+KHu4+2P4cNMuwvd3lx0u3yUZ/KaEHscpFOsm4Y='
    """
    signed = f"{delivery_id}.{timestamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def pause_s(attempts: int) -> float:
    """Seconds until the next attempt after so many failed ones: 1, 2, 4, … 60.

    Example:
        >>> [pause_s(attempts) for attempts in (1, 2, 3, 20)]
        [1.0, 2.0, 4.0, 60.0]
    """
    return min(_PAUSE_MOST_S, _FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 30))


def check_webhook(name: str, url: str, events: Sequence[str], known: Sequence[str]) -> None:
    """Raises `InvalidError` for a webhook that cannot be."""
    if not name.strip() or len(name) > NAME_CHARACTERS_MOST:
        raise InvalidError(f"a webhook needs a name of up to {NAME_CHARACTERS_MOST} characters", field="name")
    if not events:
        raise InvalidError("a webhook needs at least one event", field="events")
    unknown = sorted(set(events) - set(known))
    if unknown:
        raise InvalidError(
            f"{unknown[0]!r} is not an event of a webhook", hint=f"valid: {', '.join(known)}", field="events"
        )
    check_url(url)


def check_url(url: str) -> None:
    """Raises `InvalidError` unless a webhook may have the address.

    Link-local addresses are refused, because what answers there is the cloud's own metadata service.
    """
    if len(url) > URL_CHARACTERS_MOST or _BLANK.search(url):
        raise InvalidError(
            f"{url[:200]!r} is not an address for a webhook",
            hint=f"write up to {URL_CHARACTERS_MOST} characters, spaces and control characters as %20 and so on",
            field="url",
        )
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in ("http", "https") or parts.username or parts.password:
        raise InvalidError(
            f"{url!r} is not an address for a webhook",
            hint="write http:// or https://, a host and a path, without a password",
            field="url",
        )
    if not is_allowed(host):
        raise InvalidError(f"{host} is a link-local address, which webhooks cannot go to", field="url")


def is_allowed(address: str) -> bool:
    """Whether a webhook may go to a resolved address; a name that is no address is judged once it is resolved."""
    try:
        return not ipaddress.ip_address(address).is_link_local
    except ValueError:
        return True

"""Who asks: the address that a request comes from, and the name of whoever has logged in.

Uvicorn puts the address that a trusted proxy names in the place of the proxy's own, see `serving_options`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import gradio as gr

_NOBODY = "unknown"
_LONGEST = 64


def visitor_of(request: gr.Request | None) -> str:
    """The visitor whose request an event's handler was given, as `Limits` counts them."""
    client = getattr(request, "client", None)
    return visitor_at(getattr(client, "host", None))


def user_of(request: gr.Request | None) -> str:
    """The name of the user who has logged in; empty where nobody has to."""
    return getattr(request, "username", None) or ""


def visitor_in(scope: Mapping[str, Any]) -> str:
    """The visitor of an ASGI connection."""
    client = scope.get("client")
    return visitor_at(client[0] if client else None)


def visitor_at(host: str | None) -> str:
    """The visitor at an address: whoever has one of IPv6 has the 64-bit network around it too."""
    if not host:
        return _NOBODY
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:_LONGEST]
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)

"""``GET /``: the chat page, one HTML file without parts from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from importlib.resources import files

from starlette.responses import Response

from weft.server.serving import Exchange


@lru_cache(maxsize=1)
def content() -> tuple[bytes, str]:
    """Return the page, and a policy that lets only its own script and style run."""
    data = files("weft.server").joinpath("page.html").read_bytes()
    hashes = {
        tag: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(part).digest()).decode()}'"
            for part in re.findall(f"<{tag}>(.*?)</{tag}>".encode(), data, re.DOTALL)
        )
        for tag in ("script", "style")
    }
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return data, policy


async def page(exchange: Exchange) -> Response:
    """Return the chat page."""
    data, policy = content()
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return Response(data, media_type="text/html", headers=headers)

"""What must never be shown: passwords and tokens in text that comes from elsewhere.

Every scan is linear in the text: a line of a log may have 256 kB, and whoever makes the function log may write it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

MASK = "***"
SHORTEST_SECRET = 3

_KEYWORD_SECRET = re.compile(
    r"(?P<head>\b(?:password|passwd|pwd|token|secret|authorization|api[_-]?key)\b\\{0,4}[\"']?\s*[=:]\s*(?:bearer\s+)?)"
    r"(?P<secret>'[^']*'|\"[^\"]*\"|[^\s,;&]+)",
    re.IGNORECASE,
)
_SCHEME_END = re.compile(r"(?<=[A-Za-z0-9+.-])://")
_USER = re.compile(r"[^\s:/@]*:")
_PASSWORD_END = re.compile(r"[\s@]")
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` with every URL password, `password=` value and each of `secrets` replaced by `***`.

    A secret is found as it is and as JSON, URLs, HTML and programs' strings write it.
    """
    for secret in sorted({s for s in secrets if len(s) >= SHORTEST_SECRET}, key=len, reverse=True):
        text = _written_as(secret).sub(MASK, text)
    return _KEYWORD_SECRET.sub(rf"\g<head>{MASK}", "".join(_without_url_passwords(text)))


def _without_url_passwords(text: str) -> Iterator[str]:
    done = 0
    for end in _SCHEME_END.finditer(text):
        user = _USER.match(text, end.end()) if end.start() >= done else None
        if user is None:
            continue
        stop = _PASSWORD_END.search(text, user.end())
        if stop is not None and stop[0] == "@" and stop.start() > user.end():
            yield text[done : user.end()] + MASK
            done = stop.start()
        else:  # no other @ before the next space: nothing until there is a login
            upto = stop.start() if stop else len(text)
            yield text[done:upto]
            done = upto
    yield text[done:]


@lru_cache(maxsize=64)
def _written_as(secret: str) -> re.Pattern[str]:
    """Return what finds a secret in every way in which it may be written, also mixed."""
    return re.compile("".join(_character(c) for c in secret))


def _character(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    units = [character.encode("utf-16-be")[n : n + 2].hex() for n in range(0, 2 * _utf16_units(character), 2)]
    ways = [
        rf"\\{{0,4}}{re.escape(character)}",
        "".join(rf"%(?:25)*(?i:{byte:02x})" for byte in character.encode("utf-8", errors="surrogatepass")),
        "".join(rf"\\{{1,4}}u(?i:{unit})" for unit in units),
        rf"&#0*{ord(character)};",
        rf"&#[xX]0*(?i:{ord(character):x});",
    ]
    if character == " ":
        ways.append(r"\+")
    if character in _ENTITIES:
        ways.append(f"&{_ENTITIES[character]};")
    return f"(?:{'|'.join(ways)})"


def _utf16_units(character: str) -> int:
    return 2 if ord(character) > 0xFFFF else 1

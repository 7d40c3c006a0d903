"""Who may log in: names and hashed passwords, from SWITCHBOARD_USERS.

`python -m switchboard password NAME` makes a line of it. A hash is `scrypt$N$r$p$salt$key`, salt and key in base64;
what does not look like one is a password as it is, and is hashed when it is read: no password stays in memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from switchboard.errors import SettingsError

_SCHEME = "scrypt"
_N, _R, _P = 2**15, 8, 1
"""As werkzeug has them: 32 MB and about a tenth of a second for each try."""
_LARGEST_N = 2**18
_RULE = (
    "SWITCHBOARD_USERS must be name:password pairs with commas between them, or the path of a file with one a line; "
    "a password may be a hash made by `python -m switchboard password NAME`."
)


@dataclass(frozen=True)
class _Hash:
    n: int
    r: int
    p: int
    salt: bytes
    key: bytes

    def fits(self, password: str) -> bool:
        return hmac.compare_digest(_derived(password, self.salt, self.n, self.r, self.p), self.key)


@dataclass(frozen=True)
class Users:
    """The users by name; false where there are none, and then nobody has to log in. Never shows a hash."""

    _hashes: dict[str, _Hash] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def allow(self, name: str, password: str) -> bool:
        """Whether these belong together. Takes as long for a name that is not there."""
        known = self._hashes.get(name)
        fits = (known or _NOBODY).fits(password)
        return known is not None and fits

    @classmethod
    def read(cls, value: str) -> Users:
        """The users of a setting's value: pairs, or a file of them. Raises SettingsError, without the value."""
        if not value.strip():
            return cls()
        if ":" in value and not _is_file(value):
            lines: Iterable[str] = value.split(",")
        else:
            try:
                lines = Path(value).expanduser().read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError):
                raise SettingsError(f"The file of users cannot be read. {_RULE}") from None
        hashes: dict[str, _Hash] = {}
        for line in filter(None, map(str.strip, lines)):
            name, colon, password = line.partition(":")
            if not colon or not name.strip() or not password:
                raise SettingsError(_RULE)
            if name.strip() in hashes:
                raise SettingsError(f"SWITCHBOARD_USERS has the name '{name.strip()}' twice; each may be there once.")
            hashes[name.strip()] = _parsed(password) if password.startswith(f"{_SCHEME}$") else _hashed(password)
        if not hashes:
            raise SettingsError(_RULE)
        return cls(hashes)


def hashed(password: str) -> str:
    """A password as it may be written down."""
    made = _hashed(password)
    salt, key = (base64.b64encode(part).decode() for part in (made.salt, made.key))
    return f"{_SCHEME}${made.n}${made.r}${made.p}${salt}${key}"


def _is_file(value: str) -> bool:
    try:
        return Path(value).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False


def _parsed(text: str) -> _Hash:
    try:
        _, n, r, p, salt, key = text.split("$")
        made = _Hash(
            int(n), int(r), int(p), base64.b64decode(salt, validate=True), base64.b64decode(key, validate=True)
        )
        if not (2 <= made.n <= _LARGEST_N and 1 <= made.r <= 16 and 1 <= made.p <= 16 and made.salt and made.key):
            raise ValueError
        made.fits("")
    except (ValueError, binascii.Error):
        raise SettingsError(f"A hash in SWITCHBOARD_USERS is damaged. {_RULE}") from None
    return made


def _hashed(password: str) -> _Hash:
    salt = secrets.token_bytes(16)
    return _Hash(_N, _R, _P, salt, _derived(password, salt, _N, _R, _P))


def _derived(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    room = 128 * r * (n + p + 2) + 2**20
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=room, dklen=32)


_NOBODY = _Hash(_N, _R, _P, bytes(16), bytes(32))

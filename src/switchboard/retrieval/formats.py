"""What a file may be: how much of it, of which kind, in which encoding, and under which name."""

from __future__ import annotations

import re
import unicodedata

from charset_normalizer import from_bytes

from switchboard.errors import KnowledgeError

MAX_BYTES = 10_000_000
"""The most bytes of a file."""

MAX_CHARACTERS = 500_000
"""The most characters of a document's text, some 250 printed pages."""

MAX_NAME = 80
"""The most characters of a name that `safe_name` makes, its suffix counted."""

_KINDS = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "a zip archive or an Office file",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!\x1a": "a RAR archive",
    b"\xd0\xcf\x11\xe0": "an old or a password-protected Office file",
    b"{\\rtf": "a Rich Text file",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF87a": "a GIF picture",
    b"GIF89a": "a GIF picture",
    b"\x7fELF": "a program",
}
_CODE_PAGES = ["cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "koi8_r"]
_MAX_CHAOS, _MIN_COHERENCE = 0.03, 0.4
_GUESSED_FROM = 100_000
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_UNSAFE = re.compile(r'[<>:"|?*#%\s]+')
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")


def kind(data: bytes) -> str:
    """What the first bytes say the file is, such as "a PDF", or nothing."""
    if data.startswith(b"MZ") and b"\0" in data[:1024]:
        return "a program"
    return next((name for start, name in _KINDS.items() if data.startswith(start)), "")


def decoded(source: str, data: bytes) -> str:
    """The text with \\n as its only line end, which is what the Markdown parser counts lines by.

    UTF-8, UTF-16 with its mark, or a code page that can be told for sure. Raises KnowledgeError for anything else.
    """
    if other := kind(data):
        raise KnowledgeError(f"{source} is not a text file but {other}; give it the ending that it had.")
    encoding = next((name for mark, name in _BOMS.items() if data.startswith(mark)), "utf-8")
    if b"\0" in data and encoding != "utf-16":
        raise KnowledgeError(f"{source} is not a text file: it holds null bytes; save it as UTF-8.")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        guess = None if encoding == "utf-16" else _guessed(data)
        if guess is None:
            name = encoding.upper().removesuffix("-SIG")
            reason = f"byte {error.start} is not {name}; save it as UTF-8"
            raise KnowledgeError(f"{source} cannot be read: {reason}.") from error
        text = guess
    if "\0" in text:
        raise KnowledgeError(f"{source} is not a text file: it holds null characters; save it as UTF-8.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def clean(text: str) -> str:
    """Without the control characters and half characters that text never needs; tabs and line ends stay."""
    return _NOT_TEXT.sub("", text)


def too_long(source: str) -> KnowledgeError:
    """The refusal of a text over MAX_CHARACTERS."""
    return KnowledgeError(f"{source} is too long: at most {MAX_CHARACTERS:,} characters of text fit; split it.")


def safe_name(name: str) -> str:
    """A harmless source name for an uploaded file's name: one part of a path, visible, at most MAX_NAME characters.

    Its suffix is kept. What leaves nothing is called "document".
    """
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rstrip("/").rpartition("/")[2]
    seen = "".join(char for char in last if char.isspace() or unicodedata.category(char)[0] != "C")
    plain = _UNSAFE.sub(" ", seen).strip()
    stem, dot, ending = plain.rpartition(".")
    suffix = dot + ending
    if not _SUFFIX.fullmatch(suffix):
        stem, suffix = plain, ""
    stem = stem.strip(". ")[: MAX_NAME - len(suffix)].strip(". ")
    return (stem or "document") + suffix


def _guessed(data: bytes) -> str | None:
    """The text in the one code page that it reads well in, or None where two do or none does."""
    found = list(from_bytes(data[:_GUESSED_FROM], cp_isolation=_CODE_PAGES))
    if not found or found[0].chaos > _MAX_CHAOS or found[0].coherence < _MIN_COHERENCE:
        return None
    best = found[0]
    if any(other.coherence >= best.coherence and str(other) != str(best) for other in found[1:]):
        return None
    try:
        return data.decode(best.encoding)
    except UnicodeDecodeError:
        return None

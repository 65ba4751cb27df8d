"How the readers of strangers' files refuse them: one line that says what is wrong."
import struct
import zipfile
import zlib
from tokenize import TokenError

from ..core import InputError

__all__: list[str] = []

BROKEN = (OSError, EOFError, ValueError, RuntimeError, KeyError,
          OverflowError, MemoryError, TokenError, zipfile.BadZipFile,
          zlib.error, struct.error)   # what a damaged archive or image raises


def require(
    fact: object,    # true or false
    otherwise: str,  # names file or argument, what is expected, what found
):
    "InputError unless a fact holds."
    if not fact: raise InputError(otherwise)


def printable(
    text: str,
) -> str:  # as long
    "Text without what a terminal obeys or UTF-8 cannot hold."
    return ''.join(c if c.isprintable() else '?' for c in text)


def one_line(
    reason: Exception | str,
) -> str:  # at most 160 printable characters
    "A reason that fits into the one line of an error."
    text = printable(' '.join(str(reason).split())) or type(reason).__name__
    return text if len(text) <= 160 else text[:157] + '...'

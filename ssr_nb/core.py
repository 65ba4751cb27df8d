"What every room uses: one kind of error, files written wholly or not at all."
import json
import os
import secrets
from contextlib import contextmanager
from pathlib import Path

MAX_JSON = 16 << 20  # bytes; of empty lists this takes 400 MB


class InputError(ValueError):
    "A user's file, field or argument is wrong: one line, names it, says why."
    def __init__(self, message: str):
        shown = (c if c.isprintable() else ' ' if c.isspace() else '?'
                 for c in str(message))   # nothing that a terminal obeys
        super().__init__(' '.join(''.join(shown).split()))


class MeshWarning(UserWarning):
    "A file was read or written, but not all of it: one line that names it."


def check_choice(
    name: str,          # of the argument or field
    value,              # anything
    known: tuple,       # what it may be
):
    "InputError unless the value is one of a few."
    if value not in known:
        raise InputError(f'{name}: expected one of {tuple(known)}, '
                         f'found {value!r}')


def check_file(
    path,  # of a file that shall be read
) -> Path:
    "InputError unless a regular file: no pipe or device, no broken link."
    path = Path(path)
    try:
        if path.is_file(): return path
        there = os.path.lexists(path)
    except (OSError, ValueError) as error:   # too long, or NUL in it
        raise InputError(f'{path}: {error}') from None
    raise InputError(f'{path}: ' + ('not a regular file' if there
                                    else 'no such file'))


def read_json(
    path,    # a JSON file
):           # what it says: objects, lists, words and numbers
    "Parse a JSON file. InputError when it is missing, too large or none."
    if os.path.lexists(path): check_file(path)
    try:
        with open(path, 'rb') as file: text = file.read(MAX_JSON + 1)
        if len(text) > MAX_JSON: raise ValueError(f'over {MAX_JSON} bytes')
        return json.loads(text.decode('utf-8'))
    except (ValueError, RecursionError) as error:
        raise InputError(f'{path}: not JSON ({str(error)[:160]})') from None
    except OSError as error:
        raise InputError(f'{path}: {error.strerror or error}') from None


def _flush(path: Path):
    "Push a file, or a folder's list of names, to the disk."
    handle = os.open(path, os.O_RDONLY)
    try: os.fsync(handle)
    finally: os.close(handle)


@contextmanager
def atomic_write(
    path,  # the file to write; its folder exists
):         # yields a Path beside it, of the same suffix, to write to
    "Write `path` wholly or not at all. InputError when it has no folder."
    path = Path(path)
    if path.is_dir(): raise InputError(f'{path}: is a folder, not a file')
    if not path.parent.is_dir():
        raise InputError(f'{path}: the folder {path.parent} does not exist')
    name = f'.{path.stem[:80]}.{secrets.token_hex(4)}.tmp{path.suffix}'
    temporary = path.with_name(name)
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == 'posix': _flush(path.parent)


def write_text(
    path: Path,
    text: str,
):
    "Replace a text file, all or nothing."
    with atomic_write(path) as temporary:
        Path(temporary).write_text(text, encoding='utf-8')

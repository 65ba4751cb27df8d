"What all commands share: one line for an error, options from dataclasses."
import difflib
import errno
import io
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import tyro
from tyro.conf import FlagCreatePairsOff, arg

from .. import core
from ..config import PRESETS
from ..core import InputError, MeshWarning, read_json
from ..shapes import CATEGORIES

__all__: list[str] = []

T = TypeVar('T')
File = Annotated[Path, arg(metavar='FILE')]
Folder = Annotated[Path, arg(metavar='FOLDER')]
OptionalFile = Annotated[Path | None, arg(metavar='FILE')]
OptionalFolder = Annotated[Path | None, arg(metavar='FOLDER')]
Flag = FlagCreatePairsOff[bool]
Device = Literal['cpu', 'cuda']
if TYPE_CHECKING: Preset = str
else: Preset = Literal[tuple(PRESETS)]


@dataclass(frozen=True, kw_only=True)
class Training:
    "What every command that trains can be told."
    # where all values below start from: medium takes an hour of a core, paper
    # wants a GPU; ring is our best rule, past the paper (chapter 13)
    preset: Preset = 'small'
    device: Device = 'cpu'       # where to train
    # of the CPU; more are often slower, but speed up validation beside a GPU
    threads: int = 1
    quiet: FlagCreatePairsOff[bool] = False   # no progress bar

# ---------------------------------------------------------------- messages --
BAD_FILES = {getattr(errno, name) for name in (
    'ENOENT EACCES EPERM EISDIR ENOTDIR EEXIST ENOSPC EDQUOT EROFS '
    'ENAMETOOLONG ENOTEMPTY EFBIG ELOOP ENXIO').split() if hasattr(errno, name)}


def printable(
    text: object,
) -> str:   # the same lines, with ? for what a terminal would obey
    "A text without control characters and halves of characters."
    return ''.join(c if c.isprintable() or c == '\n' else '?' for c in str(text))


def say(*lines: object):
    "Print to the user; names in it may come from strangers' files."
    for line in lines: print(printable(line))


def error_line(
    error: Exception,
) -> str | None:   # one line; None: it is not the input that is wrong
    "What to tell the user about an error."
    if isinstance(error, InputError): text = str(error)
    elif isinstance(error, OSError) and error.errno in BAD_FILES:
        where = f'{os.fsdecode(error.filename)}: ' if isinstance(
            error.filename, str | bytes) else ''
        text = where + (error.strerror or str(error)).lower()
    else: return None
    return printable(' '.join(text.split()))


@contextmanager
def warnings_as_lines(
    name: str,   # of the command
) -> Iterator[None]:
    "Show what is left out of a mesh as a line on stderr, each once."
    with warnings.catch_warnings():
        other = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any,
                 **more: Any):
            if not issubclass(category, MeshWarning):
                return other(message, category, *rest, **more)
            print(f'{name}: {printable(" ".join(str(message).split()))}',
                  file=sys.stderr)

        warnings.simplefilter('default', MeshWarning)
        warnings.showwarning = show
        yield


def command(
    name: str,   # as typed in a shell
) -> Callable[[Callable[[list[str]], int | None]], Callable[..., int]]:
    """Make a console command of a function of the words behind its name.

    It returns an exit code: 0, 2 after one line about wrong input, or 130 after
    an interrupt. A bug stays a traceback.
    """
    def decorate(body: Callable[[list[str]], int | None]) -> Callable[..., int]:
        @wraps(body)
        def run(argv: Sequence[object] | None = None) -> int:
            words = sys.argv[1:] if argv is None else [str(w) for w in argv]
            try:
                with warnings_as_lines(name): return body(words) or 0
            except SystemExit as leave:
                if leave.code: raise
                return 0
            except KeyboardInterrupt as stop:
                print(f'{name}: {printable(stop) or "stopped"}', file=sys.stderr)
                return 130
            except BrokenPipeError:   # the reader has left, as in | head
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, sys.stdout.fileno())
                return 141
            except (InputError, OSError) as error:
                if (line := error_line(error)) is None: raise
                print(f'{name}: {line}', file=sys.stderr)
                return 2
        return run
    return decorate


@contextmanager
def signals_interrupt() -> Iterator[None]:
    "SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does."
    with handle_signals(signal.default_int_handler): yield


@contextmanager
def handle_signals(
    handler: Callable[[int, Any], Any],
) -> Iterator[None]:
    "Give Ctrl-C, SIGTERM and SIGHUP a handler; a signal that is ignored stays so."
    before: dict[int, Any] = {}
    for name in ('SIGINT', 'SIGTERM', 'SIGHUP'):
        number = getattr(signal, name, None)   # Windows has no SIGHUP
        if number is None or signal.getsignal(number) is signal.SIG_IGN: continue
        try: before[number] = signal.signal(number, handler)
        except ValueError: break   # not in the main thread: as it was
    try: yield
    finally:
        for number, old in before.items(): signal.signal(number, old)


# ----------------------------------------------------------------- options --
def strip_box(
    box: str,   # what tyro prints about words that it cannot use
) -> str:       # its first paragraph, in one line
    "Take title and frame off an error message."
    paragraphs = ['']
    for line in box.splitlines()[1:]:
        words = line.strip('│╰╯ ')
        if set(words) <= set('─-'): paragraphs.append('')
        else: paragraphs[-1] += f'{words} '
    first = ' '.join(next(filter(None, paragraphs), box).split())
    return first.removeprefix('Error parsing ').removesuffix('.')


def unknown_option(
    words: list[str],   # behind the command's name
    show_help: Callable[[list[str]], Any],   # of words, on stdout
) -> str:               # empty when each is known
    "The first option that a command has not, and the nearest that it has."
    shown = io.StringIO()
    first = [word for word in words[:1] if not word.startswith('-')]   # make, …
    with redirect_stdout(shown), redirect_stderr(io.StringIO()):
        try: show_help([*first, '--help'])
        except SystemExit: pass
    known = set(re.findall(r'(?<![\w.-])--[\w.-]*\w', shown.getvalue()))
    for word in words if known else ():
        name = word.partition('=')[0]
        if name.startswith('--') and name.replace('_', '-') not in known:
            return f'{name}: no such option{did_you_mean(name, known)}'
    return ''


def parse(
    options: Any,          # a dataclass, or several as subcommands
    words: list[str],      # behind the command's name
    name: str,             # of the command
    **kw: Any,             # more for tyro.cli: default, description
) -> Any:                  # an instance; --help exits with 0
    "Words to options. InputError says in one line what is wrong."
    shown = io.StringIO()

    def read(args: list[str]) -> Any:
        return tyro.cli(options, args=args, prog=name, **kw)
    try:
        with redirect_stderr(shown): return read(words)
    except InputError as error:   # a dataclass that refuses its field
        raise InputError(f'{error} (see {name} --help)') from None
    except SystemExit as leave:
        if not leave.code: raise
    wrong = unknown_option(words, read) or strip_box(shown.getvalue())
    raise InputError(f'{wrong} (see {name} --help)')


def find_word(
    words: Sequence[str],
    option: str,         # --preset
) -> str | None:         # none: it is not among the words
    "What follows an option the last time that it is given."
    found = None
    for word, following in zip(words, [*words[1:], '']):
        name, equals, value = word.partition('=')
        if name == option: found = value if equals else following
    return found


def find_preset(words: Sequence[str]) -> str:
    "The preset that some words name; the parser will refuse others."
    preset = find_word(words, '--preset') or ''
    return preset if preset in PRESETS else 'small'


def check_device(device: Device):
    "InputError unless the device is there."
    import torch
    if device == 'cuda' and not torch.cuda.is_available():
        raise InputError('--device: there is no CUDA device here')


def did_you_mean(
    word: str,
    known: Iterable[str],
) -> str:   # to add to an error; empty when nothing is near
    "The nearest of some words, as a question."
    near = difflib.get_close_matches(word.lower(), list(known), 1)
    return f' (did you mean {near[0]}?)' if near else ''


# ------------------------------------- checks that answer before torch does --
def check_least(**options: tuple[int, int]):   # option=(value, least)
    "InputError naming an option below its least value."
    for name, (value, least) in options.items():
        if value < least:
            raise InputError(f'--{name.replace("_", "-")}: expected at least '
                             f'{least}, found {value}')


def check_category(
    folder: Path,             # of a data set
    category: str,            # name or WordNet id
    splits: Collection[str],  # that are needed
) -> str:                     # as the files have it
    "InputError unless a data set has files of a category."
    from ..data.npz import find_name, list_splits, split_file
    try: name = find_name(folder, category)
    except InputError as error:
        there = {name for name, _ in list_splits(folder)}
        words = {word for word, number in CATEGORIES.items() if number in there}
        raise InputError(f'{error}{did_you_mean(category, there | words)}'
                         ) from None
    for split in splits:
        for kind in ('images', 'voxels'):
            path = split_file(folder, name, split, kind)
            if not path.is_file(): raise InputError(f'{path}: no such file')
    return name


def check_run(
    folder: Path,
) -> str:   # category that its network was trained on
    "InputError unless a folder is that of a run with weights."
    if not folder.is_dir(): raise InputError(f'{folder}: no such run folder')
    path = folder/'config.json'
    if not path.is_file():
        raise InputError(f'{folder}: no run folder (it has no config.json)')
    about = read_json(path)
    if not isinstance(about, dict) or not isinstance(about.get('category'), str):
        raise InputError(f'{path}: names no category')
    check_weights(folder)
    return about['category']


def check_weights(
    run: Path,   # run folder, or a .safetensors file
):
    "InputError unless there are weights."
    path = run if run.suffix == '.safetensors' else run/'reconstructor.safetensors'
    if not path.is_file(): raise InputError(f'{path}: no such weights')


def check_file(
    path: Path,
    option: str = '',   # that names it
):
    "InputError unless a regular file is there."
    try: core.check_file(path)
    except InputError as error:
        raise InputError(f'{option}: {error}' if option else str(error)) from None


def check_out(
    path: Path,         # a file to write
    option: str = '--out',
):
    "InputError unless a file can have its place."
    if path.is_dir():
        raise InputError(f'{option}: {path}: is a folder, not a file')
    if not path.absolute().parent.is_dir():
        raise InputError(f'{option}: {path}: the folder {path.parent} does not '
                         'exist')


def check_labeled(
    labeled: int,   # objects; 0: all
    count: int,     # objects to train on
    category: str,
):
    "InputError when there are not so many."
    if labeled > count:
        raise InputError(f'--labeled: expected at most {count}, the training '
                         f'objects of {category}, or 0 for all of them, found '
                         f'{labeled}')


def show_objects(
    items: list[T],
) -> Iterator[T]:
    "The items again, with a progress bar around them."
    from ..progress import progress_bar
    bar = progress_bar(len(items), 'objects', leave=False)
    for item in items:
        yield item
        bar.update()
    bar.close()

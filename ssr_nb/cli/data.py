"ssr_data: make, check or list a data set."
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import sys
import tyro
from tyro.conf import Positional, arg

from ..core import InputError
from ..shapes import CATEGORIES
from .shell import Folder, command, did_you_mean, parse, say, show_objects

__all__: list[str] = []


@dataclass(frozen=True)
class Make:
    """Make a data set, of built-in shapes or of meshes.

    For example
      ssr_data make shapes --categories plane chair --count 40
      ssr_data make mine --meshes models
      ssr_data make furniture --meshes Scopia.sh3f KatorLegaz.sh3f

    where models holds one folder of mesh files for each category, and
    .sh3f files are libraries of Sweet Home 3D; a .deb with such libraries
    in it will do, too.
    """
    folder: Positional[Folder]   # to make: new or empty
    # folder of <category>/<any name>.obj, .glb, …, or .sh3f and .deb
    # files; none: built-in shapes
    meshes: Annotated[tuple[Path, ...] | None, arg(metavar='PATH …')] = None
    categories: tuple[str, ...] = ()   # names, e.g. plane chair; none: all
    # objects of each category; none: 100 built-in ones, or all meshes
    count: int | None = None
    seed: int = 0                # another number, other shapes and splits
    up: str = '+y'               # axis that points up in your meshes
    front: str = '+z'            # axis that points to the front in them
    # words that tell a category in .sh3f files, e.g. bed=bed,crib
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    "Look for missing, damaged and disagreeing files in a data set."
    folder: Positional[Folder]   # of a data set


@dataclass(frozen=True)
class Info:
    "List the categories and splits of a data set."
    folder: Positional[Folder]   # of a data set


Data = (Annotated[Make, tyro.conf.subcommand('make')]
        | Annotated[Check, tyro.conf.subcommand('check')]
        | Annotated[Info, tyro.conf.subcommand('info')])


def check_make(o: Make):
    "InputError for what is wrong and can be seen without torch."
    if o.folder.exists() and not (o.folder.is_dir()
                                  and not any(o.folder.iterdir())):
        raise InputError(f'{o.folder}: expected a new or an empty folder')
    if o.meshes == (): raise InputError('--meshes: no path given')
    for path in o.meshes or ():
        if not path.exists():
            raise InputError(f'--meshes: {path}: no such file or folder')
    if o.count is not None and o.count < 3:
        raise InputError(f'--count: expected 3 or more, found {o.count}')
    for option, axis in (('--up', o.up), ('--front', o.front)):
        if not re.fullmatch('[+-]?[xyz]', axis):
            raise InputError(f'{option}: expected +x, -x, +y, -y, +z or -z, '
                             f'found {axis!r}')
    for name in o.categories if o.meshes is None else ():
        if name not in CATEGORIES:
            raise InputError(f'--categories: {name!r}: expected some of '
                             f'{", ".join(CATEGORIES)}'
                             f'{did_you_mean(name, CATEGORIES)}')


def make_data(o: Make):
    "Make a data set and say what was left out."
    from ..data import make_dataset
    sources: Any = o.meshes[0] if o.meshes and len(o.meshes) == 1 else o.meshes
    record = make_dataset(
        o.folder, sources, o.categories or None, o.count, o.seed,
        progress=show_objects, up=o.up, front=o.front, kinds=o.kinds)
    for left in record['skipped']:
        say(f'left out: {left["name"]}: {left["reason"]}')
    if others := len(record.get('unmapped', ())):
        say(f'left out: {others} models whose names say no category: '
            'see "unmapped" in dataset.json, and --kinds')


def check_data(folder: Path):
    "Print every problem of a data set. InputError when there is one."
    from ..data import check_dataset
    problems = check_dataset(folder)
    say(*problems)
    if problems: raise InputError(f'{folder}: problems: {len(problems)}')
    say(f'{folder}: no problems')


def list_data(folder: Path):
    "Print a line a split."
    from ..data import dataset_info
    from ..tables import markdown_table
    if not (rows := dataset_info(folder)):
        raise InputError(f'{folder}: no <name>_<split>_images.npz in it')
    say(markdown_table(rows))


@command('ssr_data')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "Make, check or list a data set."
    o = parse(Data, words, 'ssr_data',
              description='Data sets: make, check or list one.')
    if isinstance(o, Make): check_make(o)
    elif not o.folder.is_dir(): raise InputError(f'{o.folder}: no such folder')
    if isinstance(o, Check): check_data(o.folder)
    else:
        if isinstance(o, Make): make_data(o)
        list_data(o.folder)


if __name__ == '__main__': sys.exit(main())

"Chapters as they lie in nbs/: their order, cells, directives and modules."
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ['LIB', 'ROOT', 'Cell', 'chapter_paths', 'directives', 'exported_module',
           'read_cells']

LIB = 'ssr_nb'
ROOT = Path(__file__).resolve().parents[2]   # of the project


@dataclass(frozen=True)
class Cell:
    id: str
    source: str


def chapter_paths(
    root: Path = ROOT,
) -> list[Path]:
    "Notebooks with a number or a letter in front: 00 to 13, A to D."
    return sorted(root.glob('nbs/[0-9A-Z]*_*.ipynb'))


def read_cells(
    notebook: Path,
) -> list[Cell]:
    "The code cells of a notebook."
    found = json.loads(notebook.read_text(encoding='utf-8'))
    return [Cell(cell.get('id', str(n)), ''.join(cell['source']))
            for n, cell in enumerate(found['cells']) if cell['cell_type'] == 'code']


def directives(
    source: str,                 # a code cell
) -> tuple[list[str], str]:      # its directives, and the rest
    "Part the leading `#|` lines of a cell from its code."
    lines = source.split('\n')
    end = next((i for i, line in enumerate(lines)
                if not re.match(r'#\s*\|', line)), len(lines))
    found = [line.split('|', 1)[1].strip() for line in lines[:end]]
    return found, '\n'.join(lines[end:]).strip('\n')


def exported_module(
    cells: Iterable[Cell],
) -> str | None:   # 'raster.cpu', dotted, within the package
    "The module that a chapter writes, if it writes one."
    for cell in cells:
        for line in directives(cell.source)[0]:
            if found := re.fullmatch(r'default_exp\s+([\w.]+)', line): return found[1]
    return None

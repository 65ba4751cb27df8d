"""The book as a site that needs no network, now or in ten years.

    python -m ssr_nb._dev.site --out _docs
"""
import argparse
import ast
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from tqdm import tqdm

from ssr_nb._dev.chapters import (
    LIB,
    ROOT,
    chapter_paths,
    directives,
    exported_module,
    read_cells,
)
from ssr_nb._dev.imports import module_paths, room_of

__all__ = ['Name', 'build_site', 'chapters', 'dead_links', 'public_names']

HERE = Path(__file__).parent
WIDGET = 'application/vnd.jupyter.widget-view+json'
LIVE = 'MeshViewer', 'SimilarityExplorer', 'Fit'  # widgets of the site: live.py
PLOTLY = 'application/vnd.plotly.v1+json'
PARTS = {'The idea': ('00',), 'Rendering': ('01', '02', '03', '04', '05'),
         'Shape': ('06', '07', '08'), 'Viewpoints': ('09', '10', '11', '12', '13'),
         'Appendices': ('A', 'B', 'C', 'D')}
CONF = {   # of Sphinx
    'project': LIB, 'html_title': LIB,
    'extensions': ['myst_nb'], 'html_theme': 'sphinx_book_theme',
    'nb_execution_mode': 'off', 'nb_ipywidgets_js': {},
    'myst_enable_extensions': ['amsmath', 'dollarmath'],
    'myst_heading_anchors': 3, 'exclude_patterns': ['results/*.md'],
    'html_static_path': ['_static'], 'html_css_files': ['book.css'],
    'mathjax_path': 'mathjax/tex-svg-full.js',
    'html_copy_source': False, 'html_show_sphinx': False,
    'html_show_search_summary': False,  # fetched: a file may not do that
    'html_context': {'default_mode': 'auto'},
    'html_theme_options': {'use_download_button': False,
                           'use_fullscreen_button': False}}


# --- names -------------------------------------------------------------------

@dataclass(frozen=True)
class Name:
    name: str            # as one imports it
    module: str          # the module it comes from, without the package
    chapter: str | None  # stem of the notebook; None: a module written by hand
    line: int            # of its source, from 1
    doc: str             # first line of its documentation, or nothing

    @property
    def anchor(self) -> str:  # unique in the book
        return f'{self.module}.{self.name}'

    @property
    def source(self) -> str:  # its address
        return f'source/{self.module}.html#L-{self.line}'

    @property
    def home(self) -> str:    # where it is explained, or at least defined
        return f'{self.chapter}.html#{self.anchor}' if self.chapter else self.source


def constant_doc(
    source: str,                     # Python
    node: ast.Assign | ast.AnnAssign,
) -> str:                            # in one line
    "What the comment beside a constant says; without one, its value if short."
    line = source.splitlines()[node.lineno - 1]
    said = re.search(r"""#\s*([^'"]+)$""", line)
    if said: return said[1].strip()
    value = ast.unparse(node.value) if node.value else ''
    return f'= {value}' if 0 < len(value) <= 60 else ''


def definitions(
    source: str,                     # Python
) -> dict[str, tuple[int, str]]:     # name: (line, first line of its doc)
    "What a module defines at its top."
    found: dict[str, tuple[int, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            doc = (ast.get_docstring(node) or '').split('\n')[0]
            found[node.name] = node.lineno, doc
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            doc = constant_doc(source, node)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
                        found.setdefault(name.id, (name.lineno, doc))
    return found


def public(
    source: str,     # Python
) -> list[str]:
    "What a module lists in its __all__."
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


def chapters(
    root: Path = ROOT,      # the project
) -> dict[str, str | None]: # stem of each notebook: its module, if any
    "The chapters in their order."
    return {nb.stem: exported_module(read_cells(nb)) for nb in chapter_paths(root)}


def modules(
    root: Path = ROOT,          # the project
) -> dict[str, str | None]:     # name: stem of its chapter, if it has one
    "Modules: those of the book in its order, then those written by hand."
    book = {module: stem for stem, module in chapters(root).items() if module}
    plain = [name for name in module_paths(root)
             if name not in book and room_of(name) not in ('__init__', '_dev')]
    return {**book, **dict.fromkeys(plain)}


def public_names(
    root: Path = ROOT,   # the project
) -> list[Name]:         # in the order of the book
    "Everything public: what __all__ of each module lists and it defines."
    names, paths = [], module_paths(root)
    for module, chapter in modules(root).items():
        if module not in paths: continue
        source = paths[module].read_text(encoding='utf-8')
        defined = definitions(source)
        names += [Name(name, module, chapter, *defined[name])
                  for name in public(source) if name in defined]
    return names


# --- one page ----------------------------------------------------------------

def fold(
    cell: NotebookNode,  # a claim
    words: str,          # its sentence; nothing: shared by the claims
) -> None:
    "Fold a cell to one sentence."
    title = f'Claim: {words}' if words else 'Shared by the claims below'
    cell.metadata.tags = [*cell.metadata.get('tags', []), 'hide-cell']
    cell.metadata.mystnb = {'code_prompt_show': title, 'code_prompt_hide': title}


def marker(
    names: list[Name],      # what a cell defines
) -> NotebookNode:          # the line above it
    "Names of an exported cell, each an anchor, with the way to the source."
    parts = [f'<code id="{n.anchor}">{n.name}</code>' for n in names]
    source = f'<a href="{names[0].source}">source</a>'
    return nbformat.v4.new_markdown_cell(
        f'<div class="exported"><span>{" ".join(parts)}</span>{source}</div>')


def link_names(
    text: str,              # Markdown
    chapter: str,           # stem of its notebook
    names: list[Name],
) -> str:                   # Markdown, with links
    "Link every `name` in the prose to its definition."
    places: dict[str, list[Name]] = {}
    for n in names: places.setdefault(n.name, []).append(n)
    def link(code: re.Match[str]) -> str:
        found = places.get(code[1].split('(')[0], [])
        here = [n for n in found if n.chapter == chapter]
        if len(found := here or found) != 1: return code[0]
        home = f'#{found[0].anchor}' if here else found[0].home
        return (f'<a class="name" href="{home}"><code>'
                f'{html.escape(code[1])}</code></a>')
    outside_links = r'(?<![\[`])`([A-Za-z_]\w*(?:\([^`]*\))?)`(?![\]`])'
    fences = re.split(r'(?ms)(^```.*?^```|<details>.*?</details>)', text)
    return ''.join(part if i % 2 else re.sub(outside_links, link, part)
                   for i, part in enumerate(fences))


def link_headings(
    text: str,  # Markdown of a notebook
) -> str:       # Markdown of the site
    "Links to headings, as the site addresses them."
    def slug(link: re.Match[str]) -> str:
        place = re.sub(r'[^\w-]', '', unquote(link[2]).lower())
        return f']({link[1]}#{place})'
    return re.sub(r'\]\((\w*\.?(?:ipynb)?)#([^)]+)\)', slug, text)


def page(
    nb: NotebookNode,    # a chapter
    chapter: str,        # stem of its notebook
    names: list[Name],   # everything public
) -> NotebookNode:       # the same, as the site shows it
    "A chapter without directives: claims folded, names marked and linked."
    nb, cells = nbformat.from_dict(nb), []
    own = {n.name: n for n in names if n.chapter == chapter}
    for cell in nb.cells:
        if cell.cell_type == 'markdown':
            text = link_headings(cell.source)
            cell.source = link_names(text, chapter, names)
            cells.append(cell)
        elif cell.cell_type == 'code': cells += code_cells(cell, own)
    nb.cells = cells
    return nb


def code_cells(
    cell: NotebookNode,       # a code cell
    own: dict[str, Name],     # public names of its chapter
) -> list[NotebookNode]:      # what the site shows of it
    "One code cell, with the line above it if it exports."
    found, source = directives(cell.source)
    words = {d.split()[0].rstrip(':'): d for d in found if d}
    if 'default_exp' in words or 'hide' in words: return []
    cell.source, above = source, []
    if 'test' in words: fold(cell, words['test'].removeprefix('test').strip())
    if words.get('echo') == 'echo: false': cell.metadata.tags = ['remove-input']
    if {'export', 'exporti'} & words.keys():   # of the latter, what _all_ lists
        defined = [own[n] for n in definitions(source) if n in own]
        above = [marker(defined)] if defined else []
    return [*above, cell, *plotly_cells(cell), *live_cells(cell)]


def live_html(name: str) -> str:   # of LIVE
    "The place of a widget that lives on the site."
    return (f'<div class="live" data-widget="{name}"></div>'
            f'<script src="_static/live/{name}.js"></script>')


def plotly_cells(
    cell: NotebookNode,       # a code cell; its figures become pictures
) -> list[NotebookNode]:      # what puts the figures to turn in their place
    "Figures of plotly: a picture, until a script of the site replaces it."
    figures = [output['data'].pop(PLOTLY) for output in cell.outputs
               if PLOTLY in output.get('data', {})]
    cells = []
    for figure in figures:
        found = json.dumps(figure).replace('</', '<\\/')
        cells.append(nbformat.v4.new_markdown_cell(
            '<div class="plotly"></div><script src="_static/plotly.min.js"></script>'
            '<script src="_static/plotly_figure.js"></script>'
            f'<script>showFigure({found});</script>'))
    return cells


def live_cells(
    cell: NotebookNode,       # a code cell; its outputs may be taken away
) -> list[NotebookNode]:      # none, or the living widget
    "The place of a widget that lives on the site."
    shows = any(WIDGET in output.get('data', {}) for output in cell.outputs)
    used = [n for n in LIVE if re.search(rf'\b{n}\(', cell.source)]
    if not (shows and used): return []
    cell.outputs = []
    return [nbformat.v4.new_markdown_cell(
        f'{live_html(used[0])}\n\n*Python does not run on this page: the answers were computed for '
        'a few positions of the sliders, and the nearest is shown.*')]


def source_page(
    module: str,
    source: str,           # its Python
    chapter: str | None,   # stem of its notebook
) -> str:                  # Markdown
    "The source of a module, each line with an address."
    form: Any = HtmlFormatter(linenos='inline', lineanchors='L', anchorlinenos=True,
                              cssclass='highlight source')
    origin = (f'Generated from [{chapter}](../{chapter}.ipynb).' if chapter
              else 'Written by hand.')
    return (f'# {LIB}.{module}\n\n{origin}\n\n```{{raw}} html\n'
            f'{highlight(source, PythonLexer(), form)}```\n')


def names_page(
    names: list[Name],
) -> str:               # Markdown
    "Everything public: what it is, its chapter, its source."
    lines = ['# Every name\n']
    for module in dict.fromkeys(n.module for n in names):
        lines.append(f'\n## {LIB}.{module}\n\n'
                     '| name | what it is | source |\n|---|---|---|')
        for n in names:
            if n.module != module: continue
            doc = n.doc.replace('|', '\\|').replace('$', '\\$')
            lines.append(
                f'| <a href="{n.home}"><code>{n.name}</code></a> | {doc} '
                f'| <a href="{n.source}">{module}.py:{n.line}</a> |')
    return '\n'.join(lines) + '\n'


# --- the book ----------------------------------------------------------------

def toctree(
    pages: Iterable[str],    # without their endings
    caption: str = '',
) -> str:                    # Markdown
    "A part of the table of contents."
    head = f':caption: {caption}\n' if caption else ''
    return '\n'.join(['```{toctree}', f':hidden:\n{head}', *pages, '```\n'])


def contents(
    stems: dict[str, str],  # of all chapters: their titles
) -> str:                   # Markdown
    "The table of contents: the parts of the book and their chapters, numbered."
    parts = {caption: [f'{s.split("_")[0]} · {title} <{s}>'
                       for s, title in stems.items() if s.split('_')[0] in numbers]
             for caption, numbers in PARTS.items()}
    return '\n'.join(toctree(pages, caption) for caption, pages in
                     {**parts, 'Reference': ['names']}.items() if pages)


def title_of(
    nb: NotebookNode,
    stem: str,         # of its name, should it have no title
) -> str:
    "The first heading of a notebook."
    texts = (cell.source for cell in nb.cells if cell.cell_type == 'markdown')
    found = re.search(r'(?m)^# +(.+)$', '\n'.join(texts))
    return re.sub(r'[`*<>]', '', found[1]) if found else stem


def mathjax() -> Path:  # a script that needs no other file
    "MathJax, as installed with the extra `docs`."
    found = find_spec('sphinx-mathjax-offline')
    if not (found and found.submodule_search_locations):
        raise FileNotFoundError("no MathJax: pip install 'ssr_nb[docs]'")
    folder = Path(found.submodule_search_locations[0])
    return folder/'static'/'mathjax'/'tex-svg-full.js'


def plotly_script() -> Path:
    "The one file of plotly.js that comes with its wheel."
    found = find_spec('plotly')
    if not (found and found.submodule_search_locations):
        raise FileNotFoundError("no plotly: pip install 'ssr_nb[docs]'")
    return Path(found.submodule_search_locations[0])/'package_data'/'plotly.min.js'


def write_pages(
    root: Path,    # the project
    book: Path,    # where Sphinx will read
) -> None:
    "The notebooks as pages, the sources, the index of names."
    names, paths = public_names(root), module_paths(root)
    titles: dict[str, str] = {}
    for stem in (*chapters(root), 'index'):
        nb = nbformat.read(root/'nbs'/f'{stem}.ipynb', 4)
        shown = page(nb, stem, names)
        if stem == 'index':
            first = nbformat.v4.new_markdown_cell(live_html('Fit'))
            shown.cells.insert(1, first)
            shown.cells.append(nbformat.v4.new_markdown_cell(contents(titles)))
        else: titles[stem] = title_of(nb, stem)
        nbformat.write(shown, book/f'{stem}.ipynb')
    found = modules(root)
    for module, chapter in found.items():
        source = paths[module].read_text(encoding='utf-8')
        (book/'source'/f'{module}.md').write_text(source_page(module, source, chapter))
    pages = [f'source/{module}' for module in found]
    (book/'names.md').write_text(names_page(names) + toctree(pages))


def write_sources(
    root: Path,    # the project
    book: Path,    # a folder, made here
) -> None:
    "Everything that Sphinx reads."
    from ssr_nb._dev import live   # computes on import's heels: seconds
    static = book/'_static'
    for folder in (book/'source', static/'mathjax', static/'live'):
        folder.mkdir(parents=True)
    write_pages(root, book)
    for name in 'results', 'index_files':
        if (root/'nbs'/name).is_dir(): shutil.copytree(root/'nbs'/name, book/name)
    makers: dict[str, Callable[[], dict[str, Any]]] = live.LIVE
    for name in LIVE:
        (static/'live'/f'{name}.js').write_text(live.live_script(makers[name]()))
    (book/'conf.py').write_text(
        ''.join(f'{name} = {value!r}\n' for name, value in CONF.items()))
    for file in (HERE/'book.css', HERE/'plotly_figure.js', plotly_script()):
        shutil.copy(file, static)
    shutil.copy(mathjax(), static/'mathjax')


def run_sphinx(
    book: Path,      # what it reads
    built: Path,     # where it writes
    trees: Path,     # for what it has read
) -> None:
    "Print pages, with a bar on a terminal; RuntimeError with its warnings."
    command = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '--no-color',
               '-d', str(trees), '-b', 'html', str(book), str(built)]
    with tempfile.TemporaryFile('w+') as wrong:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=wrong,
                                   text=True)
        assert process.stdout is not None
        with tqdm(total=200, unit='%', disable=None, leave=False) as bar:
            for line in process.stdout:
                if not (at := re.match(r'(reading|writing).*\[ *(\d+)%\]', line)): continue
                bar.set_description(at[1])
                bar.update(100*(at[1] == 'writing') + int(at[2]) - bar.n)
        if process.wait():
            wrong.seek(0)
            raise RuntimeError(wrong.read().replace(f'{book}/', ''))


def build_site(
    root: Path,  # the project
    out: Path,   # what was there is replaced
) -> None:
    "Print the book to out/index.html. RuntimeError names a dead link."
    with tempfile.TemporaryDirectory() as folder:
        book, built = Path(folder)/'book', Path(folder)/'built'
        write_sources(root, book)
        run_sphinx(book, built, Path(folder)/'doctrees')
        if out.exists(): shutil.rmtree(out)
        shutil.copytree(built, out)


class Anchors(HTMLParser):
    "The links of a page and the places that can be linked to."
    def __init__(self, source: str):
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = {''}
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value is not None}
        self.places |= {found[name] for name in ('id', 'name') if name in found}
        if tag == 'a' and 'href' in found: self.links.add(found['href'])


def dead_links(
    site: Path,    # a folder of pages
) -> list[str]:    # page: link
    "Relative links that lead nowhere."
    pages = {path: Anchors(path.read_text(encoding='utf-8'))
             for path in sorted(site.rglob('*.html'))}
    dead = []
    for path, anchors in pages.items():
        for link in sorted(anchors.links):
            to, _, place = unquote(link).partition('#')
            if re.match('[a-z]+:', to): continue
            target = (path.parent/to).resolve() if to else path
            found = (place in pages[target].places if target in pages
                     else target.exists())
            if not found: dead.append(f'{path.relative_to(site)}: {link}')
    return dead


def main(
    words: Sequence[str] | None = None,  # None: those of the shell
) -> None:
    "The book as a site that needs no network."
    parser = argparse.ArgumentParser(
        prog='python -m ssr_nb._dev.site', description=main.__doc__)
    parser.add_argument('--out', type=Path, default=Path('_docs'),
                        help='folder of the site (replaced)')
    args = parser.parse_args(words)
    try: build_site(ROOT, args.out)
    except (RuntimeError, OSError, ValueError) as reason: sys.exit(str(reason))
    print(args.out/'index.html')


if __name__ == '__main__': main()

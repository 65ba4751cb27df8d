"The site: what its pages are made of. In a browser: test_browser_site.py."
import base64
import json
import re

import nbformat

from ssr_nb._dev.chapters import ROOT
from ssr_nb._dev.imports import module_paths
from ssr_nb._dev.site import (
    Name,
    chapters,
    contents,
    dead_links,
    definitions,
    link_headings,
    link_names,
    names_page,
    page,
    plotly_script,
    public,
    public_names,
    title_of,
)


def book(*cells):
    "A notebook of (kind, source) cells."
    new = {'md': nbformat.v4.new_markdown_cell, 'code': nbformat.v4.new_code_cell}
    return nbformat.v4.new_notebook(cells=[new[kind](source) for kind, source in cells])


def test_what_a_module_defines_is_found_by_reading():
    source = 'A, B = 1, 2\nC: int = 3\n\ndef f():\n    "First.\\n\\n    Second."\n    inner = 1\nclass D: pass\n'
    assert definitions(source) == {'A': (1, '= (1, 2)'), 'B': (1, '= (1, 2)'), 'C': (2, '= 3'), 'f': (4, 'First.'), 'D': (7, '')}


def test_a_constant_is_documented_by_its_comment_or_its_value():
    source = 'A = 1  # pixels\nB = dict(  # name: number\n    a=1)\nC = [\'x\']*9\nD = ' + repr('y'*80) + '\n'
    assert definitions(source) == {'A': (1, 'pixels'), 'B': (2, 'name: number'), 'C': (4, "= ['x'] * 9"), 'D': (5, '')}


def test_every_public_name_is_found_where_it_is_defined():
    names, paths = public_names(ROOT), module_paths(ROOT)
    by_anchor = {n.anchor: n for n in names}
    camera = next(stem for stem, module in chapters(ROOT).items() if module == 'camera')
    assert by_anchor['camera.look_at'].home == f'{camera}.html#camera.look_at'
    assert by_anchor['config.SSRConfig'].home.startswith('source/config.html#L-')
    lines = {module: path.read_text().splitlines() for module, path in paths.items()}
    for n in names: assert re.search(rf'\b{n.name}\b', lines[n.module][n.line - 1]), n
    for module in {n.module for n in names}:
        source = paths[module].read_text()
        listed = set(public(source)) & definitions(source).keys()
        assert listed == {n.name for n in names if n.module == module}


def test_names_in_the_prose_become_links_code_does_not():
    names = [Name('render', 'a', '00_a', 1, ''), Name('twice', 'a', '00_a', 2, ''), Name('twice', 'b', '01_b', 3, '')]
    text = 'Use `render` or `twice`, not `print`.\n```python\n`render`\n```\n[`render`](x)'
    assert link_names(text, '01_b', names) == ('Use <a class="name" href="00_a.html#a.render"><code>render</code></a> or '
        '<a class="name" href="#b.twice"><code>twice</code></a>, not `print`.\n```python\n`render`\n```\n[`render`](x)')
    assert '`twice`' in link_names('`twice`', '02_c', names)


def test_a_link_to_a_heading_is_in_small_letters_and_other_links_stay():
    assert link_headings('[a](#What-is-it?) [b](00_a.ipynb#A-b) [c](https://d.e/#F) [g](h.ipynb)') == (
        '[a](#what-is-it) [b](00_a.ipynb#a-b) [c](https://d.e/#F) [g](h.ipynb)')


def test_the_index_leads_to_chapter_and_source():
    text = names_page([Name('f', 'a', '00_a', 7, 'x | y'), Name('g', 'b', None, 1, '')])
    assert '<a href="00_a.html#a.f"><code>f</code></a> | x \\| y | <a href="source/a.html#L-7">a.py:7</a> |' in text
    assert '<a href="source/b.html#L-1"><code>g</code></a>' in text


def test_a_frozen_widget_holds_the_answer_of_every_combination_and_equal_ones_once():
    import anywidget
    import traitlets

    from ssr_nb._dev.live import Table, freeze
    class Sum(anywidget.AnyWidget):
        a = traitlets.Int(1).tag(sync=True)
        b = traitlets.Int(2).tag(sync=True)
        controls = traitlets.List([{'name': 'a'}, {'name': 'c'}]).tag(sync=True)
        picture = traitlets.Bytes().tag(sync=True)
        _esm = 'export default { render() {} }'
        @traitlets.observe('a', 'b')
        def add(self, change=None): self.picture = bytes([self.a + self.b])
    widget = Sum()
    found = freeze(widget, [Table({'a': [0, 1], 'b': [5, 6, 7]}, ('picture',))])
    pictures = [base64.b64decode(found['blobs'][row[0]['blob']]) for row in found['tables'][0]['rows']]
    assert [p[0] for p in pictures] == [5, 6, 7, 6, 7, 8] and len(set(found['blobs'])) == len(found['blobs']) == 5
    assert found['state']['a'] == 1 and (widget.a, widget.b) == (1, 2) and found['idle'] == ['c']


def test_the_captions_of_the_frozen_explorer_are_those_of_the_living_one():
    from ssr_nb._dev.live import live_explorer
    from ssr_nb.widgets import SimilarityExplorer, built_in_matches
    matches = built_in_matches(unlabeled=1, steps=1)
    frozen = live_explorer(matches)
    axes, answers, rows = (frozen['tables'][-1][k] for k in ('axes', 'answers', 'rows'))
    assert answers == ('caption',) and len(rows) == 24*24*5
    for row, column, place in (0, 0, 0), (7, 20, 2), (23, 5, 4):
        alive = SimilarityExplorer(matches, row=row, column=column, threshold=axes['threshold'][place])
        assert rows[(row*24 + column)*5 + place] == [alive.caption]


def test_a_page_shows_what_is_exported_and_folds_what_is_claimed():
    nb = book(('code', '#| default_exp a'), ('md', '# A\n`f`'), ('code', '#| export\ndef f(): pass'),
              ('code', '#| test f does nothing\n#| slow\nassert f() is None'), ('code', '#| echo: false\nf()'))
    shown = page(nb, '00_a', [Name('f', 'a', '00_a', 7, 'Nothing.')]).cells
    assert [c.cell_type for c in shown] == ['markdown', 'markdown', 'code', 'code', 'code']
    assert 'id="a.f"' in shown[1].source and 'href="source/a.html#L-7"' in shown[1].source
    assert shown[2].source == 'def f(): pass' and not shown[2].metadata.get('tags')
    assert shown[3].metadata.tags == ['hide-cell'] and shown[3].metadata.mystnb.code_prompt_show == 'Claim: f does nothing'
    assert shown[4].metadata.tags == ['remove-input'] and '#|' not in ''.join(c.source for c in shown)


def test_every_notebook_is_in_the_table_of_contents_once_with_its_number_and_title():
    text = contents({stem: f'Title of {stem}' for stem in chapters(ROOT)})
    assert sorted(re.findall(r'(?m)<(\w+)>$', text)) == sorted(chapters(ROOT))
    assert '02 · Title of 02_cameras <02_cameras>' in text and 'names' in text.split()
    assert title_of(book(('code', '1'), ('md', 'x\n# The `A` of B\ny')), 'a') == 'The A of B'
    assert title_of(book(('md', 'nothing')), '00_a') == '00_a'


def test_a_figure_of_plotly_is_a_picture_until_a_script_replaces_it():
    nb = book(('code', 'turnable(figure)'))
    data = {'application/vnd.plotly.v1+json': {'data': [{'text': '</script>'}], 'layout': {}}, 'image/png': 'AA'}
    nb.cells[0].outputs = [nbformat.v4.new_output('execute_result', data)]
    code, figure = page(nb, '00_a', []).cells
    assert set(code.outputs[0].data) == {'image/png'}
    assert '_static/plotly.min.js' in figure.source and figure.source.count('</script>') == 3
    assert json.loads(re.search(r'showFigure\((.*)\);', figure.source)[1].replace('<\\/', '</'))['data'][0]['text'] == '</script>'
    assert plotly_script().stat().st_size > 1e6


def test_the_widgets_that_live_on_the_site_are_those_that_are_frozen():
    from ssr_nb._dev import live, site
    assert set(site.LIVE) == set(live.LIVE)


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path/'a.html').write_text(
        '<a href="b.html#x">1</a> <a href="b.html#y">2</a> <a href="c.html">3</a> '
        '<a href="#z">4</a> <a href="https://e.com/#q">5</a> <i id="z"></i>')
    (tmp_path/'b.html').write_text('<p id="x">')
    assert dead_links(tmp_path) == ['a.html: b.html#y', 'a.html: c.html']

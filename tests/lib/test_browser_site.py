"The site in a browser without a network, and its widgets without Python."
import nbformat
import pytest
import torch

from ssr_nb._dev.chapters import ROOT
from ssr_nb._dev.lab import (
    Tab,
    expect,
    expect_picture,
    page_flaws,
    panel,
    press,
    shown,
)
from ssr_nb._dev.site import (
    PLOTLY,
    chapters,
    dead_links,
    plotly_cells,
    public_names,
)
from ssr_nb.mesh import Mesh, icosphere
from ssr_nb.shapes import make_shape
from ssr_nb.widgets.controls import on_white
from ssr_nb.widgets.mesh_viewer import Look, mesh_scene

CHAPTER = {module: stem for stem, module in chapters(ROOT).items()}


def page_with(site, widget):
    "The address of the page on which a widget lives."
    mark = f'data-widget="{widget}"'
    path, = (path for path in site.glob('*.html') if mark in path.read_text())
    return f'file://{path}'


@pytest.mark.browser
def test_every_page_of_the_site_is_whole_without_a_network(chromium, site):
    tab = Tab(chromium)
    pages = ['index', 'names', 'search', 'source/core', 'source/camera', *chapters(ROOT)]
    flaws = {name: page_flaws(tab, f'file://{site}/{name}.html') for name in pages}
    assert not any(flaws.values()), {k: v for k, v in flaws.items() if v}
    tab.page.goto(f'file://{site}/{CHAPTER["camera"]}.html')
    assert tab.page.locator('mjx-container').count() > 20
    tab.context.close()


@pytest.mark.browser
def test_a_page_that_is_not_whole_is_noticed(chromium, site):
    source = (site/f'{CHAPTER["siamvp"]}.html').read_text()
    def flaws_of(old, new):
        assert old in source
        broken = site/'broken.html'
        broken.write_text(source.replace(old, new, 1))
        tab = Tab(chromium)
        try: return ' '.join(page_flaws(tab, f'file://{broken}'))
        finally: broken.unlink(); tab.context.close()
    assert flaws_of('</head>', '</head>') == ''
    assert 'left this machine' in flaws_of('</head>', '<link rel="stylesheet" href="https://fonts.example.com/a.css"></head>')
    assert 'formulas are wrong' in flaws_of('\\(', '\\(\\nosuchcommand ')
    assert 'formulas are wrong' in flaws_of('\\(', '\\(\\right)')
    assert 'not drawn' in flaws_of('mathjax/tex-svg-full.js', 'mathjax/none.js')
    assert 'broken' in flaws_of('</body>', '<script>throw Error("broken")</script></body>')
    assert 'a directive' in flaws_of('<pre>', '<pre>#| export\n')


@pytest.mark.browser
def test_every_public_name_leads_to_its_chapter_and_its_source(chromium, site):
    assert dead_links(site) == []
    tab = Tab(chromium)
    tab.page.goto(f'file://{site}/names.html')
    names = public_names(ROOT)
    links = set(tab.page.locator('a[href]').evaluate_all(
        'links => links.map(a => a.getAttribute("href"))'))
    assert {n.home for n in names} | {n.source for n in names} <= links
    def in_sight(place):
        return 0 <= place.bounding_box()['y'] < tab.page.viewport_size['height']
    name = next(n for n in names if n.anchor == 'camera.look_at')
    tab.page.locator(f'a[href="{name.home}"]').click()
    place = tab.page.locator(f'[id="{name.anchor}"]')
    code = tab.page.locator('.cell:has(pre) pre', has_text='def look_at(').first
    assert 'def look_at(' in code.text_content()
    expect(lambda: in_sight(place), True)
    tab.page.locator('.exported', has=place).get_by_text('source').click()
    expect(lambda: tab.page.url.endswith(name.source), True)
    expect(lambda: in_sight(tab.page.locator(f'[id="L-{name.line}"]')), True)
    tab.check(); tab.context.close()


@pytest.mark.browser
def test_claims_are_folded_until_a_key_opens_them_and_the_search_finds_words_offline(chromium, site):
    tab = Tab(chromium)
    tab.page.goto(f'file://{site}/{CHAPTER["camera"]}.html')
    claim = tab.page.locator('details.hide', has_text='Claim: ').first
    code = claim.locator('pre').first
    assert not code.is_visible()
    claim.locator('summary').focus(); tab.page.keyboard.press('Enter')
    expect(code.is_visible, True)
    assert not code.text_content().startswith('#|')
    assert tab.page.locator('pre', has_text='def look_at(').first.is_visible()
    tab.page.goto(f'file://{site}/search.html?q=silhouette')
    tab.page.locator('#search-results li').first.wait_for()
    expect(lambda: tab.page.locator(f'#search-results a[href*="{CHAPTER["losses"]}.html"]').count() > 0, True)
    tab.check(); tab.context.close()


@pytest.mark.browser
def test_the_mesh_viewer_of_the_site_turns_and_softens_without_python(chromium, site):
    chair, sphere = make_shape('chair', torch.Generator().manual_seed(0)), icosphere(2)
    mesh = Mesh(.35*sphere.vertices, sphere.faces)
    def seen(**look): return mesh_scene(mesh, chair, Look(**look)).pixels
    tab = Tab(chromium)
    tab.page.goto(page_with(site, 'MeshViewer'))
    viewer = panel(tab, 'soft')
    soft = viewer.get_by_test_id('soft')
    look = dict(azimuth=150., elevation=20., sigma=1e-3, shows='against target', force=True)
    expect_picture(soft, seen(**look))
    press(tab, viewer.get_by_test_id('mesh'), 'ArrowLeft', 9)
    expect_picture(soft, seen(**look | dict(azimuth=-165.)))
    press(tab, viewer.get_by_test_id('sigma'), 'ArrowRight', 10)
    press(tab, viewer.get_by_test_id('shows-against target'), 'ArrowLeft')
    expect_picture(soft, seen(azimuth=-165., elevation=20., sigma=1e-2, shows='silhouette', force=True))
    with pytest.raises(AssertionError): expect_picture(soft, seen(azimuth=180., sigma=1e-2), within=.5)
    assert viewer.get_by_test_id('load').count() == 0
    tab.check(); tab.context.close()


@pytest.mark.browser
def test_the_front_page_has_a_sphere_that_becomes_a_car(chromium, site):
    tab = Tab(chromium)
    tab.page.goto(f'file://{site}/index.html')
    part = panel(tab, 'step')
    caption = lambda: part.get_by_test_id('caption').text_content()
    expect(lambda: caption().startswith('step 100:'), True)
    before = shown(part.get_by_test_id('mesh'))
    press(tab, part.get_by_test_id('step'), 'Home')
    expect(lambda: caption().startswith('step 0:'), True)
    expect(lambda: bool((shown(part.get_by_test_id('mesh')) != before).any()), True)
    numbers = tab.page.locator('.bd-sidebar-primary a').all_text_contents()
    assert any(text.strip().startswith('02 · ') for text in numbers)
    tab.check(); tab.context.close()


@pytest.mark.browser
def test_a_figure_of_plotly_is_drawn_without_a_network_and_is_a_picture_without_javascript(chromium, site):
    cell = nbformat.v4.new_code_cell('figure', outputs=[nbformat.v4.new_output('execute_result', {
        PLOTLY: {'data': [{'type': 'scatter', 'y': [1, 2]}], 'layout': {}}, 'image/png': 'AA'})])
    script = plotly_cells(cell)[0].source
    (site/'figure.html').write_text('<meta charset=utf-8><section><div class="cell_output"><img id="still" alt="still"></div>'
                                    f'<div>{script}</div></section>')
    tab = Tab(chromium)
    tab.page.goto(f'file://{site}/figure.html')
    tab.page.locator('.plotly .main-svg').first.wait_for()
    expect(tab.page.locator('#still').is_visible, False)
    tab.check(); tab.context.close()
    tab = Tab(chromium, java_script_enabled=False)
    tab.page.goto(f'file://{site}/figure.html')
    assert tab.page.locator('#still').get_attribute('hidden') is None and tab.page.locator('.plotly *').count() == 0
    tab.context.close(); (site/'figure.html').unlink()


@pytest.mark.browser
def test_the_matrix_of_the_site_shows_the_pair_of_a_cell_without_python(chromium, site):
    from ssr_nb._dev.live import site_matches
    matches = site_matches()
    tab = Tab(chromium)
    tab.page.goto(page_with(site, 'SimilarityExplorer'))
    explorer = panel(tab, 'matrix')
    def expect_cell(row, column):
        expect_picture(explorer.get_by_test_id('subject'), on_white(matches.images[row]))
        expect_picture(explorer.get_by_test_id('partner'), on_white(matches.references[0, column]))
        said = f'P(same) = {matches.similarity[row, 0, column]:.2f}'
        expect(lambda: said in explorer.get_by_test_id('caption').text_content(), True)
    expect_cell(6, 6)
    for key in ('ArrowDown', 'ArrowRight', 'ArrowRight'): press(tab, explorer.get_by_test_id('matrix'), key)
    expect_cell(7, 8)
    tab.check(); tab.context.close()

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from fake_runs import box_split, tiny_model, write_run
from matplotlib import rc_context
from PIL import Image
from torch.testing import assert_close

from ssr_nb._dev.lab import Tab
from ssr_nb.display import figure_png, straight_alpha
from ssr_nb.figures import (
    METHOD_COLORS,
    curves_figure,
    cycles_figure,
    figure_theme,
    gallery,
    gallery_figure,
    image_uri,
)
from ssr_nb.render import render_views
from ssr_nb.reconstruct import reconstruction_iou
from ssr_nb.report import Report, report_figure, report_html, write_report
from ssr_nb.runs import read_run
from ssr_nb.voxels import voxel_iou, voxelize


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('runs')
    return dict(softras=read_run(write_run(folder/'softras', rule=None)),
                ssr=read_run(write_run(folder/'ssr')))


@pytest.fixture(scope='module')
def rows(): return gallery({'ssr': tiny_model()}, box_split(), [2, 0], view=5, image_size=16)


class Page(HTMLParser):
    "The tags, links and text of a page."
    def __init__(self, source):
        super().__init__()
        self.tags, self.links, self.labels, self.text = [], [], [], ''
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ('src', 'srcset', 'href')]
        self.labels += [v for k, v in attrs if k in ('alt', 'aria-label')]

    def handle_data(self, data): self.text += data


# ----------------------------------------------------------------- figures --
def test_curves_show_the_columns_that_have_numbers(runs):
    metrics = runs['ssr'].metrics.assign(gate_accuracy=np.nan)
    without_gate = type(runs['ssr'])(**vars(runs['ssr']) | dict(metrics=metrics))
    iou, siam, labels = curves_figure(runs | dict(ssr=without_gate)).axes
    assert [len(ax.lines) for ax in (iou, siam, labels)] == [2, 1, 2]
    assert_close(iou.lines[1].get_ydata(), np.array([.2, .21, .22]))
    assert iou.lines[1].get_color() == METHOD_COLORS['ssr']
    assert [t.get_text() for t in labels.get_legend().get_texts()] == [
        'SSR, coverage', 'SSR, accuracy']


def test_a_half_covered_white_pixel_is_white_in_a_file():
    half = np.array([128, 128, 128, 128], np.uint8).reshape(4, 1, 1)
    assert straight_alpha(half).ravel().tolist() == [255, 255, 255, 128]
    assert straight_alpha(np.zeros((4, 1, 1), np.uint8)).max() == 0
    full = np.array([9, 99, 199, 255], np.uint8).reshape(4, 1, 1)
    assert_close(straight_alpha(full), full)


def test_the_gallery_shows_the_input_and_every_mesh_from_every_viewpoint(rows):
    images = box_split().images
    assert [row.title for row in rows] == ['object 2', 'object 0']
    assert_close(rows[0].image, images[2, 5])
    assert_close(rows[0].renders['truth'], images[2])
    assert rows[0].renders['ssr'].shape == (24, 4, 16, 16)
    figure = gallery_figure(rows)
    assert len(figure.axes) == 8
    assert [ax.get_title() for ax in figure.axes[:4]] == [
        'input', 'SSR', 'truth,\nnovel view', 'SSR,\nnovel view']


def test_the_gallery_says_the_iou_of_each_mesh_under_it(rows):
    model, split = tiny_model(), box_split()
    truth = torch.as_tensor(split.voxels[2:3]).bool()
    image = torch.as_tensor(split.images[2:3, 5:6])
    iou = reconstruction_iou(model, image, truth).item()
    assert rows[0].iou == {'ssr': pytest.approx(iou)}
    words = [ax.get_xlabel() for ax in gallery_figure(rows[:1]).axes if ax.get_xlabel()]
    assert words == [f'IoU {iou:.2f}']


def test_a_figure_for_a_dark_page_differs_from_that_for_a_light_one(runs):
    def mean_ink(ink):
        with rc_context(figure_theme(ink)): png = figure_png(curves_figure(runs), 50)
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert('RGBA')).astype(float)
        return (pixels[..., :3].mean(2)*pixels[..., 3]).sum()/pixels[..., 3].sum()
    assert mean_ink('#ffffff') > mean_ink(None) + 50


# -------------------------------------------------------------------- page --
def test_a_report_needs_no_other_file_and_says_what_it_was_given(runs, rows, tmp_path):
    report = Report('A <title>', 'SSR wins & more', [dict(method='SSR', iou=.512)], runs,
                    rows, {'objects': 'three'}, 'ssr_demo --seed 1')
    write_report(report, tmp_path)
    assert {f.name for f in tmp_path.iterdir()} == {'report.html', 'report.png'}
    assert (tmp_path/'report.png').read_bytes()[:4] == b'\x89PNG'
    page = Page(source := (tmp_path/'report.html').read_text())
    assert len(page.links) == 4 and all(link.startswith('data:image/') for link in page.links)
    assert 'http' not in source and '@import' not in source
    for said in ('A <title>', 'SSR wins & more', '0.512', 'three', 'ssr_demo --seed 1'):
        assert said in page.text
    assert source.startswith('<!doctype html>') and '<td class=n>0.512</td>' in source


def pixels(ax): return np.asarray(ax.images[0].get_array())


def test_the_gallery_is_whole_tile_by_tile(rows):
    "Each tile is the image it should be: row, method and viewpoint; below it the IoU."
    split, model = box_split(), tiny_model()
    figure = gallery_figure(rows, novel=7)
    axes = np.array(figure.axes).reshape(2, 4)
    for line, row, number in zip(axes, rows, (2, 0)):
        for ax, name, view in zip(line, ('truth', 'ssr')*2, (5, 5, 12, 12)):
            assert np.array_equal(pixels(ax), row.renders[name][view].transpose(1, 2, 0))
        assert not np.array_equal(pixels(line[1]), pixels(line[3])) and not np.array_equal(pixels(line[0]), pixels(line[2]))
        mesh = model.predict(split.images[number, 5])
        iou = voxel_iou(voxelize(mesh.vertices, mesh.faces), torch.tensor(split.voxels[number:number + 1])).item()
        assert row.iou == {'ssr': iou} and 0 < iou < 1
        assert [ax.get_xlabel() for ax in line] == ['', f'IoU {iou:.2f}', '', ''] and line[0].get_ylabel() == row.title
        rendered = np.asarray(render_views(mesh, split.viewpoints, 16))
        assert np.array_equal(row.renders['ssr'][:, 3], rendered[:, 3])          # the mesh of this image, from all sides
        red, green = (row.renders['ssr'][:, c][rendered[:, 3] == 255].astype(int) for c in (0, 1))
        assert (red >= green).all() and (red > green).any()                      # in SSR's colour
    assert not np.array_equal(rows[0].renders['ssr'], rows[1].renders['ssr'])
    whole = gallery_figure(rows[:1], novel=20).axes                              # the ring closes
    assert np.array_equal(pixels(whole[2]), rows[0].renders['truth'][1].transpose(1, 2, 0))


def test_the_cycles_show_test_iou_where_it_was_scored_and_else_that_of_validation(runs):
    lines = cycles_figure({'plane': runs, 'chair': runs})
    coverage, accuracy, iou = lines.axes[:3]
    assert len(lines.axes) == 6 and [len(ax.lines) for ax in lines.axes] == [1, 1, 2]*2
    assert iou.get_title() == 'validation 3D IoU' and coverage.get_ylabel() == 'plane'
    assert iou.lines[1].get_ydata().tolist() == pytest.approx([.2, .21, .22])
    assert coverage.lines[0].get_ydata().tolist() == pytest.approx([0, .1, .2])
    assert accuracy.lines[0].get_ydata().tolist() == pytest.approx([.9]*3)
    for run, score in zip(runs.values(), (.3, .4)):
        (run.folder/'test_curve.csv').write_text(f'iteration,test_iou\n10,.1\n20,{score}\n')
    try:
        iou = cycles_figure({'plane': runs}).axes[2]
        assert iou.get_title() == 'test 3D IoU'
        assert [ax.get_ydata().tolist() for ax in iou.lines] == [[.1, .3], [.1, .4]]
        assert [ax.get_color() for ax in iou.lines] == [METHOD_COLORS['softras'], METHOD_COLORS['ssr']]
        (runs['ssr'].folder/'test_curve.csv').unlink()                           # not of both: they cannot be compared
        assert cycles_figure({'plane': runs}).axes[2].get_title() == 'validation 3D IoU'
    finally:
        for run in runs.values(): (run.folder/'test_curve.csv').unlink(missing_ok=True)


ODD = '<img src=x onerror=alert(1)>"\'&'


@pytest.mark.parametrize('place', ['title', 'lead', 'cell', 'head', 'fact', 'fact name', 'command', 'row', 'method'])
def test_each_text_of_a_report_is_escaped(runs, rows, place):
    "One place at a time, so that no other one's escaping hides it."
    at = {place: ODD}
    row = type(rows[0])(at.get('row', 'object'), rows[0].image, 5, {'truth': rows[0].renders['truth'], at.get('method', 'ssr'): rows[0].renders['ssr']})
    source = report_html(Report(at.get('title', 'title'), at.get('lead', 'lead'), [{at.get('head', 'head'): at.get('cell', 'cell')}], runs, [row],
                                {at.get('fact name', 'name'): at.get('fact', 'fact')}, at.get('command', 'command')))
    page = Page(source)
    assert 'onerror=alert(1)>' not in source and page.tags.count('img') == 2
    shown = page.text + ' '.join(page.labels)
    assert ODD in shown


@pytest.mark.slow
def test_a_page_has_no_tag_that_its_names_brought_in(runs, rows):
    odd = '<script>alert(1)</script>'
    plain = Report('title', 'lead', [dict(method='a', iou=.5)], runs, rows,
                   dict(objects='three'), 'command')
    renamed = [type(row)(odd, row.image, row.view, {
        'truth': row.renders['truth'], odd: row.renders['ssr']},
        {odd: row.iou['ssr']}) for row in rows]
    named = Report(odd, odd, [{'method': odd, odd: .5}], {odd: runs['ssr']}, renamed,
                   {odd: odd}, odd)
    source = report_html(named)
    assert Page(source).tags == Page(report_html(plain)).tags
    assert odd not in source and source.count('&lt;script&gt;alert(1)') >= 8
    assert Page(source).tags.count('script') == 1


def test_a_name_is_no_formula_in_the_image_of_a_report(runs, rows):
    name = r'a $\frac$ b'                    # no formula that matplotlib can set
    report = Report(name, name, [dict(a=1)], {name: runs['ssr']}, rows)
    assert figure_png(report_figure(report))[:4] == b'\x89PNG'
    assert report_html(report).count(name) >= 2


def test_a_turntable_is_the_images_side_by_side(runs, rows):
    turning = np.zeros((24, 4, 8, 8), np.uint8)
    turning[:, 3] = 255
    turning[5, 0] = 200
    row = type(rows[0])('a "cube"', rows[0].image, 5, dict(truth=turning))
    source = report_html(Report('', '', [], runs, [row]))
    kind, data = re.search(r'background-image:url\(data:image/(\w+);base64,([^)]+)\)',
                           source).groups()
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert('RGB'))
    assert strip.shape == (8, 192, 3)
    assert strip[4, 5*8 + 4, 0] > 150 and strip[4, 4, 0] < 50
    assert 'aria-label="a &#34;cube&#34;, truth"' in source
    assert 'background-size: 2400% 100%' in source and 'max=23 value=5' in source
    assert kind in image_uri(rows[0].image)


def test_a_report_without_gallery_and_facts_has_no_empty_section(runs, tmp_path):
    write_report(Report('title', 'lead', [], runs, []), tmp_path)
    source = (tmp_path/'report.html').read_text()
    assert re.findall('<h2>(.*?)</h2>', source) == ['The result', 'How training went']


@pytest.mark.browser
def test_dragging_a_mesh_turns_all_of_them_and_moves_the_slider(chromium, runs, rows, tmp_path):
    write_report(Report('title', 'lead', [dict(method='a', iou=.5)], runs, rows), tmp_path)
    tab = Tab(chromium)
    tab.page.goto(f'file://{tmp_path}/report.html')
    slider, tiles = tab.page.locator('.slider input'), tab.page.locator('div.turntable')
    def shown(): return [tile.evaluate('e => getComputedStyle(e).backgroundPositionX') for tile in tiles.all()]
    before, box = shown(), tiles.first.bounding_box()
    assert slider.input_value() == '5' and len(set(before)) == 1
    x, y = box['x'] + box['width']/2, box['y'] + box['height']/2
    tab.page.mouse.move(x, y); tab.page.mouse.down()
    tab.page.mouse.move(x + box['width']/4, y); tab.page.mouse.up()
    assert slider.input_value() == '8' and len(set(shown())) == 1 and shown() != before
    tab.page.mouse.move(x, y); tab.page.mouse.down()
    tab.page.mouse.move(x - box['width'], y); tab.page.mouse.up()
    assert slider.input_value() == '20'   # past view 0, to the other end
    tab.page.mouse.move(x, y + 5)         # let go
    assert slider.input_value() == '20'
    tab.check()

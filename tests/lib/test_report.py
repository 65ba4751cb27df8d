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
    figure_theme,
    gallery,
    gallery_figure,
    image_uri,
)
from ssr_nb.reconstruct import reconstruction_iou
from ssr_nb.report import Report, report_figure, report_html, write_report
from ssr_nb.runs import read_run


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
        self.tags, self.links, self.text = [], [], ''
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ('src', 'srcset', 'href')]

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
    assert rows[0].ious == {'ssr': pytest.approx(iou)}
    words = [text.get_text() for ax in gallery_figure(rows[:1]).axes for text in ax.texts]
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


def test_a_page_has_no_tag_that_its_names_brought_in(runs, rows):
    odd = '<script>alert(1)</script>'
    plain = Report('title', 'lead', [dict(method='a', iou=.5)], runs, rows,
                   dict(objects='three'), 'command')
    renamed = [type(row)(odd, row.image, row.view, {
        'truth': row.renders['truth'], odd: row.renders['ssr']},
        {odd: row.ious['ssr']}) for row in rows]
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

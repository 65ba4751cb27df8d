"The widgets, operated in JupyterLab by keys and mouse."
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ssr_nb._dev.lab import (
    Tab,
    array_in_kernel,
    close_notebook,
    expect,
    expect_picture,
    in_kernel,
    open_notebook,
    panel,
    press,
    run_all,
    shown,
    write_notebook,
)
from ssr_nb.camera import viewpoint_ring
from ssr_nb.mesh import Mesh, icosphere
from ssr_nb.meshio import save_mesh
from ssr_nb.render import render_views
from ssr_nb.shapes import make_shape


@pytest.mark.browser
def test_the_smallest_widget_answers_keys_as_its_formula_says(widgets):
    ramp = panel(widgets, 'ramp')
    def grey(gamma): return np.floor(255*np.linspace(0, 1, 64, dtype=np.float32)**gamma)[None].repeat(8, 0)
    picture = ramp.get_by_test_id('ramp')
    expect_picture(picture, grey(1.))
    press(widgets, ramp.get_by_test_id('gamma'), 'ArrowRight', 3)
    expect_picture(picture, grey(1.3))
    expect(lambda: round(float(in_kernel(widgets, 'ramp.gamma')), 6), 1.3)
    expect(lambda: ramp.get_by_test_id('caption').text_content(), in_kernel(widgets, 'ramp.caption'))
    with pytest.raises(AssertionError): expect_picture(picture, grey(1.4), within=.5)
    widgets.check()


@pytest.mark.browser
def test_the_mesh_viewer_shows_what_its_function_draws_where_keys_and_mouse_lead(widgets):
    viewer = panel(widgets, 'soft')
    soft, mesh = viewer.get_by_test_id('soft'), viewer.get_by_test_id('mesh')
    def seen(**look):
        "What the pure function draws, computed by the kernel."
        return array_in_kernel(widgets, f'mesh_scene(viewer.mesh, viewer.target, Look(**{look!r})).pixels')
    look = dict(azimuth=30., elevation=20., sigma=1e-3, shows='against target', force=True)
    in_kernel(widgets, f'[viewer.set_trait(*pair) for pair in {look!r}.items()]')
    expect_picture(soft, seen(**look))
    press(widgets, viewer.get_by_test_id('azimuth'), 'ArrowRight', 3)
    expect_picture(soft, seen(**look | dict(azimuth=33.)))
    press(widgets, mesh, 'ArrowLeft', 2)
    press(widgets, mesh, 'ArrowUp')
    expect_picture(soft, seen(**look | dict(azimuth=43., elevation=15.)))
    box = mesh.bounding_box()
    x, y = box['x'] + box['width']/2, box['y'] + box['height']/2
    mouse = widgets.page.mouse
    mouse.move(x, y); mouse.down(); mouse.move(x + 20, y + 10, steps=4); mouse.up()
    expect_picture(soft, seen(**look | dict(azimuth=33., elevation=20.)))
    expect(lambda: in_kernel(widgets, '(viewer.azimuth, viewer.elevation)'), '(33.0, 20.0)')
    press(widgets, viewer.get_by_test_id('sigma'), 'ArrowLeft', 10)
    expect(lambda: round(float(in_kernel(widgets, 'viewer.sigma')), 9), 1e-4)
    press(widgets, viewer.get_by_test_id('shows-against target'), 'ArrowLeft')
    press(widgets, viewer.get_by_test_id('force'), 'Space')
    expect_picture(soft, seen(azimuth=33., elevation=20., sigma=1e-4, shows='normals'))
    expect(lambda: viewer.get_by_test_id('caption').text_content(), '642 vertices, 1,280 faces')
    widgets.check()


@pytest.mark.browser
def test_the_mesh_in_the_browser_stands_where_the_renderer_sees_it(widgets):
    mesh = panel(widgets, 'soft').get_by_test_id('mesh')
    in_kernel(widgets, '[setattr(viewer, "mesh", chair), viewer.set_trait("shows", "color"), viewer.draw()]')
    def overlap(azimuth, elevation):
        "IoU of the mesh in the browser and of the mask that the renderer draws there."
        drawn = shown(mesh)[..., 3] > 127
        view = f'torch.tensor([[viewer.distance, {elevation}, {azimuth}]])'
        mask = array_in_kernel(widgets, f'(render_views(chair, {view}, {len(drawn)}, 1)[0, 3] > 127).byte()') > 0
        return (mask & drawn).sum()/(mask | drawn).sum()
    def ink():
        "Mean brightness of the arrows: what is drawn beside the mask of the mesh."
        drawn = shown(mesh).astype(float)
        mask = f'(render_views(viewer.mesh, viewer.look().viewpoint(), {len(drawn)}, 1)[0, 3:] > 0).float()'
        around = array_in_kernel(widgets, f'torch.nn.functional.max_pool2d({mask}, 5, 1, 2)[0]') > 0
        beside = (drawn[..., 3] > 60) & ~around
        return drawn[beside, :3].mean() if beside.sum() > 5 else 127.
    in_kernel(widgets, '[viewer.set_trait("force", True), viewer.draw()]')
    for theme, bright in (('JupyterLab Dark', True), ('JupyterLab Light', False)):
        widgets.page.evaluate('theme => jupyterapp.commands.execute("apputils:change-theme", {theme})', theme)
        expect(lambda: (ink() > 170) if bright else (ink() < 85), True)
    in_kernel(widgets, '[viewer.set_trait("force", False), viewer.draw()]')
    for azimuth, elevation in ((33., 20.), (120., -30.), (-75., 60.)):
        in_kernel(widgets, f'viewer.set_state(dict(azimuth={azimuth}, elevation={elevation}))')
        expect(lambda: overlap(azimuth, elevation) > .97, True)
        assert overlap(-azimuth, elevation) < .9 and overlap(azimuth, -elevation) < .9
    widgets.check()


@pytest.mark.browser
def test_every_control_has_a_name_a_focus_and_enough_contrast_in_both_themes(widgets):
    panels = widgets.page.get_by_test_id('panel')
    CONTROLS = """found => found.map(e => {
  e.focus();
  return {html: e.outerHTML, name: (e.ariaLabel || e.labels?.[0]?.textContent || e.textContent).trim(),
          focus: e === document.activeElement, keeps: e.getAttribute('data-lm-suppress-shortcuts') === 'true'};
})"""
    controls = panels.locator(':is(input, button, [tabindex]):visible:enabled').evaluate_all(CONTROLS)
    assert len(controls) > 30
    for control in controls: assert control['name'] and control['focus'] and control['keeps'], control
    nameless = "panels => panels[0].insertAdjacentHTML('beforeend', '<input id=nameless type=checkbox>')"
    panels.evaluate_all(nameless)
    assert not panels.locator('#nameless').evaluate_all(CONTROLS)[0]['name']
    widgets.page.evaluate('() => document.getElementById("nameless").remove()')
    TOO_NARROW = """found => found.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""
    labels = panels.locator('.ssr-controls span')
    assert labels.count() > 20 and labels.evaluate_all(TOO_NARROW) == []  # no label under its slider
    labels.first.evaluate('e => { e.style.display = "inline-block"; e.style.width = "1px"; e.style.minWidth = 0; }')
    assert len(labels.evaluate_all(TOO_NARROW)) == 1
    labels.first.evaluate('e => e.removeAttribute("style")')
    CONTRAST = """found => found.map(element => {
  const numbers = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c/255).map(c => c <= .04045 ? c/12.92 : ((c + .055)/1.055)**2.4)
    .reduce((sum, c, i) => sum + c*[.2126, .7152, .0722][i], 0);
  let ground = element;
  while (ground && (numbers(getComputedStyle(ground).backgroundColor)[3] ?? 1) === 0) ground = ground.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor].map(c => light(numbers(c))).sort();
  return [element.textContent, (Math.max(a, b) + .05)/(Math.min(a, b) + .05)];
})"""
    for theme in ('JupyterLab Dark', 'JupyterLab Light'):
        widgets.page.evaluate('theme => jupyterapp.commands.execute("apputils:change-theme", {theme})', theme)
        widgets.page.wait_for_function('light => document.body.dataset.jpThemeLight === light', arg=str('Light' in theme).lower())
        texts = panels.locator(':is(span, output, figcaption, p, button):visible').evaluate_all(CONTRAST)
        assert len(texts) > 20
        for text, contrast in texts: assert contrast > 4.5, (theme, text, contrast)
    widgets.check()


@pytest.mark.browser
def test_a_mesh_is_loaded_from_a_file_and_a_wrong_file_is_refused_in_one_line(widgets):
    viewer = panel(widgets, 'soft')
    with tempfile.TemporaryDirectory() as folder:
        good, bad, other = (Path(folder)/name for name in ('ball.obj', 'bad.obj', 'page.html'))
        save_mesh(Mesh(icosphere(1).vertices, icosphere(1).faces), good); bad.write_text('v 0 0 0\n'); other.write_text('<p>')
        in_kernel(widgets, '[viewer.set_trait("shows", "normals"), viewer.set_trait("force", False)]')
        viewer.get_by_test_id('load').set_input_files(good)
        expect(lambda: viewer.get_by_test_id('caption').text_content(), '42 vertices, 80 faces')
        expect(lambda: in_kernel(widgets, 'len(viewer.mesh.vertices)'), '42')
        viewer.get_by_test_id('load').set_input_files(bad)
        expect(lambda: viewer.get_by_test_id('message').text_content(), 'bad.obj: no faces')
        viewer.get_by_test_id('load').set_input_files(other)
        expect(lambda: viewer.get_by_test_id('message').text_content().startswith('page.html: expected .obj'), True)
        assert in_kernel(widgets, 'len(viewer.mesh.vertices)') == '42'
    widgets.check()


@pytest.mark.browser
def test_the_matcher_shows_the_pair_the_row_and_the_verdict_of_the_function(widgets):
    matcher = panel(widgets, 'ring')
    def pictures_of(image, reference, view):
        "The two pictures that should be shown."
        return [array_in_kernel(widgets, f'on_white({p})') for p in (f'matches.images[{image}]', f'matches.references[{reference}, {view}]')]
    def expect_match(image, reference, view, threshold=.5):
        "Pair, drawing and caption of this state."
        for name, pixels in zip(('subject', 'partner'), pictures_of(image, reference, view)): expect_picture(matcher.get_by_test_id(name), pixels)
        state = f'match(matches, MatchState({image}, {reference}, {view}, {threshold}))'
        curves = re.findall(' d="([^"]*)"', in_kernel(widgets, f'scene_svg({state})'))
        expect(lambda: matcher.locator('svg path').evaluate_all('paths => paths.map(p => p.getAttribute("d"))'), curves)
        words = in_kernel(widgets, f'{state}.words')
        assert len(curves) > 4
        expect(lambda: words in matcher.get_by_test_id('caption').text_content(), True)
    expect_match(3, 0, 2)
    press(widgets, matcher.get_by_test_id('image'), 'ArrowRight', 2)
    press(widgets, matcher.get_by_test_id('candidate'), 'ArrowLeft')
    press(widgets, matcher.get_by_test_id('reference'), 'End')
    press(widgets, matcher.get_by_test_id('threshold'), 'Home')
    expect_match(5, 1, 1, 0.)
    expect(lambda: in_kernel(widgets, '(matcher.image, matcher.reference, matcher.candidate)'), '(5.0, 1.0, 1.0)')
    caption = lambda: matcher.get_by_test_id('caption').text_content()
    press(widgets, matcher.get_by_test_id('game'), 'Space')
    expect(lambda: 'P(same)' in caption(), False)
    expect(lambda: 'True:' not in caption() and matcher.get_by_test_id('image').is_disabled(), True)
    press(widgets, matcher.get_by_test_id('guess'), 'Enter')
    expect(lambda: 'P(same)' in caption() and 'True:' in caption(), True)
    expect(lambda: in_kernel(widgets, 'matcher.score.rounds'), '1')
    press(widgets, matcher.get_by_test_id('game'), 'Space')
    expect_match(5, 1, 1, 0.)
    widgets.check()


@pytest.mark.browser
def test_a_click_on_a_cell_of_the_matrix_shows_its_pair_and_the_threshold_its_labels(widgets):
    explorer = panel(widgets, 'matrix')
    matrix, heat = explorer.get_by_test_id('matrix'), explorer.get_by_test_id('heat')
    def expect_cell(reference, row, column, threshold=.5, tilted=False):
        "Four pictures, the table and the words of this state."
        scene = f'explore(matches, ExplorerState({reference}, {row}, {column}, {threshold}, {tilted}))'
        for n, name in enumerate(('subject', 'partner', 'subject_rotated', 'partner_rotated')):
            expect_picture(explorer.get_by_test_id(name), array_in_kernel(widgets, f'on_white({scene}.pairs[{n}])'))
        expect_picture(heat, array_in_kernel(widgets, f'{scene}.heat'))
        words = in_kernel(widgets, f'{scene}.cell + " " + {scene}.rule')
        expect(lambda: explorer.get_by_test_id('caption').text_content(), words)
    expect_cell(0, 30, 6)
    rows, columns = json.loads(in_kernel(widgets, 'explorer.shape'))
    box = matrix.bounding_box()
    widgets.page.mouse.click(box['x'] + 10.5*box['width']/columns, box['y'] + 40.5*box['height']/rows)
    expect_cell(0, 40, 10)
    for key in ('ArrowDown', 'ArrowDown', 'ArrowLeft'): press(widgets, matrix, key)
    expect_cell(0, 42, 9)
    expect(lambda: in_kernel(widgets, '(explorer.row, explorer.column)'), '(42.0, 9.0)')
    press(widgets, explorer.get_by_test_id('threshold'), 'ArrowRight', 20)
    press(widgets, explorer.get_by_test_id('tilted'), 'Space')
    expect_cell(0, 42, 9, .7, True)
    with pytest.raises(AssertionError): expect_picture(heat, array_in_kernel(widgets, 'heat_image(matches.similarity[:, 0])'), within=.5)
    widgets.check()


@pytest.mark.browser
def test_an_image_that_is_given_in_the_browser_becomes_the_mesh_of_the_network_and_is_downloaded(widgets):
    part = panel(widgets, 'sheet')
    sheet, frame = part.get_by_test_id('sheet'), lambda: int(part.get_by_test_id('sheet').get_attribute('data-frame'))
    part.get_by_test_id('sample-chair').click()
    expect_picture(part.get_by_test_id('image'), array_in_kernel(widgets, 'np.asarray(as_picture(load_image(sample_pictures()["chair"])))'))
    expect(lambda: part.get_by_test_id('sample-chair').get_attribute('aria-pressed'), 'true')
    pixels = render_views(make_shape('car', torch.Generator().manual_seed(5)), viewpoint_ring()[7:8]).numpy()[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'my car.png'
        Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
        part.get_by_test_id('open_image').set_input_files(path)
        made = f'(lambda p: silhouette_sheet(taught.predict(load_image(cut(p, framed_square(p, None))).flip(-1))))(open_picture({str(path)!r}))'
        expect_picture(sheet, array_in_kernel(widgets, made), within=60)
    then, crop = frame(), part.get_by_test_id('crop')
    box = crop.bounding_box()
    mouse = widgets.page.mouse
    mouse.move(box['x'] + 20, box['y'] + 20); mouse.down(); mouse.move(box['x'] + 40, box['y'] + 20, steps=3); mouse.up()
    expect(lambda: frame() > then, True)
    expect(lambda: 10 < crop.bounding_box()['x'] - box['x'] < 30, True)
    press(widgets, part.get_by_test_id('kind-.obj'), 'ArrowRight')
    with widgets.page.expect_download() as waiting: part.get_by_test_id('save').click()
    assert waiting.value.suggested_filename == 'my car.glb'
    assert Path(waiting.value.path()).read_bytes()[:4] == b'glTF'
    expect(part.get_by_test_id('progress').is_visible, False)
    widgets.check()


@pytest.mark.browser
def test_a_fit_happens_in_front_of_the_user_and_can_be_undone(widgets):
    part = panel(widgets, 'soft')
    in_kernel(widgets, 'viewer.set_state(dict(shape="car", shows="against target", force=False))')
    strip, bar = (part.get_by_test_id(name) for name in ('steps', 'progress'))
    caption = lambda: part.get_by_test_id('caption').text_content()
    expect(lambda: 'IoU with the target' in caption(), True)
    part.get_by_test_id('fit').click()
    expect(bar.is_visible, True)
    expect(lambda: 0 < float(bar.get_attribute('value') or 0) < 1, True, within=60)   # steps come while it fits
    expect(lambda: caption().startswith('step 100 of 100'), True, within=180)
    expect(bar.is_visible, False)
    words = strip.locator('figcaption').all_text_contents()
    assert words[-1].startswith('step 100, IoU 0.') and float(words[-1][-4:]) > float(words[0][-4:]) + .2
    assert strip.locator('img').count() == len(words)
    expect_picture(part.get_by_test_id('soft'), array_in_kernel(widgets, 'mesh_scene(viewer.mesh, viewer.target, viewer.look()).pixels'))
    part.get_by_test_id('restore').click()
    expect(strip.is_visible, False)
    widgets.check()


@pytest.mark.browser
def test_a_run_is_started_paused_continued_and_stopped_by_its_buttons(widgets):
    part = panel(widgets, 'film')
    expect_picture(part.get_by_test_id('film'), array_in_kernel(widgets, 'film_strip(monitor.images, chosen_snapshots(monitor.snapshots), -45.)'))
    press(widgets, part.get_by_test_id('azimuth'), 'ArrowRight', 2)
    expect_picture(part.get_by_test_id('film'), array_in_kernel(widgets, 'film_strip(monitor.images, chosen_snapshots(monitor.snapshots), -35.)'))
    run = 'BackgroundRun(here/"data", "plane", replace(short, iterations=100_000), here/"browser")'
    reset = dict(run=run, folder='here/"browser"', record=None, seen=None, snapshots=[])
    for name, value in reset.items(): in_kernel(widgets, f'setattr(monitor, {name!r}, {value})')
    in_kernel(widgets, 'monitor.draw()')
    caption = lambda: part.get_by_test_id('caption').text_content()
    press(widgets, part.get_by_test_id('start'), 'Enter')
    expect(lambda: caption().startswith('Running; iteration'), True, within=180)
    press(widgets, part.get_by_test_id('pause'), 'Enter')
    expect(lambda: caption().startswith('Paused; iteration'), True, within=60)
    step = in_kernel(widgets, 'monitor.run.iteration')
    frame = lambda: int(part.get_by_test_id('film').get_attribute('data-frame'))
    then = frame()
    expect(lambda: frame() >= then + 2, True)  # news have come twice since
    assert in_kernel(widgets, 'monitor.run.iteration') == step and f'iteration {step} of' in caption()
    press(widgets, part.get_by_test_id('start'), 'Enter')
    expect(lambda: int(in_kernel(widgets, 'monitor.run.iteration')) > int(step), True, within=60)
    press(widgets, part.get_by_test_id('stop'), 'Enter')
    expect(lambda: caption().startswith('Stopped;'), True, within=60)
    expect(lambda: in_kernel(widgets, '(here/"browser"/"checkpoint.pt").exists()'), 'True')
    widgets.check()


@pytest.mark.browser
def test_a_browser_without_webgl_shows_the_mesh_that_python_draws(chromium_without_webgl, lab):
    server, folder = lab
    name = write_notebook(folder/'plain.ipynb', 'from ssr_nb.widgets import MeshViewer, decode\nfrom ssr_nb.widgets.mesh_viewer import Look, mesh_scene\nviewer = MeshViewer(azimuth=30.)\nviewer')
    tab = Tab(chromium_without_webgl)
    assert tab.page.evaluate('() => document.createElement("canvas").getContext("webgl2")') is None
    open_notebook(tab, server, name); run_all(tab)
    viewer = panel(tab, 'soft')
    solid, soft, slider = (viewer.get_by_test_id(n) for n in ('solid', 'soft', 'azimuth'))
    solid.wait_for()
    assert not viewer.get_by_test_id('mesh').is_visible()
    press(tab, slider, 'ArrowRight', 2)
    expect_picture(soft, array_in_kernel(tab, 'mesh_scene(viewer.mesh, viewer.mesh, Look(azimuth=32.)).pixels'))
    expect_picture(solid, array_in_kernel(tab, 'decode(viewer.solid_picture())'), tolerance=3)
    tab.check(); close_notebook(tab)

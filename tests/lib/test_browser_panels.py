"What a panel says, how a mesh is turned, and whether panels fit, in JupyterLab."
import pytest

from ssr_nb._dev.lab import (
    Tab,
    close_notebook,
    expect,
    in_kernel,
    open_notebook,
    panel,
    press,
    run_all,
    write_notebook,
)


@pytest.mark.browser
def test_a_panel_says_what_to_do_and_what_its_colours_and_symbols_mean_in_the_browser(widgets):
    viewer, explorer = panel(widgets, 'soft'), panel(widgets, 'matrix')
    for part in (viewer, explorer):
        assert part.get_by_test_id('hint').is_visible()
        assert part.get_by_test_id('hint').text_content() in (in_kernel(widgets, 'viewer.hint'), in_kernel(widgets, 'explorer.hint'))
    assert explorer.locator('dt').all_text_contents() == ['S', 'Ŝ', 'τ']
    in_kernel(widgets, '[viewer.set_trait("shows", "against target"), viewer.set_trait("force", False)]')
    legend = viewer.get_by_test_id('legend')
    expect(lambda: legend.locator('span').all_text_contents(), ['mesh only', 'target only', 'both'])
    colors = legend.locator('i').evaluate_all('marks => marks.map(mark => getComputedStyle(mark).backgroundColor)')
    assert colors == ['rgb(255, 140, 26)', 'rgb(26, 115, 255)', 'rgb(255, 255, 255)']
    in_kernel(widgets, 'viewer.set_trait("shows", "silhouette")')
    expect(legend.is_visible, False)
    # the page is shared: leave it as the chapter shows it
    in_kernel(widgets, '[viewer.set_trait("shows", "against target"), viewer.set_trait("force", True)]')
    widgets.check()


@pytest.mark.browser
def test_the_wheel_changes_the_distance_of_a_mesh_with_the_focus_and_home_goes_back(chromium, lab):
    server, folder = lab
    name = write_notebook(folder/'turn.ipynb', 'from ssr_nb.widgets import MeshViewer\nviewer = MeshViewer(azimuth=50.)\nviewer')
    tab = Tab(chromium)
    open_notebook(tab, server, name); run_all(tab)
    viewer = panel(tab, 'soft')
    mesh = viewer.get_by_test_id('mesh')
    press(tab, mesh, 'ArrowLeft', 2); press(tab, mesh, 'ArrowUp', 3)
    box = mesh.bounding_box()
    tab.page.mouse.move(box['x'] + box['width']/2, box['y'] + box['height']/2)
    tab.page.mouse.wheel(0, 100)
    expect(lambda: in_kernel(tab, '(viewer.azimuth, viewer.elevation, round(viewer.distance, 3))'), '(60.0, 5.0, 2.832)')
    press(tab, mesh, 'Home')
    expect(lambda: in_kernel(tab, '(viewer.azimuth, viewer.elevation, viewer.distance)'), '(50.0, 20.0, 2.732)')
    tab.check(); close_notebook(tab)


@pytest.mark.browser
@pytest.mark.parametrize('width', [800, 1280])
def test_no_panel_is_wider_than_its_page(widgets, width):
    size = widgets.page.viewport_size
    widgets.page.set_viewport_size({'width': width, 'height': 900})
    TOO_WIDE = """panels => panels.filter(panel => {
  const edge = panel.closest('.jp-NotebookPanel').getBoundingClientRect().right;
  return [...panel.querySelectorAll('*')].some(part => part.getBoundingClientRect().right > edge);
}).map(panel => `${panel.getBoundingClientRect().right} > ${panel.closest('.jp-NotebookPanel').getBoundingClientRect().right} of ${window.innerWidth}: ${panel.textContent}`)"""
    panels = widgets.page.get_by_test_id('panel')
    assert panels.count() == 7
    expect(lambda: panels.evaluate_all(TOO_WIDE), [])   # once the page is laid out
    panels.first.evaluate('panel => panel.insertAdjacentHTML("beforeend", "<i id=wide style=\'display: block; width: 3000px\'></i>")')
    assert len(panels.evaluate_all(TOO_WIDE)) == 1      # it would be noticed
    widgets.page.evaluate('() => document.getElementById("wide").remove()')
    widgets.page.set_viewport_size(size)

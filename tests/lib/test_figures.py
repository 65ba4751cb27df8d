"Figures that a reader can turn."
import base64
import json

import pytest
from matplotlib.figure import Figure

from ssr_nb.core import InputError
from ssr_nb.display import mesh_png
from ssr_nb.figures import mesh_trace, turnable
from ssr_nb.mesh import Mesh, icosphere

go = pytest.importorskip('plotly.graph_objects')


def test_a_figure_to_turn_holds_json_and_a_png_and_stands_upright():
    mesh = icosphere(3)
    figure = go.Figure([mesh_trace(mesh, name='sphere'),
                        go.Scatter3d(x=[0, 1], y=[0, 0], z=[0, 0])],
                       dict(scene_dragmode='turntable'))
    bundle = turnable(figure, mesh_png(mesh, 32))._repr_mimebundle_()
    assert base64.b64decode(bundle['image/png']).startswith(b'\x89PNG')
    shown = json.loads(json.dumps(bundle['application/vnd.plotly.v1+json']))
    scene = shown['layout']['scene']
    assert scene['camera']['up'] == {'x': 0, 'y': 1, 'z': 0}
    assert scene['aspectmode'] == 'data' and scene['dragmode'] == 'turntable'
    assert len(go.Figure(shown).data) == 2   # plotly reads it back
    assert len(json.dumps(shown)) < 40_000


def test_a_flat_figure_gets_no_scene_and_matplotlib_draws_its_still():
    still = Figure(figsize=(2, 1))
    still.subplots().plot([1, 2])
    bundle = turnable(go.Figure(go.Heatmap(z=[[1, 2]])), still)._repr_mimebundle_()
    assert 'scene' not in bundle['application/vnd.plotly.v1+json']['layout']
    assert base64.b64decode(bundle['image/png']).startswith(b'\x89PNG')


def test_colours_of_vertices_are_kept_and_a_large_figure_is_refused():
    sphere = icosphere(0)
    red = Mesh(sphere.vertices, sphere.faces, [[1., .5, 0]]*12)
    assert mesh_trace(red).vertexcolor[0] == '#ff8000'
    with pytest.raises(InputError, match='figure: expected at most 200,000'):
        turnable(go.Figure(mesh_trace(icosphere(6))), b'')

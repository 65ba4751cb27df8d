"How a `Mesh` shows itself in a notebook where widgets live: to be turned."
import sys
from typing import Any

from anywidget import AnyWidget

from ..core import InputError
from ..display import _VIEWPOINT
from ..mesh import MESH_VIEWS, Mesh, normalize
from .mesh_viewer import MeshPanel

WIDGET = 'application/vnd.jupyter.widget-view+json'


class MeshTurntable(MeshPanel):
    "A mesh and nothing else, from the side and in the light of `mesh_png`."
    def __init__(self, mesh: Mesh):
        self.mesh = normalize(mesh.to('cpu'))
        distance, elevation, azimuth = _VIEWPOINT
        super().__init__(azimuth=azimuth, elevation=elevation, distance=distance,
                         mirrored=True)
        self.hint = ('Drag to turn; once clicked, the wheel changes the distance '
                     'and Home goes back.')

    def show(self) -> dict[str, Any]:
        V, F = len(self.mesh.vertices), len(self.mesh.faces)
        return self.hold(self.mesh) | {'caption': f'{V:,} vertices, {F:,} faces'}


def turntable_bundle(mesh: Mesh) -> dict[str, Any]:
    "What a mesh adds to its picture in a notebook; elsewhere nothing."
    ipython = sys.modules.get('IPython')
    if not getattr(ipython and ipython.get_ipython(), 'kernel', None): return {}
    try: panel = MeshTurntable(mesh)
    except InputError: return {}   # all in one point
    data, _ = AnyWidget._repr_mimebundle_(panel) or ({}, {})
    return {kind: data[kind] for kind in data if kind == WIDGET}


MESH_VIEWS['turntable'] = turntable_bundle

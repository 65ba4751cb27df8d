"Five widgets and the shell they share; importing this lets a `Mesh` be turned."
try:
    import anywidget as _anywidget  # noqa: F401
except ModuleNotFoundError as _missing:
    raise ImportError("widgets need ipywidgets and anywidget: pip install "
                      "'ssr_nb[widgets]'") from _missing

from . import turntable as _turntable  # noqa: F401  (registers its view)
from .background import BackgroundRun
from .controls import (
    button,
    choice,
    decode,
    encode,
    picture,
    slider,
    text_field,
    toggle,
    upload,
)
from .explorer import SimilarityExplorer
from .matching import ViewpointMatcher
from .mesh_viewer import MeshViewer
from .monitor import TrainingMonitor
from .panel import Panel, script
from .reconstruction import ReconstructionPanel
from .similarity import Matches, add_image, built_in_matches, compare_images

__all__ = ['BackgroundRun', 'Matches', 'MeshViewer', 'Panel', 'ReconstructionPanel',
           'SimilarityExplorer', 'TrainingMonitor', 'ViewpointMatcher', 'add_image',
           'built_in_matches', 'button', 'choice', 'compare_images', 'decode', 'encode',
           'picture', 'script', 'slider', 'text_field', 'toggle', 'upload']

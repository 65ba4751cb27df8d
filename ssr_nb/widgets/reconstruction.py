"An image in, a mesh out: to turn, to look at from all around, to save."
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..camera import viewpoint_ring
from ..core import InputError
from ..data import load_image
from ..data.image import open_picture
from ..display import straight_alpha
from ..mesh import Mesh
from ..meshio import save_mesh
from ..reconstruct import Reconstructor
from ..render import SoftRenderer
from .controls import (
    IMAGE_FILES,
    button,
    choice,
    encode,
    picture,
    read_upload,
    text_field,
    upload,
)
from .mesh_viewer import MeshPanel
from .panel import one_thread

__all__ = ['ReconstructionPanel']


@dataclass(frozen=True)
class Reconstruction:
    "An image, and what a network makes of it."
    image: np.ndarray   # (4, S, S) uint8, as the network sees it
    mesh: Mesh
    sheet: np.ndarray   # (4·64, 6·64) uint8, silhouettes all around


def silhouette_sheet(
    mesh: Mesh,
    columns: int = 6,
    size: int = 64,       # pixels of each silhouette
) -> np.ndarray:          # (24/columns·size, columns·size) uint8
    "Silhouettes from the ring of 24 viewpoints, row by row."
    ring = viewpoint_ring()
    vertices = mesh.vertices.expand(len(ring), -1, -1)
    masks = SoftRenderer(size, 1e-5).silhouettes(vertices, mesh.faces, ring)
    rows = (255*masks).round().byte().unflatten(0, (-1, columns))
    return rows.transpose(1, 2).flatten(2).flatten(0, 1).numpy()


def reconstruct(
    model: Reconstructor,
    image,           # whatever `load_image` takes
    mask=None,       # where the image has no alpha
) -> Reconstruction:
    "One image through the network. InputError without a mask."
    pixels = load_image(image, mask, model.architecture['image_size'])
    mesh = model.predict(pixels)
    return Reconstruction(pixels.numpy(), mesh, silhouette_sheet(mesh))


def path_inside(
    folder: Path,   # exists
    name: str,      # without suffix, from a stranger
    suffix: str,    # .obj or .glb
) -> Path:          # a file that does not exist yet
    "Where a mesh may be saved. InputError for any other name."
    if not re.fullmatch(r'\w[\w -]{0,79}', name):
        raise InputError('file name: expected letters, digits, spaces, - '
                         f'and _, found {name[:80]!r}')
    path = folder/f'{name}{suffix}'
    if path.exists() or path.is_symlink():
        raise InputError(f'{path.name}: exists already; choose another name')
    return path


class ReconstructionPanel(MeshPanel):
    "Drop an image, turn the mesh, save it."
    image = picture('image', width=128)
    sheet = picture('silhouettes, azimuth 0°, -15°, … row by row', width=384)
    name = text_field('mesh', 'file name')
    kind = choice(('.obj', '.glb'), 'file format')

    def __init__(
        self,
        model: Reconstructor,
        image,                    # whatever `load_image` takes
        folder: str | Path = '.', # where meshes are saved
        **state,                  # azimuth=…, elevation=…, distance=…
    ):
        self.model, self.folder = model, Path(folder)
        if not self.folder.is_dir():
            raise InputError(f'{folder}: no such folder')
        self.opened: Image.Image | None = None   # given in the browser
        self.mask: Image.Image | None = None     # given before its image
        self.result, self.note = reconstruct(model, image), ''
        super().__init__(**state)
        self.hint = ('Drop an image whose background is transparent, or an '
                     'image and its mask, and turn the mesh that comes of it.')

    def show(self) -> dict[str, Any]:
        pixels = straight_alpha(self.result.image).transpose(1, 2, 0)
        V, F = len(self.result.mesh.vertices), len(self.result.mesh.faces)
        return self.hold(self.result.mesh) | {
            'image': encode(pixels), 'sheet': encode(self.result.sheet),
            'caption': f'{V:,} vertices, {F:,} faces{self.note}'}

    def take(self, image, mask=None):
        "Reconstruct another image."
        with self.report_errors(), one_thread():
            self.result = reconstruct(self.model, image, mask)
        self.note = ''
        self.draw()

    @upload('image', IMAGE_FILES)
    def open_image(self, name: str, content: bytes):
        "Reconstruct the image of a file, with the mask that waits for it."
        self.opened = read_upload(name, content, IMAGE_FILES, open_picture)
        mask, self.mask = self.mask, None
        self.take(self.opened, mask)

    @upload('its mask', IMAGE_FILES)
    def open_mask(self, name: str, content: bytes):
        "Reconstruct the image again, with a mask; or keep it for the first one."
        mask = read_upload(name, content, IMAGE_FILES, open_picture)
        if self.opened is not None: return self.take(self.opened, mask)
        self.mask, self.note = mask, '; the mask waits for its image'
        self.draw()

    @button('save the mesh')
    def save(self):
        "Write the mesh into the folder, under the name that is typed."
        with self.report_errors():
            path = path_inside(self.folder, self.name, self.kind)
            save_mesh(self.result.mesh, path)
        self.note = f', saved as {path.name}'
        self.draw()

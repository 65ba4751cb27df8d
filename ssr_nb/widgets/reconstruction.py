"An image in, a mesh out: to turn, to look at from all around, to save."
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from PIL import Image

from ..camera import viewpoint_ring
from ..core import InputError
from ..data import load_image
from ..data.image import OBJECT_SHARE, open_picture
from ..display import straight_alpha
from ..mesh import Mesh
from ..meshio import save_mesh
from ..pretrained import sample_images
from ..reconstruct import Reconstructor
from ..render import SoftRenderer
from .controls import (
    IMAGE_FILES,
    Number,
    button,
    choice,
    encode,
    picture,
    read_upload,
    upload,
)
from .mesh_viewer import MeshPanel
from .panel import script

__all__ = ['ReconstructionPanel']

PHOTO_SIDE = 384   # pixels, at most, of the image in which one crops


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
    by_eye: bool = False,   # a photograph: no mirror image, as those of data sets
) -> Reconstruction:
    "One image through the network. InputError without a mask."
    pixels = load_image(image, mask, model.architecture['image_size'])
    mesh = model.predict(pixels.flip(-1) if by_eye else pixels)
    return Reconstruction(pixels.numpy(), mesh, silhouette_sheet(mesh))


def as_picture(
    pixels,             # (4, S, S) uint8, premultiplied, as in a data set
) -> Image.Image:       # RGBA
    "An image of a data set as a file would hold it."
    return Image.fromarray(straight_alpha(np.asarray(pixels)).transpose(1, 2, 0))


def sample_pictures() -> dict[str, Image.Image]:   # name: RGBA
    "The sample images of the package."
    return {name: open_picture(path) for name, path in sample_images().items()}


def framed_square(
    image: Image.Image,
    mask: Image.Image | None,
) -> tuple[float, float, float]:   # left, top, side; of the image's longer side
    "The square around the object, which fills OBJECT_SHARE of it; or around all."
    where = mask.convert('L') if mask else \
        image.getchannel('A') if 'A' in image.getbands() else None
    box = where and where.point([0]*128 + [255]*128).getbbox()
    left, top, right, bottom = box or (0, 0, *image.size)
    long = max(right - left, bottom - top)
    side, whole = long/OBJECT_SHARE if box else long, max(image.size)
    return ((left + right - side)/2/whole, (top + bottom - side)/2/whole, side/whole)


def cut(
    image: Image.Image,
    square: tuple[float, float, float],  # left, top, side; of the longer side
) -> Image.Image:
    "What is in a square; nothing beside the image."
    left, top, side = (round(x*max(image.size)) for x in square)
    return image.crop((left, top, left + max(side, 1), top + max(side, 1)))


def photo_png(image: Image.Image) -> bytes:
    "An image for the browser, not larger than needed there."
    small = image.convert('RGBA')
    small.thumbnail((PHOTO_SIDE, PHOTO_SIDE))
    return encode(np.asarray(small))


def mesh_file(
    mesh: Mesh,
    suffix: str,    # .obj or .glb
) -> bytes:
    "A mesh as the content of a file."
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/f'mesh{suffix}'
        save_mesh(mesh, path)
        return path.read_bytes()


class ReconstructionPanel(MeshPanel):
    "Choose or drop an image, turn the mesh, download it."
    crop = traitlets.Tuple(*[Number(min=-2., max=2.)]*3, default_value=(
        0., 0., 1.)).tag(sync=True, state=True)   # left, top, side: see `cut`
    photo = traitlets.Bytes().tag(sync=True)       # PNG, in which one crops
    sample = traitlets.Unicode().tag(sync=True, state=True)  # name, or nothing
    samples = traitlets.Dict().tag(sync=True)      # name: PNG
    image = picture('what the network gets', width=150)
    sheet = picture('silhouettes of the mesh, azimuth 0°, -15°, … row by row',
                    width=384)
    kind = choice(('.obj', '.glb'), 'file format')
    _esm = script('reconstruction')

    def __init__(
        self,
        model: Reconstructor | None = None,  # None: the one of the package
        image=None,   # (4, S, S) uint8 of a data set; None: the first sample
        **state,      # azimuth=…, elevation=…, distance=…
    ):
        self.model = model or Reconstructor.pretrained()
        self.pictures_of = sample_pictures()
        self.mask: Image.Image | None = None      # of the image that is open
        self.waiting: Image.Image | None = None   # one given before its image
        self.opened, self.name, self.from_file = Image.new('RGBA', (1, 1)), 'mesh', False
        self.by_eye = image is None   # else an image of a data set, mirrored
        self.open_as = ''        # the sample that is open
        self.seen: tuple = ()    # what the present result is made of
        if image is None: state['sample'] = next(iter(self.pictures_of))
        else: self.opened = as_picture(load_image(image))
        super().__init__(**state)
        self.samples = {k: photo_png(v) for k, v in self.pictures_of.items()}
        self.hint = ('Choose a sample or drop an image of your own, drag its '
                     'square around the object, and turn the mesh.')

    def choose(self):
        "Open the sample that is chosen, if it is another one."
        if self.sample == self.open_as: return
        if self.sample and self.sample not in self.pictures_of:
            raise InputError('sample: expected one of '
                             f'{", ".join(self.pictures_of)}, found {self.sample!r}')
        self.open_as = self.sample
        if not self.sample: return
        self.take(self.pictures_of[self.sample], self.sample)
        self.from_file, self.crop = False, (0., 0., 1.)

    def take(self, image: Image.Image, name: str, mask: Image.Image | None = None):
        "Take up another image."
        self.opened, self.name, self.mask, self.by_eye = image, name, mask, True

    def show(self) -> dict[str, Any]:
        self.choose()
        made_of = self.opened, self.mask, self.crop
        said, note = '', '; the mask waits for its image'*bool(self.waiting)
        if made_of != self.seen:
            image, mask = (x and cut(x, self.crop) for x in made_of[:2])
            try: self.result = reconstruct(self.model, image, mask, self.by_eye)
            except InputError as reason:
                if not self.seen: raise
                said = str(reason)
            else: self.seen = made_of
        V, F = len(self.result.mesh.vertices), len(self.result.mesh.faces)
        return self.hold(self.result.mesh) | {
            'photo': photo_png(self.opened), 'sheet': encode(self.result.sheet),
            'image': encode(np.asarray(as_picture(self.result.image))),
            'message': said, 'mirrored': self.by_eye, 'caption': f'{V:,} vertices, {F:,} faces{note}'}

    @upload('image', IMAGE_FILES)
    def open_image(self, name: str, content: bytes):
        "Reconstruct the image of a file, with the mask that waits for it."
        image = read_upload(name, content, IMAGE_FILES, open_picture)
        self.take(image, Path(name).stem, self.waiting)
        self.waiting, self.from_file = None, True
        self.frame_object()

    @upload('its mask', IMAGE_FILES)
    def open_mask(self, name: str, content: bytes):
        "Reconstruct the image again, with a mask; or keep it for the first one."
        mask = read_upload(name, content, IMAGE_FILES, open_picture)
        if not self.from_file:
            self.waiting = mask
            return self.draw()
        self.mask = mask
        self.frame_object()

    def frame_object(self):
        "Put the square around the object of a file, and reconstruct."
        before, self.open_as = self.frame, ''
        with self.hold_trait_notifications():
            self.sample, self.crop = '', framed_square(self.opened, self.mask)
        if self.frame == before: self.draw()

    @button('download the mesh')
    def save(self):
        "Let the browser save the mesh under the name of its image."
        name = f'{self.name}{self.kind}'
        self.download(name, mesh_file(self.result.mesh, self.kind))

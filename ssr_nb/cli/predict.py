"ssr_predict: a mesh of one image."
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ..core import InputError
from .shell import (
    File,
    Flag,
    OptionalFile,
    check_file,
    check_out,
    check_weights,
    command,
    parse,
    say,
)

__all__: list[str] = []


@dataclass(frozen=True)
class Predict:
    """Make a mesh of one photograph; the mesh is not mirrored.

    For example
      ssr_predict runs/plane_ssr_2_0 photo.png -o plane.obj
      ssr_predict runs/plane_ssr_2_0 photo.jpg --mask mask.png -o plane.obj
    """
    # run folder, or a .safetensors file of one
    run: Annotated[Path, arg(metavar='RUN'), Positional]
    image: Positional[File]  # with alpha, or with a mask
    # mesh to write: .obj .ply .stl .off .glb
    out: Annotated[Path, arg(aliases=('-o',), metavar='FILE')]
    mask: OptionalFile = None   # image whose bright part is the object
    # cut a square around the object first, for it to be as large in the
    # image as those in training; without it, the image as it is
    frame: Flag = False
    # the image is one of a data set, whose camera shows mirror images
    mirrored: Flag = False


@command('ssr_predict')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "One image in, one mesh out."
    o = parse(Predict, words, 'ssr_predict')
    check_weights(o.run)
    check_file(o.image)
    if o.mask: check_file(o.mask, '--mask')
    check_out(o.out)
    from ..data import load_image
    from ..meshio import save_mesh
    from ..reconstruct import Reconstructor
    model = Reconstructor.load(o.run)
    size = model.architecture['image_size']
    try: pixels = load_image(o.image, o.mask, size, o.frame)
    except InputError as error: raise InputError(with_mask_option(error)) from None
    # networks know the images of a left-handed camera: the mirror images
    mesh = model.predict(pixels if o.mirrored else pixels.flip(-1))
    save_mesh(mesh, o.out)
    say(f'{o.out}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces')


def with_mask_option(
    error: InputError,
) -> str:
    "An error about a mask names the option."
    text = str(error)
    if text.startswith('mask: '): return f'--{text}'
    return text.replace('no mask:', 'no --mask:')


if __name__ == '__main__': sys.exit(main())

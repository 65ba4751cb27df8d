"ssr_predict: a mesh of one image."
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from ..core import InputError
from .shell import (
    Flag,
    OptionalFile,
    check_file,
    check_out,
    check_weights,
    command,
    did_you_mean,
    parse,
    say,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from ..mesh import Mesh
    from ..pretrained import MaskFit

__all__: list[str] = []


@dataclass(frozen=True)
class Predict:
    """Make a mesh of one photograph; the mesh is not mirrored.

    For example
      ssr_predict samples/chair.png -o chair.obj --preview chair.png
      ssr_predict photo.jpg --mask mask.png --frame -o car.obj
      ssr_predict runs/plane_ssr_2_0 photo.png -o plane.obj

    Without a run, by the network that comes with the package.
    """
    # RGBA, or RGB with --mask; before it, a run folder or its .safetensors file
    paths: Annotated[tuple[Path, ...], arg(name='', metavar='[RUN] IMAGE'), Positional]
    # mesh to write: .obj .ply .stl .off .glb
    out: Annotated[Path, arg(aliases=('-o',), metavar='FILE')]
    mask: OptionalFile = None   # image whose bright part is the object
    # cut a square around the object first, for it to be as large in the
    # image as those in training; without it, the image as it is
    frame: Flag = False
    # the image is one of a data set, whose camera shows mirror images
    mirrored: Flag = False
    # PNG to write: the image, the mesh from its side, and from the other
    preview: OptionalFile = None


def find_sample(
    image: Path,
) -> Path:   # the same, or a sample that comes with the package
    "samples/chair.png is there for everybody, also without the project's folder."
    from ..pretrained import sample_images   # no torch
    if image.exists() or image.parent.name not in ('', 'samples'): return image
    samples = sample_images()
    if image.suffix == '.png' and image.stem in samples: return samples[image.stem]
    if image.parent.name != 'samples': return image
    raise InputError(f'{image}: no such file; samples are '
                     f'{", ".join(samples)}{did_you_mean(image.stem, samples)}')


def check_words(
    o: Predict,
) -> tuple[Path | None, Path]:   # run, image
    "InputError for what is wrong and can be seen without torch."
    if len(o.paths) not in (1, 2):
        raise InputError('expected an image, or a run and an image, found '
                         f'{len(o.paths)} names (see ssr_predict --help)')
    run = o.paths[0] if len(o.paths) == 2 else None
    if run: check_weights(run)
    image = find_sample(o.paths[-1])
    check_file(image)
    if o.mask: check_file(o.mask, '--mask')
    check_out(o.out)
    if o.preview:
        if o.preview.suffix.lower() != '.png':
            raise InputError(f'--preview: {o.preview}: images are written as .png')
        check_out(o.preview, '--preview')
    return run, image


@command('ssr_predict')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "One image in, one mesh out."
    o = parse(Predict, words, 'ssr_predict')
    run, image = check_words(o)
    from ..data import load_image
    from ..meshio import save_mesh
    from ..pretrained import fit_mask
    from ..reconstruct import Reconstructor
    model = Reconstructor.load(run) if run else Reconstructor.pretrained()
    try: pixels = load_image(image, o.mask, model.architecture['image_size'], o.frame)
    except InputError as error: raise InputError(with_mask_option(error)) from None
    # networks know the images of a left-handed camera: the mirror images
    if not o.mirrored: pixels = pixels.flip(-1)
    mesh = model.predict(pixels)
    save_mesh(mesh, o.out)
    if not run: say(network_line())
    say(f'{o.out}: {len(mesh.vertices)} vertices, {len(mesh.faces)} faces')
    fit = fit_mask(mesh, pixels[3]/255)
    if not run: say(fit_line(fit))
    if o.preview:
        from ..figures import write_figure
        write_figure(preview_figure(pixels.flip(-1), mesh, fit), o.preview)
        say(f'{o.preview}: the image, the mesh from its side and from the other')


def network_line() -> str:
    "What the network that comes with the package has learned from."
    from ..pretrained import pretrained_facts
    about = pretrained_facts()
    *first, last = about['families']
    return (f'the network of the package: trained on {about["objects"]} built-in '
            f'objects, {", ".join(first)} and {last}; 3D IoU '
            f'{about["iou"]["all"]:.2f} on others of these')


def fit_line(fit: 'MaskFit') -> str:
    "Whether the mesh can be believed."
    found = (f'from its best side its outline is {fit.offset:.1f} pixels off the '
             f"image's, in the mean (silhouette IoU {fit.iou:.2f})")
    if not fit.guess: return found
    return (f'a guess: {found}; the image is unlike those in training, or shows '
            'the object from another height or at another size (see --frame)')


def preview_figure(
    pixels: 'Tensor',   # (4, S, S) uint8, as an eye sees the object
    mesh: 'Mesh',
    fit: 'MaskFit',
) -> 'Figure':
    "The image, and the shape from the viewpoint where it fits best and from behind."
    import numpy as np
    import torch
    from matplotlib.figure import Figure

    from ..display import GREY, straight_alpha, tinted
    from ..render import render_views
    views = torch.tensor([[2.732, 30., fit.azimuth], [2.732, 30., fit.azimuth + 180]])
    renders = np.asarray(render_views(tinted(mesh, GREY), views, 256))[..., ::-1]   # as an eye sees it
    figure = Figure(figsize=(9, 3.3), layout='constrained', facecolor='white')
    titles = 'image', 'mesh from the same side', 'mesh from the other side'
    shown = [pixels.numpy(), *renders]
    for ax, title, image in zip(figure.subplots(1, 3), titles, shown):
        ax.imshow(straight_alpha(image).transpose(1, 2, 0))
        ax.set_title(title)
        ax.axis('off')
    return figure


def with_mask_option(
    error: InputError,
) -> str:
    "An error about a mask names the option."
    text = str(error)
    if text.startswith('mask: '): return f'--{text}'
    return text.replace('no mask:', 'no --mask:')


if __name__ == '__main__': sys.exit(main())

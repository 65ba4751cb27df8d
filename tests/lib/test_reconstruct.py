"Weights of a Reconstructor as files, images of every kind, and colours."
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.testing import assert_close

from ssr_nb.camera import viewpoint_ring
from ssr_nb.core import InputError
from ssr_nb.mesh import icosphere
from ssr_nb.reconstruct import (ReconstructionLoss, Reconstructor,
                                reconstruction_iou)
from ssr_nb.render import Light, SoftRenderer, render_views
from ssr_nb.shapes import make_shape
from ssr_nb.voxels import voxelize


def seeded(seed=0): return torch.Generator().manual_seed(seed)


def tiny_model(seed=0, **options):
    "A Reconstructor small enough for a test; its weights depend on the seed alone."
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Reconstructor(subdivisions=1, width=4, hidden=32, features=16, **options)


def pictures(seed=0):
    "24 views of one built-in chair: uint8 (24, 4, 64, 64)."
    return render_views(make_shape('chair', seeded(seed)), viewpoint_ring())


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path):
    path = tmp_path/'weights.safetensors'
    with pytest.raises(InputError, match='no such weights file'): Reconstructor.load(path)
    path.write_bytes(b'not at all')
    with pytest.raises(InputError, match='not a safetensors file'): Reconstructor.load(path)
    save_file({'a': torch.zeros(1)}, path)
    with pytest.raises(InputError, match='not the weights'): Reconstructor.load(path)
    save_file({'a': torch.zeros(1)}, path, metadata={'architecture': '{"subdivisions": 1}'})
    with pytest.raises(InputError, match='not the weights') as error: Reconstructor.load(path)
    assert '\n' not in str(error.value)


def test_a_description_that_asks_for_a_larger_network_than_its_weights_builds_nothing(tmp_path):
    weights = {k: v.contiguous() for k, v in tiny_model().state_dict().items()}
    about = tiny_model().architecture
    path = tmp_path/'weights.safetensors'
    for wrong in (dict(hidden=10**9), dict(subdivisions=8), dict(width=10**6), dict(image_size=10**6), dict(features=10**12),
                  dict(subdivisions=10**9), dict(subdivisions=-1), dict(hidden=1e400), dict(width=None), dict(image_size='x')):
        save_file(weights, path, metadata={'architecture': json.dumps(about | {'template': [9, 2, 4, 1]} | wrong)})
        with pytest.raises(InputError, match='not the weights of a Reconstructor'): Reconstructor.load(path)
    for wrong in 'null', '[]', '3', '"level"', '"x"', '['*100_000:
        save_file(weights, path, metadata={'architecture': wrong})
        with pytest.raises(InputError, match='not the weights of a Reconstructor'): Reconstructor.load(path)
    for other in {}, {'template': [1, 0, 0, 0]}, {'template': 9}:      # weights for a sphere in another rotation
        save_file(weights, path, metadata={'architecture': json.dumps(about | other)})
        with pytest.raises(InputError, match='deform another template sphere; train it again'): Reconstructor.load(path)
    save_file(weights, path, metadata={'architecture': json.dumps(about | {'template': [9, 2, 4, 1]})})
    assert len(Reconstructor.load(path).faces) == 80


def test_predict_takes_a_path_an_image_an_array_and_a_tensor(tmp_path):
    model, pixels = tiny_model(), torch.as_tensor(pictures()[3])
    array = pixels.permute(1, 2, 0).numpy()
    path = tmp_path/'chair.png'; Image.fromarray(array).save(path)
    meshes = [model.predict(i) for i in (path, str(path), Image.open(path), array, pixels)]
    for mesh in meshes: assert_close(mesh.vertices, meshes[0].vertices)
    assert meshes[0].faces.shape == (80, 3) and model.training


def test_with_a_frame_an_object_in_the_corner_of_a_large_canvas_gives_nearly_the_same_mesh():
    model, array = tiny_model(), torch.as_tensor(pictures()[3]).permute(1, 2, 0).numpy()
    small = Image.fromarray(array).resize((48, 48), Image.BOX)
    canvas = Image.new('RGBA', (400, 300)); canvas.paste(small, (345, 5))
    usual, moved = (model.predict(image, frame=True).vertices for image in (array, canvas))
    lost = model.predict(canvas).vertices
    assert (usual - moved).norm() < .2*(usual - lost).norm()
    assert_close(model.predict(array).vertices, model.predict(array, frame=False).vertices, rtol=0, atol=0)


def test_a_model_with_colours_gives_them_and_keeps_its_shape_and_survives_the_round_trip(tmp_path):
    model, images = tiny_model(colors=True).eval(), torch.rand(2, 4, 64, 64, generator=seeded())
    vertices, colors = model(images, True)
    assert_close(model(images), vertices, atol=0, rtol=0)
    assert colors.shape == (2, 42, 3) and ((colors > 0) & (colors < 1)).all()
    model.save(tmp_path/'reconstructor.safetensors')
    loaded = Reconstructor.load(tmp_path)
    mesh = loaded.predict((images[1]*255).byte())
    assert loaded.architecture['colors'] and mesh.vertex_colors.shape == (42, 3)
    assert tiny_model().predict((images[1]*255).byte()).vertex_colors is None


def test_colours_are_compared_under_the_masks_of_both_viewpoints():
    views = viewpoint_ring()[[0, 6]][:, None]
    sphere, generator = icosphere(2), seeded()
    meshes = torch.stack([sphere.vertices*torch.tensor(size) for size in ([.2, .4, .05], [.05, .1, .4])])[:, None]
    images = torch.rand(2, 1, 4, 64, 64, generator=generator); masks = (images[:, :, 3] > .5).float()
    paint = torch.rand(2, 1, 162, 3, generator=generator)
    loss_of = ReconstructionLoss(sphere.faces, color=.7)
    plain, colored = loss_of(meshes, masks, views), loss_of(meshes, masks, views, 1e-4, images[:, :, :3], paint)
    draw = SoftRenderer(64, sigma=1e-4, dist_eps=1e-10, light=Light(1., 0.))
    by_hand = [(draw(meshes[m], sphere.faces, views[v], paint[m])[:, :3] - images[v, :, :3]*masks[v][:, None]).abs().mean() for m in (0, 1) for v in (0, 1)]
    assert_close(colored - plain, .7*torch.stack(by_hand).mean())


def test_a_few_steps_of_training_lower_the_loss_by_a_third():
    model, ring = tiny_model(), viewpoint_ring()
    images = torch.as_tensor(pictures()).float()/255
    loss_of, generator = ReconstructionLoss(model.faces), seeded()
    adam, losses = torch.optim.Adam(model.parameters(), lr=3e-3), []
    for _ in range(60):
        pair = torch.randint(24, (2, 4), generator=generator)
        vertices = model(images[pair].flatten(0, 1)).unflatten(0, (2, 4))
        loss = loss_of(vertices, images[pair][:, :, 3], ring[pair])
        adam.zero_grad(); loss.backward(); adam.step(); losses.append(loss.item())
    assert sum(losses[-10:]) < 2/3*sum(losses[:10])


def test_every_view_of_every_object_is_scored_as_it_would_be_alone():
    model = tiny_model().eval()
    images = torch.as_tensor(np.stack([pictures(seed=0), pictures(seed=1)]))[:, :3]
    shapes = [make_shape('chair', seeded(s)) for s in (0, 1)]
    voxels = torch.cat([voxelize(m.vertices, m.faces) for m in shapes])
    scores = reconstruction_iou(model, images, voxels, block=1)
    assert scores.shape == (2, 3) and 0 < scores.mean() < 1
    alone = voxelize(model.predict(images[1, 2]).vertices, model.faces)[0]
    assert_close(scores[1, 2], (alone & voxels[1]).sum()/(alone | voxels[1]).sum())

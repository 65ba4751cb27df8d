"ssr_predict: one image in, one mesh out."
import pytest
from pathlib import Path

import numpy as np
import torch
from commands import answers_without_torch, done, refused, write_model
from PIL import Image

from ssr_nb.camera import viewpoint_ring
from ssr_nb.cli import render
from ssr_nb.cli.predict import main
from ssr_nb.mesh import Mesh, normalize
from ssr_nb.meshio import load_mesh, save_mesh
from ssr_nb.pretrained import sample_images
from ssr_nb.reconstruct import Reconstructor
from ssr_nb.render import SoftRenderer, render_views


def test_prediction_refuses_images_that_it_cannot_use_and_leaves_nothing_behind(tmp_path):
    run, out = write_model(tmp_path/'run'), tmp_path/'mesh.obj'
    rgba = np.zeros((50, 70, 4), np.uint8); rgba[10:40, 20:50] = 255
    images = {'good': rgba, 'no_alpha': rgba[..., :3], 'empty': rgba*0, 'full': rgba*0 + 255}
    for name, pixels in images.items(): Image.fromarray(pixels).save(tmp_path/f'{name}.png')
    Image.fromarray(rgba[..., 3]).save(tmp_path/'mask.png'); Image.fromarray(rgba[:9, :9, 3]).save(tmp_path/'small_mask.png')
    (tmp_path/'zero.png').touch(); (tmp_path/'words.png').write_text('no image')
    (tmp_path/'cut.png').write_bytes((tmp_path/'good.png').read_bytes()[:60])
    good = tmp_path/'good.png'
    def say(image, *words): return refused(main, run, tmp_path/image, '-o', out, *words, within=tmp_path)
    for image in ('none.png', 'no_alpha.png', 'empty.png', 'full.png', 'zero.png', 'words.png', 'cut.png'): assert image in say(image)
    assert '--mask' in say('no_alpha.png') and '--mask: expected 70' in say('no_alpha.png', '--mask', tmp_path/'small_mask.png')
    assert 'none.png' in say('no_alpha.png', '--mask', tmp_path/'none.png')
    assert 'out' in refused(main, run, good, within=tmp_path)
    assert 'mesh.doc' in refused(main, run, good, '-o', tmp_path/'mesh.doc', within=tmp_path)
    assert 'nowhere' in refused(main, run, good, '-o', tmp_path/'nowhere'/'mesh.obj', within=tmp_path)
    assert 'no such weights' in refused(main, tmp_path/'norun', good, '-o', out, within=tmp_path)
    done(main, run, tmp_path/'no_alpha.png', '--mask', tmp_path/'mask.png', '-o', out)
    done(main, run, good, '-o', tmp_path/'mesh.ply')
    assert len(load_mesh(out).faces) == len(load_mesh(tmp_path/'mesh.ply').faces) == 80


def test_prediction_answers_without_torch(tmp_path):
    run, image = write_model(tmp_path/'run'), tmp_path/'a.png'
    Image.new('RGBA', (8, 8)).save(image)
    out = ['-o', tmp_path/'m.obj']
    answers_without_torch('predict', [tmp_path/'norun', image, *out], [run, tmp_path/'none.png', *out], [run, image, '--mask', tmp_path/'none.png', *out],
                          [run, image, '-o', tmp_path/'nowhere'/'m.obj'], [run, image, '-o', tmp_path], [run, image], [run, image, '--maks', 'x', *out])


def test_a_small_object_in_a_corner_is_framed_where_it_is_asked_for(tmp_path):
    run = write_model(tmp_path/'run')
    rgba = np.zeros((64, 64, 4), np.uint8); rgba[12:54, 20:50] = 200
    corner = np.zeros((400, 500, 4), np.uint8); corner[10:74, 420:484] = rgba
    for name, pixels in dict(whole=rgba, corner=corner).items(): Image.fromarray(pixels).save(tmp_path/f'{name}.png')

    def vertices(image, *words):
        done(main, run, tmp_path/f'{image}.png', '-o', tmp_path/f'{image}.obj', *words)
        return load_mesh(tmp_path/f'{image}.obj').vertices

    whole = vertices('whole', '--frame')
    assert vertices('corner', '--frame').equal(whole) and not vertices('corner').equal(whole)


def letter(*hand):
    "A flat F that reads F from +z, or in a mirror for hand = -1."
    bars = [(0, 0, .5, 3), (.5, 2.5, 2, 3), (.5, 1.2, 1.5, 1.7)]
    corners = torch.tensor([[(a, b, 0), (c, b, 0), (c, d, 0), (a, d, 0)] for a, b, c, d in bars]).float().flatten(0, 1)
    faces = torch.tensor([[4*k + i for i in f] for k in range(3) for f in ((0, 1, 2), (0, 2, 3))])
    return normalize(Mesh(corners*torch.tensor([*hand, 1., 1.][:3]), faces))


@pytest.mark.slow
def test_a_photograph_of_the_letter_f_becomes_a_mesh_that_reads_f(tmp_path):
    "A network that was taught, by the data sets' camera, the letter and its mirror image."
    torch.manual_seed(0)
    model, views = Reconstructor(1, 64, 4, 32, 16, batch_norm=False), viewpoint_ring()[[10, 12, 14]]
    letters = [letter(hand, 1., 1.) for hand in (1., -1.)]
    images = torch.stack([render_views(m, views[1])[0] for m in letters]).float()/255
    masks = torch.stack([render_views(m, views)[:, 3] for m in letters]).float()/255
    adam, renderer = torch.optim.Adam(model.parameters(), 2e-3), SoftRenderer(64, sigma=1e-3, dist_eps=1e-10)
    for _ in range(150):
        seen = renderer.silhouettes(model(images).repeat_interleave(3, 0), model.faces, views.repeat(2, 1))
        loss = (seen - masks.flatten(0, 1)).square().mean()
        adam.zero_grad(); loss.backward(); adam.step()
    Path(tmp_path/'run').mkdir(); model.save(tmp_path/'run'/'reconstructor.safetensors')

    def picture(mesh, name):
        save_mesh(mesh, tmp_path/f'{name}.obj')
        done(render.main, tmp_path/f'{name}.obj', '--size', 64, '--fit', 'never', '-o', tmp_path/f'{name}.png')
        return np.asarray(Image.open(tmp_path/f'{name}.png'))[..., 3] > 127

    photo, overlap = picture(letters[0], 'photo'), {}
    for name, words in dict(photograph=[], mirrored=['--mirrored']).items():
        done(main, tmp_path/'run', tmp_path/'photo.png', '-o', tmp_path/'mesh.obj', *words)
        seen = picture(load_mesh(tmp_path/'mesh.obj'), name)
        overlap[name] = [(seen & p).sum()/(seen | p).sum() for p in (photo, photo[:, ::-1])]
    assert overlap['photograph'][0] > overlap['photograph'][1] + .1, overlap
    assert overlap['mirrored'][1] > overlap['mirrored'][0] + .1, overlap


def test_without_a_run_the_network_of_the_package_answers_says_what_it_knows_and_whether_it_guesses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)   # samples/ is not here
    said = done(main, 'samples/chair.png', '-o', 'chair.obj', '--preview', 'seen.png')
    assert 'trained on 1680 built-in objects' in said and 'chair' in said and 'a guess' not in said
    assert len(load_mesh('chair.obj').vertices) == 642 and Image.open('seen.png').size[0] >= 1000
    Image.open(sample_images()['sofa']).rotate(90).save('on_its_end.png')
    assert 'a guess: ' in done(main, 'on_its_end.png', '-o', 'end.obj')
    wrong = refused(main, 'samples/chiar.png', '-o', 'x.obj', within=tmp_path)
    assert 'did you mean chair?' in wrong
    assert '--preview' in refused(main, 'on_its_end.png', '-o', 'x.obj', '--preview', 'seen.jpg', within=tmp_path)
    assert 'an image, or a run and an image' in refused(main, 'a', 'b', 'c', '-o', 'x.obj', within=tmp_path)


def test_an_image_is_that_of_an_eye_and_the_mesh_is_not_mirrored(tmp_path):
    run = write_model(tmp_path/'run')
    half = np.zeros((64, 64, 4), np.uint8); half[12:54, 20:30] = 200; half[30:54, 30:50] = 90; half[..., 3][half[..., 0] > 0] = 255
    Image.fromarray(half).save(tmp_path/'eye.png')
    done(main, run, tmp_path/'eye.png', '-o', tmp_path/'mesh.obj')
    camera = np.ascontiguousarray(half[:, ::-1])   # as the left-handed camera of data sets sees it
    made = load_mesh(tmp_path/'mesh.obj').vertices
    seen, mirrored = (Reconstructor.load(run).predict(image).vertices for image in (camera, half))
    assert (made - seen).abs().max() < .1*(made - mirrored).abs().max()

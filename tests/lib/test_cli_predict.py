"ssr_predict: one image in, one mesh out."
import numpy as np
from commands import answers_without_torch, done, refused, write_model
from PIL import Image

from ssr_nb.cli.predict import main
from ssr_nb.meshio import load_mesh


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

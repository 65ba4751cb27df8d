"ssr_eval: a score, the files it wrote, a word when network and data differ."
import json
import re

import pytest
import numpy as np
from commands import TINY, answers_without_torch, done, refused, shell, write_data
from PIL import Image
from torch.testing import assert_close

from ssr_nb.cli import predict, train
from ssr_nb.cli.evaluate import best_and_worst, main
from ssr_nb.meshio import load_mesh
from ssr_nb.reconstruct import Reconstructor


@pytest.mark.slow
def test_a_run_is_trained_evaluated_and_used_from_the_shell(tmp_path):
    d, run = write_data(tmp_path), tmp_path/'run'
    done(train.main, d, '--category', 'plane', '--out', run, *TINY)
    shown = done(main, run, d)
    result = json.loads((run/'eval_test.json').read_text())
    assert result['objects'] == 2 and f'{result["iou"]:.3f}' in shown
    assert sorted(re.findall(r'(best|worst): object (\d) [.\d]+$', shown, re.MULTILINE)) == [
        ('best', str(result['best'][0])), ('worst', str(result['worst'][0]))]
    assert shown.splitlines()[-1] == f'wrote {run}/eval_test.json and {run}/gallery_test.png'
    assert Image.open(run/'gallery_test.png').size[0] > 100
    pixels = np.load(f'{d}/plane_test_images.npz')['arr_0'][0, 3]
    Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path/'plane.png')
    done(predict.main, run, tmp_path/'plane.png', '-o', tmp_path/'plane.obj', '--mirrored')
    assert_close(load_mesh(tmp_path/'plane.obj').vertices, Reconstructor.load(run).predict(pixels).vertices)
    write_data(tmp_path, 'chair')     # of another category: said, and not written as the run's own score
    (run/'eval_test.json').unlink()
    code, out, err = shell(main, run, d, '--category', 'chair')
    assert code == 0 and err == 'ssr_eval: the network was trained on plane, these are objects of chair\n'
    assert out.splitlines()[-1] == f'wrote {run}/gallery_chair_test.png' and not (run/'eval_test.json').exists()


def test_of_few_objects_each_is_listed_once():
    def ends(n): return best_and_worst(dict(objects=n, best=list(range(n))[::-1][:5], worst=list(range(n))[:5]))
    assert ends(1) == dict(best=[0]) and ends(3) == dict(best=[2, 1], worst=[0])
    assert ends(20) == dict(best=[19, 18, 17, 16, 15], worst=[0, 1, 2, 3, 4])


def test_evaluation_answers_without_torch_what_is_no_run_and_what_is_no_data(tmp_path):
    d, run = write_data(tmp_path), tmp_path/'run'
    (tmp_path/'empty').mkdir(); run.mkdir()
    (run/'config.json').write_text('{"category": "plane"}')
    answers_without_torch('evaluate', [tmp_path/'none', d], [tmp_path/'empty', d], [run, d], [run], [run, d, '--splt', 'val'])
    assert 'no config.json' in refused(main, tmp_path/'empty', d) and 'reconstructor.safetensors: no such weights' in refused(main, run, d)
    (run/'reconstructor.safetensors').touch()
    answers_without_torch('evaluate', [run, tmp_path/'nowhere'], [run, tmp_path/'empty'], [run, d, '--category', 'plain'], [run, d, '--threads', '0'])
    assert 'did you mean plane?' in refused(main, run, d, '--category', 'plain')
    for text in ('{', '[]', '{"category": 3}'):
        (run/'config.json').write_text(text)
        assert 'config.json' in refused(main, run, d, within=tmp_path)

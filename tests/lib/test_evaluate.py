import numpy as np
import pytest
import torch
from fake_runs import box_split, tiny_model, write_data, write_run
from torch.testing import assert_close

from ssr_nb.core import InputError
from ssr_nb.evaluate import (
    PUBLISHED,
    evaluate_run,
    gap_closed,
    published_gap,
    read_evaluation,
    score_split,
    summarize,
)
from ssr_nb.voxels import voxel_iou, voxelize


def test_scores_are_those_of_single_images_and_do_not_depend_on_the_block():
    model, split = tiny_model(), box_split()
    scores = score_split(model, split, block=2)
    assert scores.shape == (3, 24) and 0 < scores.min() <= scores.max() < 1
    mesh = model.predict(split.images[2, 7])
    alone = voxel_iou(voxelize(mesh.vertices, mesh.faces), torch.tensor(split.voxels[2:]))
    assert_close(torch.tensor(scores[2, 7:8]), alone)


def test_a_summary_is_the_mean_over_views_and_objects_and_names_the_extremes():
    summary = summarize(np.array([[.2, .4], [.6, .8], [.0, .2]]), extremes=2)
    assert_close(summary['iou'], 2.2/6)
    assert_close(summary['per_view'], [.2667, .4667])
    assert_close(summary['per_object'], [.3, .7, .1])
    assert summary['worst'] == [2, 0] and summary['best'] == [1, 0]
    assert summary['objects'] == 3


def test_an_evaluation_is_written_beside_the_weights_and_read_back(tmp_path):
    run, split = write_run(tmp_path/'run'), write_data(tmp_path)
    before = {f.name for f in run.iterdir()}
    assert read_evaluation(run) == {}
    result = evaluate_run(run, tmp_path)
    assert read_evaluation(run) == result
    assert {f.name for f in run.iterdir()} - before == {'eval_test.json'}
    assert_close(result['iou'], float(score_split(tiny_model(), split).mean()))


def test_a_score_counts_only_as_long_as_the_weights_are_those_it_was_made_with(tmp_path):
    run = write_run(tmp_path/'run')
    write_data(tmp_path)
    old = evaluate_run(run, tmp_path)
    tiny_model(seed=1).save(run/'reconstructor.safetensors')    # the run was prolonged
    assert read_evaluation(run) == {}
    new = evaluate_run(run, tmp_path)
    assert read_evaluation(run) == new and new['iou'] != old['iou']
    (run/'reconstructor.safetensors').unlink()
    assert read_evaluation(run) == {}


def test_an_evaluation_of_the_first_edition_knows_no_weights_and_is_made_again(tmp_path):
    run = write_run(tmp_path/'run')
    (run/'eval_test.json').write_text('{"iou": 0.5}')
    assert read_evaluation(run) == {}


def test_another_category_is_scored_and_not_written(tmp_path):
    run = write_run(tmp_path/'run')
    write_data(tmp_path, category='chair')
    assert evaluate_run(run, tmp_path, category='chair')['category'] == 'chair'
    assert not (run/'eval_test.json').exists()


def test_an_evaluation_that_cannot_be_made_leaves_nothing_behind(tmp_path):
    def message(call, *arguments):
        with pytest.raises(InputError) as refusal: call(*arguments)
        assert '\n' not in (text := str(refusal.value))
        return text
    run = write_run(tmp_path/'run')
    before = sorted(run.iterdir())
    assert 'no category' in message(evaluate_run, run, tmp_path)
    write_data(tmp_path)
    assert 'no such file' in message(evaluate_run, run, tmp_path, 'val')
    (run/'reconstructor.safetensors').write_bytes(b'broken')
    assert 'not a safetensors file' in message(evaluate_run, run, tmp_path)
    assert sorted(run.iterdir()) == before
    for content in ('{}', '[]', '{"iou": "high"}', '{"iou": null}'):
        (run/'eval_test.json').write_text(content)
        assert 'not an evaluation' in message(read_evaluation, run)


def test_the_mean_of_each_published_row_is_its_last_column():
    for row in (r for r in PUBLISHED.values() if 'mean' in r):
        assert len(row) == 14
        assert abs(np.mean([v for c, v in row.items() if c != 'mean']) - row['mean']) < .0051


def test_the_published_gaps_are_54_68_and_80_percent():
    assert [round(100*published_gap(n)) for n in (2, 5, 20)] == [54, 68, 80]
    assert np.isnan(gap_closed(.5, .6, .6))

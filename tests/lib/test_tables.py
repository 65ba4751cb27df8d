import multiprocessing

import numpy as np
import pandas as pd
import pytest
from fake_runs import write_data, write_run

from ssr_nb.core import InputError
from ssr_nb.evaluate import evaluate_run
from ssr_nb.tables import (
    CURVES,
    RESULTS,
    ablation_table,
    check_results,
    curves_path,
    gap_table,
    keep_results,
    markdown_table,
    paired_differences,
    paired_gaps,
    published_table,
    read_curves,
    read_results,
    results_table,
    run_table,
    score_table,
)


def line(method='ssr', seed=0, iou=.25, category='chair', labeled=2, **more):
    "A finished run."
    return dict(category=category, method=method, labeled=labeled, seed=seed,
                preset='small', iterations=8, threads=1, val_iou=.3, test_iou=iou, best_at=8,
                label_coverage=.5, label_accuracy=.8, neighbour=.1,
                opposite=np.nan, seconds=1.5) | more


def results(*lines): return pd.DataFrame(lines)


def keep_some(path, start, count):
    "Lines of one process, one at a time."
    for seed in range(start, start + count): keep_results(path, [line(seed=seed)])


# ------------------------------------------------------------------- files --
def test_lines_are_kept_in_order_and_read_back_as_numbers(tmp_path):
    path = tmp_path/'new'/'results.csv'
    keep_results(path, [line(labeled=20), line(labeled=5, iou=1/3, opposite=0.)])
    table = read_results(path)
    assert list(table.columns) == list(RESULTS)
    assert table['labeled'].tolist() == [5, 20]          # by number, not by letter
    assert table['test_iou'].tolist() == [.3333, .25]
    assert np.isnan(table['opposite'][1]) and table['opposite'][0] == 0
    assert table['best_at'].dtype == 'int64'
    keep_results(path, [line(labeled=5, iou=.4)])        # the same run, run again
    assert read_results(path)['test_iou'].tolist() == [.4, .25]
    assert path.read_text().splitlines()[1] == (
        'chair,ssr,5,0,small,8,0.3,0.4,8,0.5,0.8,0.1,,1,1.5')


def test_no_file_yet_is_a_table_without_rows(tmp_path):
    table = read_results(tmp_path/'results.csv')
    assert len(table) == 0 and list(table.columns) == list(RESULTS)
    assert len(read_curves(tmp_path/'results.csv')) == 0
    assert len(results_table(table, ['ssr'])) == len(gap_table(table, ['ssr'])) == 0


def test_two_processes_that_fill_one_file_keep_all_lines(tmp_path):
    path = tmp_path/'results.csv'
    context = multiprocessing.get_context('fork')
    two = [context.Process(target=keep_some, args=(path, start, 12)) for start in (0, 12)]
    for process in two: process.start()
    for process in two: process.join()
    assert [process.exitcode for process in two] == [0, 0]
    assert read_results(path)['seed'].tolist() == list(range(24))
    assert (tmp_path/'.results.csv.lock').exists()       # never removed


def test_curves_of_a_run_replace_its_old_ones_beside_the_results(tmp_path):
    path = tmp_path/'table.csv'
    def curve(method, *ious):
        return pd.DataFrame([dict(category='chair', method=method, labeled=2, seed=0,
                                  preset='small', iterations=8,
                                  iteration=4*(i + 1), val_iou=iou, label_coverage=0.,
                                  label_accuracy=np.nan) for i, iou in enumerate(ious)])
    keep_results(path, [line()], curve('ssr', .1, .2, .3))
    keep_results(path, [line('ring')], curve('ring', .4))
    keep_results(path, [line()], curve('ssr', .5, .6))
    assert curves_path(path).name == 'table_curves.csv'
    curves = read_curves(path)
    assert list(curves.columns) == list(CURVES)
    assert curves[['method', 'iteration', 'val_iou']].values.tolist() == [
        ['ring', 4, .4], ['ssr', 4, .5], ['ssr', 8, .6]]
    assert curves['label_accuracy'].isna().all()


@pytest.mark.parametrize(('damage', 'told'), [
    (lambda text: text[:-9], 'cut off'),                         # in its last number
    (lambda text: text[:text.rindex(',8,')], 'cut off'),
    (lambda text: text + 'chair,ssr\n', 'expected 15 cells in a line, found 2'),
    (lambda text: text.replace('0.25', 'high'), 'test_iou.*high'),
    (lambda text: text.replace(',2,', ',two,'), 'labeled.*two'),
    (lambda text: text.replace('ssr', ''), 'method: expected a name'),
    (lambda text: text.replace('ssr', '\x1b[2J'), 'method: expected a name'),
    (lambda text: text.replace('ssr', 's\0r'), 'expected a name|NUL'),
    (lambda text: text.replace('best_at', 'best'), 'no column best_at'),
    (lambda text: text.replace('best_at', 'best_at,seed'), 'a column twice'),
    (lambda text: '', None),
    (lambda text: '"' + text, 'not a table'),
    (lambda text: text + '\n', 'found 0'),
    (lambda text: text + text[text.index('\n') + 1:-1] + ',1,2\n', 'found 17')])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, damage, told):
    path = tmp_path/'results.csv'
    keep_results(path, [line()])
    path.write_text(damage(path.read_text()))
    if told is None: return check_results(path)
    with pytest.raises(InputError, match=told) as refusal: read_results(path)
    assert str(path) in str(refusal.value) and '\n' not in str(refusal.value)
    assert str(refusal.value).isprintable()
    with pytest.raises(InputError): keep_results(path, [line(seed=1)])   # nor overwritten


def test_a_file_that_is_not_utf_8_is_refused_in_one_line(tmp_path):
    path = tmp_path/'results.csv'
    path.write_bytes(','.join(RESULTS).encode('utf-16'))
    with pytest.raises(InputError, match=r'results\.csv: not text in UTF-8'):
        read_results(path)
    (tmp_path/'other_curves.csv').write_bytes(b'\xff\xfe')
    with pytest.raises(InputError, match=r'other_curves\.csv: not text in UTF-8'):
        check_results(tmp_path/'other.csv')


def test_a_folder_is_no_results_file(tmp_path):
    with pytest.raises(InputError, match='is a folder'): check_results(tmp_path)
    with pytest.raises(InputError): read_results(tmp_path)


def test_a_lock_that_is_a_link_is_refused_and_what_it_points_to_stays(tmp_path):
    other = tmp_path/'other'
    (tmp_path/'.results.csv.lock').symlink_to(other)
    with pytest.raises(InputError, match='expected a file or nothing'):
        check_results(tmp_path/'results.csv')
    assert not other.exists()


# ---------------------------------------------------------------- markdown --
def test_markdown_shows_what_is_there_and_a_dash_for_what_is_not():
    rows = [dict(run='a|b', iou=.5, share=None), dict(run='<c>', iou=float('nan'), objects=3)]
    assert markdown_table(rows).splitlines() == [
        '| run | iou | share | objects |', '| --- | --: | --: | --: |',
        r'| a\|b | 0.500 | – | – |', '| <c> | – | – | 3 |']
    assert markdown_table([dict(run='a', iou=.5, n=3), dict(run='longer', iou=None, n=12)],
                          aligned=True).splitlines() == [
        '| run    |   iou |   n |', '| ------ | ----: | --: |',
        '| a      | 0.500 |   3 |', '| longer |     – |  12 |']
    assert markdown_table([]) == '' == markdown_table(pd.DataFrame(dict(a=[])))


def test_the_index_of_a_table_stands_first_where_it_has_a_name():
    table = pd.DataFrame(dict(method=['ssr'], N=[2], mean=[.5])).set_index(['method', 'N'])
    assert markdown_table(table).splitlines()[0] == '| method | N | mean |'
    assert markdown_table(table.reset_index()).splitlines()[0] == '| method | N | mean |'


# ------------------------------------------------------------- comparisons --
def test_tables_show_means_and_spreads_and_gaps_of_the_same_seeds():
    table = results(line('softras', 0, .2), line('softras', 1, .3), line('ssr', 0, .3),
                    line('ssr', 1, .35), line('softras', 0, .4, labeled=0))
    shown = results_table(table, ['softras', 'ssr'])
    assert shown['chair'].to_dict() == {
        ('softras', 2): '0.250 ± 0.050', ('ssr', 2): '0.325 ± 0.025',
        ('softras', 'all'): '0.400'}
    assert paired_gaps(table, 'chair', 'ssr', 2).to_dict() == pytest.approx({0: .5, 1: .5})
    assert gap_table(table, ['ssr']).loc[('ssr', 2)].to_dict() == {
        'chair': '50%', 'mean': '50%', 'of the mean IoU': '50%'}
    assert score_table(table, ['ssr']).loc[('chair', 2, 'ssr')].to_dict() == {
        'test IoU': '0.325 ± 0.025', 'gap closed': '50%',
        'coverage': '0.500 ± 0.000', 'accuracy': '0.800 ± 0.000',
        'neighbour': '0.100 ± 0.000', 'opposite': '–', 'seeds': '0 1'}
    more = results(*table.to_dict('records'), line('softras', 0, .1, 'lamp'))
    assert results_table(more, ['ssr'])['mean'].tolist() == ['–', '–']   # no lamp of ssr


def test_the_gap_of_the_mean_is_not_the_mean_of_the_gaps():
    table = results(
        line('softras', 0, .2), line('ssr', 0, .3), line('softras', 0, .4, labeled=0),
        line('softras', 0, .2, 'lamp'), line('ssr', 0, .2, 'lamp'),
        line('softras', 0, .3, 'lamp', labeled=0))
    row = gap_table(table, ['ssr']).loc[('ssr', 2)]
    assert row['mean'] == '25%' and row['of the mean IoU'] == '33%'      # .05 of .15


def test_what_an_option_is_worth_is_the_mean_difference_of_equal_seeds():
    table = results(line('ring', 0, .2), line('ring', 1, .4), line('shy', 1, .3),
                    line('shy', 0, .16), line('shy', 2, .9), line('ring', 0, .5, 'lamp'),
                    line('shy', 0, .7, 'lamp'), line('shy', 0, .1, labeled=5),
                    line('bad', 0, .1))
    assert paired_differences(table, 'chair', 'shy', 'ring').to_dict() == pytest.approx(
        {0: -.04, 1: -.1})
    ablation = ablation_table(table)
    assert ablation.index.tolist() == ['bad', 'shy']                     # the worst first
    assert ablation.loc['shy'].to_dict() == dict(
        chair='-0.070 (2)', lamp='+0.200 (1)', mean='+0.065',
        coverage='0.500 ± 0.000', accuracy='0.800 ± 0.000')
    assert ablation_table(table, ['shy', 'bold']).index.tolist() == ['shy']


def test_the_published_table_has_a_dash_where_the_paper_gives_no_number():
    table = published_table(['plane', 'bench', 'mean'])
    assert table.loc[('ssr', 5), 'mean'] == .55 and len(table) == 9
    assert '| mvc | 0 | 0.380 | – | – |' in markdown_table(table)


def test_runs_stand_side_by_side_whether_evaluated_or_not(tmp_path):
    ssr = write_run(tmp_path/'ssr')
    softras = write_run(tmp_path/'softras', rule=None)
    write_data(tmp_path)
    evaluate_run(ssr, tmp_path)
    table = run_table([ssr, softras])
    assert table['method'].tolist() == ['ssr', 'softras']
    assert 0 < table.loc['ssr', 'test IoU'] < 1 and np.isnan(table.loc['softras', 'test IoU'])
    assert table.loc['ssr', 'coverage'] == .2 and np.isnan(table.loc['softras', 'coverage'])
    assert table.loc['ssr', 'val IoU'] == .22 and table.loc['ssr', 'iterations'] == 30


def test_a_run_without_a_validation_yet_has_a_row_of_dashes(tmp_path):
    row = run_table([write_run(tmp_path/'new', rows=0)]).loc['new']
    assert row['iterations'] == 0
    assert row[['val IoU', 'test IoU', 'coverage', 'accuracy']].isna().all()
    assert run_table([]).index.name == 'run'


# --------------------------------------------------------- unequal seeds and rows --
def unequal():
    "Chairs with three seeds of ssr and two of SoftRas, planes with other ones, a lamp without all labels."
    return results(
        *(line('softras', seed, iou) for seed, iou in enumerate((.2, .3))),
        *(line('ssr', seed, iou) for seed, iou in enumerate((.3, .35, .9))),
        line('softras', 0, .4, labeled=0), line('softras', 1, .5, labeled=0),
        line('softras', 1, .1, 'plane'), line('ssr', 1, .4, 'plane', label_coverage=.25),
        line('ssr', 2, .8, 'plane', label_coverage=.75), line('softras', 0, .5, 'plane', labeled=0),
        line('softras', 0, .2, 'lamp'), line('ssr', 0, .3, 'lamp'), line('ssr', 0, .3, 'lamp', labeled=5))


def test_a_gap_is_of_the_seeds_that_both_methods_have():
    table = unequal()
    assert paired_gaps(table, 'chair', 'ssr', 2).to_dict() == pytest.approx({0: .1/.25, 1: .05/.15})
    assert paired_gaps(table, 'plane', 'ssr', 2).to_dict() == pytest.approx({1: .3/.4})
    assert paired_gaps(table, 'lamp', 'ssr', 2).isna().all() and len(paired_gaps(table, 'lamp', 'ssr', 5)) == 0
    row = gap_table(table, ['ssr']).loc[('ssr', 2)]
    assert row['chair'] == '37%' and row['plane'] == '75%' and row['lamp'] == '–'
    assert row['mean'] == '56% (2 of 3)'                       # of 36.67 and 75
    # ours .325 + .4, alone .25 + .1, everything .45 + .5, each of the paired seeds
    assert row['of the mean IoU'] == '62% (2 of 3)'
    assert ('ssr', 5) not in gap_table(table, ['ssr']).index   # no pair anywhere


def test_a_mean_over_categories_is_of_all_of_them_or_missing():
    shown = results_table(unequal(), ['softras', 'ssr', 'ring'])
    assert shown['mean'].to_dict() == {('softras', 2): '0.183', ('ssr', 2): '0.472', ('ssr', 5): '–', ('softras', 'all'): '–'}
    assert shown.loc[('ssr', 5)].to_dict() == dict(chair='–', lamp='0.300', plane='–', mean='–')
    assert shown['chair']['ssr', 2] == '0.517 ± 0.300' and shown['plane']['softras', 2] == '0.100'


def test_scores_say_which_seeds_they_are_of():
    shown = score_table(unequal(), ['softras', 'ssr'])
    assert shown['seeds'].to_dict() == {
        ('chair', 2, 'softras'): '0 1', ('chair', 2, 'ssr'): '0 1 2', ('chair', 'all', 'softras'): '0 1',
        ('lamp', 2, 'softras'): '0', ('lamp', 2, 'ssr'): '0', ('lamp', 5, 'ssr'): '0',
        ('plane', 2, 'softras'): '1', ('plane', 2, 'ssr'): '1 2', ('plane', 'all', 'softras'): '0'}
    assert shown.loc[('plane', 2, 'ssr')].to_dict() == {
        'test IoU': '0.600 ± 0.200', 'gap closed': '75%', 'coverage': '0.500 ± 0.250', 'accuracy': '0.800 ± 0.000',
        'neighbour': '0.100 ± 0.000', 'opposite': '–', 'seeds': '1 2'}
    assert shown['gap closed']['chair', 2, 'softras'] == shown['gap closed']['lamp', 2, 'ssr'] == '–'


def test_an_ablation_says_of_how_many_seeds_each_cell_is():
    row, = ablation_table(unequal(), ['ssr'], 'softras').to_dict('records')
    assert row == dict(chair='+0.075 (2)', lamp='+0.100 (1)', plane='+0.300 (1)', mean='+0.158',
                       coverage='0.500 ± 0.250', accuracy='0.800 ± 0.000')
    differences = paired_differences(unequal(), 'chair', 'ssr', 'softras', column='val_iou')
    assert differences.to_dict() == {0: 0, 1: 0}


@pytest.mark.parametrize('other', [dict(iterations=9), dict(preset='paper')])
def test_runs_of_two_budgets_are_not_put_into_one_table(other):
    mixed = results(line('softras'), line('ssr', **other))
    for table in (results_table, gap_table, score_table, ablation_table):
        with pytest.raises(InputError, match='one preset and number of iterations, found small 8, ' + (
                'small 9' if 'iterations' in other else 'paper 8')):
            table(mixed, ['ssr'])


def test_curves_of_another_preset_do_not_replace_those_of_this_one(tmp_path):
    path = tmp_path/'table.csv'
    for preset, iou in (('small', .1), ('paper', .2)):
        keep_results(path, [line(preset=preset)], pd.DataFrame([dict(
            category='chair', method='ssr', labeled=2, seed=0, preset=preset, iterations=8, iteration=8,
            val_iou=iou, label_coverage=0., label_accuracy=np.nan)]))
    assert read_curves(path)[['preset', 'val_iou']].values.tolist() == [['paper', .2], ['small', .1]]
    assert read_results(path)['preset'].tolist() == ['paper', 'small']


def test_the_records_of_the_first_edition_are_whole(root):
    for name, rows in (('first_edition_2026-11-26', 109), ('ablation_2026-11-26', 76)):
        record = read_results(root/'nbs'/'results'/f'{name}.csv')
        assert len(record) == rows and set(record['preset']) == {'small'} and set(record['threads']) == {1}

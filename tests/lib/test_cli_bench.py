"ssr_bench: what is there is measured, and what is not is said."
import shlex

import torch
from commands import answers_without_torch, done, refused

from ssr_nb.cli.bench import main


def test_the_benchmark_measures_what_is_there_and_says_what_is_not():
    shown = done(main, *shlex.split('--faces 20 --image-size 8 --batch 2 3 --rounds 1 --backends reference fragments cpu triton pytorch3d'))
    lines = [line for line in shown.splitlines() if line.startswith('|')]
    assert len({len(line) for line in lines}) == 1                      # aligned
    assert [line.strip('| ').replace('|', ' ').split()[:6] for line in lines[2:]] == [
        [*case, '20', '8', '1'] for case in (('reference', 'silhouette', '1'), ('fragments', 'silhouette', '2'), ('cpu', 'silhouette', '2'),
                                             ('fragments', 'silhouette', '3'), ('cpu', 'silhouette', '3'))]
    if not torch.cuda.is_available():
        assert 'triton: left out' in shown
        assert '--backends: none left to measure (triton: no CUDA device)' in refused(main, '--backends', 'triton')
    assert 'million fragments/s' in shown and 'peak, MB' in shown


def test_colours_are_measured_on_any_number_of_threads():
    before = torch.get_num_threads()
    try: shown = done(main, *shlex.split('--faces 20 --image-size 8 --batch 2 --rounds 1 --color --threads 1 2'))
    finally: torch.set_num_threads(before)
    assert 'color' in shown and 'fragments: left out, compared by silhouettes only' in shown


def test_the_benchmark_answers_without_torch_what_cannot_be_measured():
    answers_without_torch('bench', ['--faces', '21'], ['--rounds', '0'], ['--batch', '0'], ['--backends', 'magic'], ['--backends'], ['--face', '20'])
    assert '--faces: expected' in refused(main, '--faces', '21') and '--rounds' in refused(main, '--rounds', '0')

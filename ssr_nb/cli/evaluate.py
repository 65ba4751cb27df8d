"ssr_eval: the 3D IoU of a trained network."
import sys
from dataclasses import dataclass
from typing import Any, Literal

from tyro.conf import Positional

from .shell import (
    Folder,
    check_category,
    check_least,
    check_run,
    command,
    parse,
    printable,
    say,
)

__all__: list[str] = []


@dataclass(frozen=True)
class Evaluate:
    """Score a trained network: 3D IoU over all views of all objects.

    Writes eval_<split>.json and gallery_<split>.png into the run folder.

    For example
      ssr_eval runs/plane_ssr_2_0 shapes
    """
    run: Positional[Folder]      # of ssr_train
    data: Positional[Folder]     # data set
    split: Literal['test', 'val', 'train'] = 'test'   # objects to score
    category: str | None = None  # name or WordNet id; none: as trained
    threads: int = 1             # of the CPU


def best_and_worst(
    result: dict[str, Any],   # of evaluate_run
) -> dict[str, list[int]]:    # best, worst -> object numbers, each object once
    "The ends of the list; of few objects the better and the worse half."
    count = result['objects']
    ends = dict(best=result['best'][:(count + 1)//2],
                worst=result['worst'][:count//2])
    return {name: end for name, end in ends.items() if end}


@command('ssr_eval')
def main(
    words: list[str],   # behind the command's name
) -> None:
    "Score a run on a split."
    o = parse(Evaluate, words, 'ssr_eval')
    check_least(threads=(o.threads, 1))
    trained = check_run(o.run)
    check_category(o.data, o.category or trained, [o.split])
    import torch

    from ..data import load_split
    from ..evaluate import evaluate_run
    from ..reconstruct import Reconstructor
    from ..figures import gallery, gallery_figure, write_figure
    from ..runs import read_run
    torch.set_num_threads(o.threads)
    result = evaluate_run(o.run, o.data, o.split, o.category)
    category, written = result['category'], [o.run/f'eval_{o.split}.json']
    picture = o.run/f'gallery_{o.split}.png'
    if category != trained:   # its score is not that of the run
        print(f'ssr_eval: the network was trained on {printable(trained)}, '
              f'these are objects of {printable(category)}', file=sys.stderr)
        written, picture = [], o.run/f'gallery_{category}_{o.split}.png'
    ends = best_and_worst(result)
    shown = [n for end in ends.values() for n in end[:2]]
    models = {read_run(o.run).method: Reconstructor.load(o.run)}
    objects = load_split(o.data, category, o.split)
    write_figure(gallery_figure(gallery(models, objects, shown)), picture)
    say(f'3D IoU {result["iou"]:.3f} over {result["objects"]} objects of '
        f'{category}, {o.split}, all 24 views')
    for name, end in ends.items():
        say(f'{name}: ' + ', '.join(
            f'object {n} {result["per_object"][n]:.3f}' for n in end))
    say('wrote ' + ' and '.join(map(str, [*written, picture])))


if __name__ == '__main__': sys.exit(main())

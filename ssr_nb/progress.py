"A progress bar where somebody looks, and a line now and then in a log."
import sys

from tqdm import tqdm
from tqdm.auto import tqdm as auto_tqdm

__all__ = ['progress_bar']


class LineBar(tqdm):
    "A bar for logs: each state is a line of its own, at most every half minute."
    def display(self, msg=None, pos=None):
        print(msg or str(self), file=self.fp, flush=True)
        return True


def progress_bar(
    total: int,
    desc: str,
    initial: int = 0,
    disable: bool = False,
    **options,         # more for tqdm: position, leave, unit
) -> tqdm:
    "A tqdm bar; call set_postfix_str(…, refresh=False) to add words."
    options |= dict(total=total, desc=desc, initial=initial, disable=disable)
    if sys.stderr.isatty() or 'ipykernel' in sys.modules:
        return auto_tqdm(**options)
    options.pop('position', None)
    return LineBar(mininterval=30, miniters=1, dynamic_ncols=False, ncols=100,
                   **options)

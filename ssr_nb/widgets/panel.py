"""The shell of every widget: state in, a pure function, pictures and numbers out.

A front end is an ES module in `static/`. anywidget sends a browser one module as
text, from which a relative import leads nowhere, so `script` joins a module and
what it imports.
"""
import base64
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import anywidget
import torch
import traitlets
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..core import InputError
from ..display import figure_png
from .controls import decode, tagged

__all__ = ['Panel', 'script']

STATIC = Path(__file__).with_name('static')
_IMPORT = re.compile(r"^import\s*\{[^}]*\}\s*from\s*'\./(\w+)\.js';\n", re.MULTILINE)
_EXPORT = re.compile(r'^export (?:default .*;\n|(?=async |function |class |const ))',
                     re.MULTILINE)


def script(
    name: str,   # of a module in static/, without .js
) -> str:        # one ES module, for _esm
    """A front-end module behind all that it imports.

    Among them imports are dropped, and exports but those of the last module; so
    a name stands in one module only, and `export default …;` in one line.
    """
    parts: dict[str, str] = {}   # name: text, imported ones first
    def add(name: str):
        text = (STATIC/f'{name}.js').read_text(encoding='utf-8')
        for other in _IMPORT.findall(text):
            if other not in parts: add(other)
        parts[name] = _IMPORT.sub('', text)
    add(name)
    last = parts.pop(name)
    return '\n'.join([*(_EXPORT.sub('', part) for part in parts.values()), last])


@contextmanager
def one_thread() -> Iterator[None]:
    "Let torch use a single thread: for 64×64 pixels waking another costs more."
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try: yield
    finally: torch.set_num_threads(before)


class MessageMixin(anywidget.AnyWidget):
    "Hears the browser, and says there what goes wrong."
    controls = traitlets.List().tag(sync=True)
    message = traitlets.Unicode().tag(sync=True)  # what went wrong
    answered = traitlets.Int(0).tag(sync=True)    # how often, for the bar there

    @contextmanager
    def report_errors(self) -> Iterator[None]:
        "What goes wrong in the block is said in the widget, and raised."
        def report(kind, error, trace) -> bool:
            if isinstance(error, InputError | traitlets.TraitError):
                self.message = str(error)
            elif isinstance(error, Exception):
                self.message = f'{type(error).__name__}: {error}'
            return False   # it is raised all the same
        with ExitStack() as stack:
            stack.push(report)
            yield

    def set_state(self, sync_data: dict[str, Any]):
        "Values from the browser; what is wrong with them is said there."
        try:
            with self.report_errors(): super().set_state(sync_data)
        except (InputError, traitlets.TraitError): pass

    def answer(self, _, content: dict[str, Any], buffers: list):
        "A button pressed or a file given in the browser."
        known = {c['name']: c for c in self.controls}
        control = known.get(content.get('call'), {})
        try:
            with self.report_errors():
                act = getattr(self, control['name'])
                if control['kind'] == 'button': act()
                else: act(str(content['file']), bytes(buffers[0]))
        except (InputError, traitlets.TraitError): pass
        finally: self.answered += 1


class Panel(MessageMixin):
    """A widget: traits made by `slider`, `picture`, … and one method, `show`.

    A subclass that only shows pictures needs no front end of its own.
    """
    _esm = script('panel')
    _css = (STATIC/'panel.css').read_text(encoding='utf-8')
    pictures = traitlets.List().tag(sync=True)
    disabled = traitlets.List().tag(sync=True)     # names of controls
    hint = traitlets.Unicode().tag(sync=True)      # what to do, in a sentence
    caption = traitlets.Unicode().tag(sync=True)   # numbers, in words
    legend = traitlets.List().tag(sync=True)       # of dict(title=…, items=
    #                                                [(colour, meaning), …])
    glossary = traitlets.Dict().tag(sync=True)     # symbol: meaning
    progress = traitlets.Float(-1.).tag(sync=True) # 0 to 1; -1: nothing under way
    frame = traitlets.Int(0).tag(sync=True)        # pictures shown so far

    def __init__(self, **state):
        super().__init__(**state)
        self.controls = tagged(self, 'control')
        self.pictures = tagged(self, 'picture')
        self.state_names = [name for name, trait in self.traits().items()
                            if {'control', 'state'} & set(trait.metadata)]
        self.shown: dict[str, Any] = {}
        self.observe(self.follow, self.state_names)
        self.on_msg(self.answer)
        self.draw()

    def show(self) -> dict[str, Any]:  # name of a trait: its new value
        "What the pure function gives for the present state."
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        "The values on which the pictures depend."
        return {name: getattr(self, name) for name in self.state_names}

    def draw(self):
        "Show the present state, in one message to the browser."
        self.shown = self.state()
        with self.report_errors(), one_thread(): values = self.show()
        with self.hold_sync():
            self.message = ''
            for name, value in values.items(): setattr(self, name, value)
            self.frame += 1

    def download(
        self,
        name: str,       # of the file
        content: bytes,
    ):
        "Let the browser save a file."
        self.send({'download': name}, [content])

    def follow(self, change):
        "Draw after a change, unless this state is shown already."
        if self.state() != self.shown: self.draw()

    def stills(self) -> dict[str, bytes]:  # name of a picture: its PNG file
        "The pictures that a saved notebook keeps."
        return {p['name']: getattr(self, p['name']) for p in self.pictures}

    def to_figure(self) -> Figure:
        "What a saved notebook keeps: pictures side by side, legend, caption."
        stills = self.stills()
        shown = [(p, decode(stills[p['name']])) for p in self.pictures
                 if stills[p['name']]]
        widths = [p['width'] for p, _ in shown]
        height = max(w*len(pixels)/pixels.shape[1]
                     for w, (_, pixels) in zip(widths, shown))
        figure = Figure(
            figsize=(sum(widths)/90, height/90 + .7 + .7*bool(self.legend)),
            layout='constrained', facecolor='white')
        axes = figure.subplots(1, len(shown), squeeze=False, width_ratios=widths)
        for ax, (about, pixels) in zip(axes[0], shown):
            ax.imshow(pixels, cmap='gray', vmin=0, vmax=255)
            ax.set_title(about['label'], fontsize=9)
            ax.axis('off')
        patches = [Patch(facecolor=color, edgecolor='.6',
                         label=f'{group["title"]}: {meaning}')
                   for group in self.legend for color, meaning in group['items']]
        if patches:
            figure.legend(handles=patches, ncols=len(self.legend), fontsize=8,
                          loc='outside upper center', frameon=False)
        figure.supxlabel(fill(self.caption, sum(widths)//6), fontsize=9)
        return figure

    def _repr_mimebundle_(self, **kwargs):
        "The living widget, a still picture of it, and its caption."
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        png = base64.b64encode(figure_png(self.to_figure(), dpi=90)).decode()
        about = f'{type(self).__name__}: {self.caption}'
        return data | {'image/png': png, 'text/plain': about}, metadata

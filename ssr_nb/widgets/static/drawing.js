// Views for drawings that Python sends as SVG text.
import {make} from './panel.js';

/** View: the SVG of a trait. */
export function drawing(name) {
  return link => {
    const box = make('figure', {'data-testid': name, class: 'ssr-drawing'});
    link.follow(['frame'], () => {
      if (box.text !== link.get(name)) box.innerHTML = link.get(name);
      box.text = link.get(name);
      box.dataset.frame = link.get('frame');
    });
    return [box];
  };
}

/** View: others beside each other, in one column of the panel. */
export function beside(...views) {
  return link => [make('div', {class: 'ssr-views ssr-beside'},
                       ...views.flatMap(view => view(link)))];
}

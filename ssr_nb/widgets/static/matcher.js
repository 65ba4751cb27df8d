// The viewpoint matcher: two pictures, a ring, and controls that a game closes.
import {make, panel, pictures} from './panel.js';
import {drawing} from './drawing.js';

/** View without a face: disables the inputs that Python names. */
function mutable(link) {
  const mark = make('span', {hidden: ''});
  const mute = () => {
    const names = link.get('disabled');
    for (const input of mark.closest('.ssr')?.querySelectorAll('input') ?? [])
      input.disabled = names.includes(
        (input.closest('[role=radiogroup]') ?? input).dataset.testid);
  };
  link.follow(['disabled'], () => setTimeout(mute));
  return [mark];
}

export default panel(pictures, drawing('ring'), mutable);

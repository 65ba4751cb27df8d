// An image to a mesh: samples to choose from, a square to cut, the mesh to turn.
import {framed, make, panel, pictureOf, pictures, reachable} from './panel.js';
import {meshView} from './mesh.js';

const WHOLE = [0, 0, 1], LEAST = .05;
const NUDGES = {ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, -1, 0],
  ArrowDown: [0, 1, 0], '+': [-1, -1, 2], '-': [1, 1, -2]};  // key: hundredths

/** View: a row of samples; the one that is open is marked. */
function samples(link) {
  const row = make('div', {class: 'ssr-row ssr-samples', role: 'group',
                           'aria-label': 'samples', 'data-testid': 'samples'});
  const mark = () => {
    for (const button of row.children)
      button.setAttribute('aria-pressed', button.title === link.get('sample'));
  };
  link.follow(['samples'], () => {
    row.replaceChildren(...Object.entries(link.get('samples')).map(([name, png]) => {
      const button = reachable('button', `sample-${name}`,
        {type: 'button', title: name, 'aria-label': `sample ${name}`},
        pictureOf(png, {alt: name}));
      button.addEventListener('click', () => link.set({sample: name, crop: WHOLE}));
      return button;
    }));
    mark();
  });
  link.follow(['sample'], mark);
  return row;
}

/** Where a square may be: at least LEAST wide, its middle within the image. */
function within([left, top, side]) {
  const s = Math.min(2, Math.max(LEAST, side));
  const inside = x => Math.min(1 - s/2, Math.max(-s/2, x));
  return [inside(left), inside(top), s];
}

function moveSquare(link, place, square, handle) {
  const change = by => link.set(
    {crop: within(link.get('crop').map((x, i) => x + by[i]))});
  place.addEventListener('pointerdown', event => {
    square.setPointerCapture(event.pointerId);
    square.grows = event.target === handle;
    square.focus();
  });
  square.addEventListener('pointermove', event => {
    if (!square.hasPointerCapture(event.pointerId)) return;
    const scale = 1/Math.max(place.clientWidth, place.clientHeight);
    const x = event.movementX*scale, y = event.movementY*scale;
    change(square.grows ? [0, 0, (x + y)/2] : [x, y, 0]);
  });
  square.addEventListener('keydown', event => {
    const nudge = NUDGES[event.key];
    if (!nudge) return;
    event.preventDefault();
    event.stopPropagation();
    change(nudge.map(x => x/100));
  });
}

/** View: the image and the square that the network gets. */
function photo(link) {
  const handle = make('i');
  const square = reachable('div', 'crop', {tabindex: 0, role: 'application',
    'aria-label': 'square that is cut out: arrow keys, plus and minus'}, handle);
  const place = make('div', {class: 'ssr-photo', 'data-testid': 'photo'});
  link.follow(['photo'], () => {
    const image = pictureOf(link.get('photo'),
      {alt: 'image', draggable: false, style: 'display: block; width: 100%'});
    place.replaceChildren(image, square);
    image.addEventListener('load', draw);
  });
  function draw() {
    const image = place.querySelector('img');
    const {naturalWidth: w, naturalHeight: h} = image, most = Math.max(w, h, 1);
    const [left, top, side] = link.get('crop');
    Object.assign(square.style, {left: `${100*left*most/w}%`,
      top: `${100*top*most/h}%`, width: `${100*side*most/w}%`,
      height: `${100*side*most/h}%`});
  }
  link.on('change:crop', draw);
  moveSquare(link, place, square, handle);
  return framed('image: drag the square, or its corner', 200, place);
}

export default panel(samples, photo, meshView, pictures);

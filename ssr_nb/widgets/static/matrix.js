// The similarity matrix: one pixel a cell, labels and a cursor above it.
import {make, paint, panel, pictures, reachable} from './panel.js';
import {beside, drawing} from './drawing.js';

const MOVES = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0],
  ArrowDown: [1, 0], PageUp: [-24, 0], PageDown: [24, 0],
  Home: [0, -1e6], End: [0, 1e6]};  // key: rows, columns

/** A ring on each right label, a cross on each wrong one. */
function drawLabels(link, pen, w, h) {
  const labels = link.get('labels'), truth = link.get('truth');
  pen.lineWidth = 1.5;
  labels.forEach((label, row) => {
    if (label < 0) return;
    const x = (label + .5)*w, y = (row + .5)*h, r = 3;
    pen.beginPath();
    if (label === truth[row]) {
      pen.strokeStyle = 'white';
      pen.arc(x, y, r, 0, 7);
    } else {
      pen.strokeStyle = '#ff5a4f';
      pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r);
      pen.moveTo(x - r, y + r); pen.lineTo(x + r, y - r);
    }
    pen.stroke();
  });
}

function drawCursor(link, pen, w, h) {
  const x = link.get('column')*w, y = link.get('row')*h;
  for (const [width, color] of [[5, 'black'], [2, 'white']]) {
    pen.lineWidth = width;
    pen.strokeStyle = color;
    pen.strokeRect(x - 2, y - 2, w + 4, h + 4);
  }
}

/** Keys and pointer choose a cell. */
function pointAt(link, view, heat, rows, columns) {
  const move = (row, column) => link.set({
    row: Math.max(0, Math.min(rows - 1, row)),
    column: Math.max(0, Math.min(columns - 1, column))});
  view.addEventListener('keydown', event => {
    const step = MOVES[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    move(link.get('row') + step[0], link.get('column') + step[1]);
  });
  const point = event => {
    const box = heat.getBoundingClientRect();
    move(Math.floor((event.clientY - box.top)/box.height*rows),
         Math.floor((event.clientX - box.left)/box.width*columns));
  };
  view.addEventListener('pointerdown', event => {
    view.setPointerCapture(event.pointerId);
    point(event);
  });
  view.addEventListener('pointermove',
    event => { if (event.buttons) point(event); });
}

/** View: the matrix with its title. */
function matrix(link) {
  const [rows, columns] = link.get('shape');
  const w = 11, h = Math.max(2, Math.min(11, 576/rows));  // CSS pixels a cell
  const size = `width: ${columns*w}px; height: ${rows*h}px`;
  const heat = make('canvas', {'data-testid': 'heat', style: size});
  const over = make('canvas', {style: size, width: 2*columns*w,
                               height: 2*Math.round(rows*h)});
  const view = reachable('div', 'matrix', {tabindex: 0, style: size,
    class: 'ssr-matrix', role: 'application', 'aria-label':
    'matrix of images by reference views; arrow keys move the cell'},
    heat, over);
  pointAt(link, view, heat, rows, columns);
  link.follow(['row', 'column', 'labels'], () => {
    const pen = over.getContext('2d');
    pen.setTransform(2, 0, 0, 2, 0, 0);
    pen.clearRect(0, 0, columns*w, rows*h);
    drawLabels(link, pen, w, h);
    drawCursor(link, pen, w, h);
  });
  link.follow(['frame'], () =>
    paint(heat, link.get('heat'), link.get('frame')));
  const title = make('figcaption');
  link.follow(['tilted'], () => { title.textContent =
    `${link.get('tilted') ? 'Ŝ' : 'S'}: images ↓, reference views →\n` +
    '○ labeled rightly, × wrongly'; });
  return [make('figure', {}, title, view)];
}

export default panel(matrix, beside(pictures, drawing('chart')));

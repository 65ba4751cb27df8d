// The mesh viewer: the mesh, its soft image, and the film strip of a fit.
import {make, panel, pictureOf, pictures} from './panel.js';
import {meshView} from './mesh.js';

/** View: a film strip of images in a row, each with a line below. */
function film(link) {
  const strip = make('div', {class: 'ssr-film', 'data-testid': 'steps'});
  link.follow(['steps'], () => {
    strip.replaceChildren(...link.get('steps').map(([label, png]) => make(
      'figure', {}, pictureOf(png, {alt: label}), make('figcaption', {}, label))));
    strip.hidden = !strip.children.length;
  });
  return strip;
}

export default panel(meshView, pictures, film);

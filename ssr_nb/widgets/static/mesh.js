// A mesh to turn by hand: drag, wheel, arrow keys, plus, minus and Home.
import {framed, make, panel, pictures, reachable} from './panel.js';
import {cameraOf, Scene} from './scene.js';

const VIEW = ['distance', 'elevation', 'azimuth'];
const TABLES = {vertices: Float32Array, faces: Uint32Array,
                colors: Float32Array, arrows: Float32Array};
const STEPS = {ArrowLeft: [5, 0, 0], ArrowRight: [-5, 0, 0],
  ArrowUp: [0, -5, 0], ArrowDown: [0, 5, 0], '+': [0, 0, -.1],
  '-': [0, 0, .1]};  // key: degrees of azimuth and elevation, distance

/** Move the camera; elevation and distance stay where their sliders end. */
function turnBy(link, azimuth, elevation, distance = 0) {
  const within = name => {
    const {low, high} = link.get('controls').find(c => c.name === name);
    return value => Math.min(high, Math.max(low, value));
  };
  const around = a => (a + 180 - 360*Math.floor((a + 180)/360)) - 180;
  const sign = link.get('mirrored') ? -1 : 1;
  link.set({azimuth: around(link.get('azimuth') + sign*azimuth),
    elevation: within('elevation')(link.get('elevation') + elevation),
    distance: within('distance')(link.get('distance') + distance)});
}

function takeInHand(link, canvas, home) {
  canvas.addEventListener('pointerdown', event => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus();
  });
  canvas.addEventListener('pointermove', event => {
    if (canvas.hasPointerCapture(event.pointerId))
      turnBy(link, -event.movementX/2, event.movementY/2);
  });
  canvas.addEventListener('wheel', event => {
    if (document.activeElement !== canvas) return;  // the page scrolls
    event.preventDefault();
    turnBy(link, 0, 0, Math.sign(event.deltaY)*.1);
  }, {passive: false});
  canvas.addEventListener('keydown', event => {
    if (event.key !== 'Home' && !(event.key in STEPS)) return;
    event.preventDefault();
    if (event.key === 'Home') home();
    else turnBy(link, ...STEPS[event.key]);
  });
}

/** However often it is asked for, an act happens once a frame of the screen. */
function oncePerFrame(act) {
  let asked = false;
  return () => {
    if (!asked) requestAnimationFrame(() => { asked = false; act(); });
    asked = true;
  };
}

const numbers = (Type, bytes) => new Type(bytes.buffer.slice(
  bytes.byteOffset, bytes.byteOffset + bytes.byteLength));

const inkOf = element => getComputedStyle(element).color
  .match(/[\d.]+/g).slice(0, 3).map(x => x/255);

/** Act whenever the page turns dark or light. */
function onTheme(link, act) {
  const watch = new MutationObserver(act);
  for (const place of [document.body, document.documentElement])
    watch.observe(place, {attributes: true,
      attributeFilter: ['data-jp-theme-light', 'data-theme']});
  link.ends.push(() => watch.disconnect());
}

/** View: the mesh; without WebGL it hides and asks Python for a picture. */
export function meshView(link) {
  const side = Math.round(384*Math.min(2, devicePixelRatio));
  const canvas = reachable('canvas', 'mesh', {tabindex: 0, role: 'img',
    'aria-label': 'mesh: drag, or use arrow keys, plus, minus and Home',
    width: side, height: side});
  const gl = canvas.getContext('webgl2', {preserveDrawingBuffer: true});
  const start = Object.fromEntries(VIEW.map(name => [name, link.get(name)]));
  const home = () => link.set(start);
  const back = reachable('button', 'home', {type: 'button'}, 'reset view');
  back.addEventListener('click', home);
  const figure = framed('mesh: drag to turn; once clicked, the wheel zooms', 300,
    make('div', {class: 'ssr-mesh'}, canvas, back));
  const giveUp = () => {
    figure.hidden = true;
    link.set({webgl: false});
  };
  if (!gl) return giveUp();
  canvas.addEventListener('webglcontextlost', giveUp);
  const scene = new Scene(gl, link.get('lamp'));
  const table = name => numbers(TABLES[name], link.get(name));
  const draw = () => {
    const view = VIEW.map(name => link.get(name));
    scene.lookFrom(cameraOf(...view, link.get('mirrored')));
    scene.drawFaces();
    const arrows = table('arrows');
    if (arrows.length)
      scene.drawArrows(table('vertices'), arrows, inkOf(canvas));
    canvas.dataset.view = view.join(' ');
  };
  link.follow(['vertices'], () => scene.feed('position', table('vertices')));
  link.follow(['colors'], () => scene.feed('color', table('colors')));
  link.follow(['faces'], () => scene.setFaces(table('faces')));
  const redraw = oncePerFrame(draw);
  link.follow([...VIEW, ...Object.keys(TABLES)], redraw);
  onTheme(link, redraw);
  takeInHand(link, canvas, home);
  link.ends.push(() => {
    canvas.removeEventListener('webglcontextlost', giveUp);
    gl.getExtension('WEBGL_lose_context')?.loseContext();
  });
  return figure;
}

export default panel(meshView, pictures);

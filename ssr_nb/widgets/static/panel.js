// The shell of every widget: the link to Python's traits, controls, pictures.
// Each control, picture and line carries the name of its trait as data-testid.

/** An element with attributes and children. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** An element that takes the focus and keeps JupyterLab from taking its keys. */
export function reachable(tag, name, attributes = {}, ...children) {
  return make(tag, {'data-testid': name, 'data-lm-suppress-shortcuts': 'true',
                    ...attributes}, ...children);
}

const unique = () => `ssr-${Math.random().toString(36).slice(2)}`;

/** One view of a model: what it listens to ends with the view. */
class Link {
  constructor(model) { this.model = model; this.ends = []; }
  get(name) { return this.model.get(name); }
  on(event, act) {
    this.model.on(event, act);
    this.ends.push(() => this.model.off(event, act));
  }
  /** Call now, and whenever one of some traits changes. */
  follow(names, act) {
    for (const name of names) this.on(`change:${name}`, act);
    act();
  }
  /** Change traits here at once, and in Python as soon as it is free. */
  set(changes) {
    for (const [name, value] of Object.entries(changes))
      this.model.set(name, value);
    this.model.save_changes();
  }
  /** Call a method of the panel; until it has answered, a bar says so. */
  ask(call, more = {}, buffers = []) {
    this.waiting?.(true);
    this.model.send({call, ...more}, undefined, buffers);
  }
  complain(words) { this.model.set('message', words); }
  end() { for (const act of this.ends.splice(0)) act(); }
}

// Controls ------------------------------------------------------------------

function formatNumber({log, step, unit}, value) {
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  return log ? value.toExponential(1) : value.toFixed(digits) + unit;
}

function slider(link, control) {
  const {name, label, low, high, step, log} = control;
  const to = log ? Math.log10 : x => x;
  const from = x => Math.min(high, Math.max(low, log ? 10**x : x));
  const input = reachable('input', name, {type: 'range', min: to(low),
    max: to(high), step, 'aria-label': label});
  const value = make('output');
  input.addEventListener('input',
    () => link.set({[name]: from(input.valueAsNumber)}));
  link.follow([name], () => {
    input.value = to(link.get(name));
    value.textContent = formatNumber(control, link.get(name));
    input.setAttribute('aria-valuetext', value.textContent);
  });
  return make('label', {}, make('span', {}, label), input, value);
}

function choice(link, {name, label, options}) {
  const group = unique(), buttons = {};
  const row = make('div', {role: 'radiogroup', 'aria-label': label,
                           class: 'ssr-row', 'data-testid': name});
  for (const option of options) {
    buttons[option] = reachable('input', `${name}-${option}`,
      {type: 'radio', name: group, value: option});
    buttons[option].addEventListener('change',
      () => link.set({[name]: option}));
    row.append(make('label', {}, buttons[option], option));
  }
  link.follow([name], () => { buttons[link.get(name)].checked = true; });
  return make('div', {}, make('span', {}, label), row);
}

function toggle(link, {name, label}) {
  const input = reachable('input', name, {type: 'checkbox'});
  input.addEventListener('change', () => link.set({[name]: input.checked}));
  link.follow([name], () => { input.checked = link.get(name); });
  return make('label', {class: 'ssr-tick'}, input, label);
}

function text(link, {name, label}) {
  const input = reachable('input', name, {type: 'text', spellcheck: false});
  input.addEventListener('change', () => link.set({[name]: input.value}));
  link.follow([name], () => { input.value = link.get(name); });
  return make('label', {}, make('span', {}, label), input);
}

function button(link, {name, label}) {
  const input = reachable('button', name, {type: 'button'}, label);
  input.addEventListener('click', () => link.ask(name));
  link.follow(['disabled'], () => {
    input.disabled = link.get('disabled').includes(name);
  });
  return input;
}

async function sendFile(link, {name, accept, most}, file) {
  const known = accept.some(s => file.name.toLowerCase().endsWith(s));
  if (!known) return link.complain(
    `${file.name}: expected ${accept.join(' ')}`);
  if (file.size > most) return link.complain(
    `${file.name}: ${(file.size/2**20).toFixed(1)} MB, ` +
    `over the limit of ${most/2**20} MB`);
  link.ask(name, {file: file.name}, [await file.arrayBuffer()]);
}

function upload(link, control) {
  const input = reachable('input', control.name, {type: 'file',
    accept: control.accept.join(), 'aria-label': control.label});
  const zone = make('label', {class: 'ssr-drop'},
    make('span', {}, `${control.label}: drop it here, or`), input);
  const over = yes => () => zone.classList.toggle('ssr-over', yes);
  for (const [event, yes] of [['dragenter', true], ['dragleave', false],
                              ['drop', false]])
    zone.addEventListener(event, over(yes));
  const send = ([file]) => file && sendFile(link, control, file);
  input.addEventListener('change', async () => {
    await send(input.files);
    input.value = '';  // so that the same file can be given again
  });
  zone.addEventListener('dragover', event => event.preventDefault());
  zone.addEventListener('drop', event => {
    event.preventDefault();
    event.stopPropagation();
    send(event.dataTransfer.files);
  });
  return zone;
}

const CONTROLS = {slider, choice, toggle, text, button, upload};

// Pictures ------------------------------------------------------------------

/** Show a PNG on a canvas, unless a newer one came while it was decoded. */
export async function paint(canvas, bytes, frame) {
  canvas.hidden = !bytes?.byteLength;
  if (canvas.hidden) return;
  canvas.newest = frame;
  const bitmap = await createImageBitmap(new Blob([bytes]),
    {colorSpaceConversion: 'none'});
  if (canvas.newest === frame) {
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    canvas.dataset.frame = frame;
  }
  bitmap.close();
}

/** Something to see below its name; it takes more room where there is some. */
export function framed(label, width, ...things) {
  return make('figure', {style: `flex: 1 1 ${width}px; max-width: ${1.5*width}px`},
              make('figcaption', {}, label), ...things);
}

function picture(link, {name, label, width}) {
  const canvas = make('canvas', {role: 'img', 'aria-label': label,
                                 'data-testid': name});
  const figure = framed(label, width, canvas);
  link.follow(['frame'], () => {
    paint(canvas, link.get(name), link.get('frame'));
    figure.hidden = canvas.hidden;
  });
  return figure;
}

/** The bytes of a PNG file as an element. */
export function pictureOf(png, attributes) {
  const url = URL.createObjectURL(new Blob([png]));
  const image = make('img', {src: url, ...attributes});
  image.addEventListener('load', () => URL.revokeObjectURL(url));
  return image;
}

/** View: every picture of the panel. */
export function pictures(link) {
  return link.get('pictures').map(about => picture(link, about));
}

// Words ---------------------------------------------------------------------

function line(link, name, attributes) {
  const element = make('p', {'data-testid': name, ...attributes});
  link.follow([name], () => {
    element.textContent = link.get(name);
    element.hidden = !element.textContent;
  });
  return element;
}

/** What the colours mean: groups {title, items: [[colour, meaning], …]}. */
function legend(link) {
  const element = make('div', {'data-testid': 'legend', class: 'ssr-legend'});
  link.follow(['legend'], () => {
    element.replaceChildren(...link.get('legend').map(({title, items}) =>
      make('p', {}, `${title}:`, ...items.map(([color, meaning]) =>
        make('span', {}, make('i', {style: `background: ${color}`}),
             meaning)))));
    element.hidden = !element.children.length;
  });
  return element;
}

/** What the symbols mean: {symbol: meaning}. */
function glossary(link) {
  const element = make('dl', {'data-testid': 'glossary',
                              class: 'ssr-glossary'});
  link.follow(['glossary'], () => {
    element.replaceChildren(...Object.entries(link.get('glossary')).map(
      ([symbol, meaning]) => make('div', {}, make('dt', {}, symbol),
                                  make('dd', {}, meaning))));
    element.hidden = !element.children.length;
  });
  return element;
}

/** A bar while Python is busy with what was asked; full once it is done. */
function bar(link) {
  const element = make('progress', {'data-testid': 'progress', max: 1,
                                    'aria-label': 'under way'});
  let asked = false;
  const show = () => {
    const done = link.get('progress');
    if (done >= 0) element.value = done;
    else element.removeAttribute('value');
    element.classList.toggle('ssr-idle', done < 0 && !asked);
  };
  link.waiting = yes => { asked = yes; show(); };
  link.on('change:answered', () => link.waiting(false));
  link.follow(['progress'], show);
  return element;
}

/** Save what Python sends as a file. */
function saveFiles(link) {
  link.on('msg:custom', ({download}, buffers) => {
    if (!download) return;
    const url = URL.createObjectURL(new Blob(buffers));
    make('a', {href: url, download}).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
}

/** What anywidget renders: views side by side, words, controls. */
export function panel(...views) {
  return {render({model, el}) {
    const link = new Link(model);
    const shown = views.flatMap(view => view(link) ?? []);
    const controls = link.get('controls').map(
      control => CONTROLS[control.kind](link, control));
    saveFiles(link);
    el.append(make('div', {class: 'ssr', 'data-testid': 'panel'},
      line(link, 'hint', {class: 'ssr-hint'}),
      make('div', {class: 'ssr-body'},
        make('div', {class: 'ssr-stage'},
          make('div', {class: 'ssr-views'}, ...shown),
          legend(link), bar(link),
          line(link, 'caption', {}),
          line(link, 'message', {role: 'alert'})),
        make('div', {class: 'ssr-controls'}, ...controls)),
      glossary(link)));
    return () => link.end();
  }};
}

export default panel(pictures);

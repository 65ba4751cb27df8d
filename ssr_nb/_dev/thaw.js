// A widget without Python: its model answers from tables (live.py makes them).
const nearest = (values, value) => {
  if (typeof value !== 'number') return Math.max(values.indexOf(value), 0);
  const wide = Math.min(...values) > 0 &&
    Math.max(...values) > 20*Math.min(...values);
  const scale = wide ? Math.log : x => x;
  const away = values.map(v => Math.abs(scale(v) - scale(value)));
  return away.indexOf(Math.min(...away));
};
class Model {
  constructor(state, tables, unpack) {
    Object.assign(this, {state, tables, unpack, listeners: {}});
  }
  get(name) { return this.state[name]; }
  on(name, call) { (this.listeners[name] ??= []).push(call); }
  off(name, call) {
    this.listeners[name] = this.listeners[name]?.filter(c => c !== call);
  }
  set(name, value) {
    if (this.state[name] === value) return;
    this.state[name] = value;
    for (const call of this.listeners[`change:${name}`] ?? []) call();
  }
  save_changes() {
    for (const {axes, answers, rows} of this.tables) {
      const row = Object.entries(axes).reduce((i, [name, values]) =>
        i*values.length + nearest(values, this.state[name]), 0);
      answers.forEach((name, j) => this.set(name, this.unpack(rows[row][j])));
    }
    this.set('frame', this.state.frame + 1);
  }
  send() {}
}

const thaw = async (el, {esm, css, state, tables, idle, blobs}) => {
  const bytes = blobs.map(text => new DataView(
    Uint8Array.from(atob(text), c => c.charCodeAt(0)).buffer));
  const unpack = v => v?.blob === undefined ? v : bytes[v.blob];
  for (const name in state) state[name] = unpack(state[name]);
  const model = new Model(state, tables, unpack);
  document.head.append(Object.assign(document.createElement('style'),
                                     {textContent: css}));
  const url = URL.createObjectURL(new Blob([esm], {type: 'text/javascript'}));
  const {default: view} = await import(url);
  view.render({model, el});
  for (const name of idle)
    el.querySelector(`.ssr-controls [data-testid="${name}"]`)
      ?.closest('.ssr-controls > *')?.remove();
  el.dataset.ready = true;
};

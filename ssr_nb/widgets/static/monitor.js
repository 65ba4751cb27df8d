// The training monitor: asks Python for news once a second while a run lives.
import {panel, pictures} from './panel.js';
import {drawing} from './drawing.js';

/** View without a face: one request at a time, and none to a kernel that is gone. */
function ticking(link) {
  let waiting = false;
  const done = () => { waiting = false; };
  link.on('change:answered', done);
  const clock = setInterval(() => {
    if (waiting || !link.get('live')) return;
    waiting = true;
    setTimeout(done, 10000);
    link.model.send({call: 'refresh'});
  }, 1000);
  link.ends.push(() => clearInterval(clock));
  return [];
}

export default panel(drawing('curves'), pictures, ticking);

// A mesh on a WebGL 2 canvas, lit and seen as ssr_nb.render does it.

const VERTEX = `#version 300 es
  in vec3 position, color;
  uniform mat4 camera;
  out vec3 world, paint;
  void main() {
    world = position;
    paint = color;
    gl_Position = camera*vec4(position, 1);
  }`;

const FRAGMENT = `#version 300 es
  precision highp float;
  in vec3 world, paint;
  uniform vec3 eye, light;
  uniform vec2 strength;  // ambient, directional; (1, 0) draws lines
  out vec4 shade;
  void main() {
    vec3 normal = normalize(cross(dFdx(world), dFdy(world)));
    if (dot(normal, eye - world) < 0.) normal = -normal;
    float lambert = strength.y > 0. ? max(0., dot(normal, light)) : 0.;
    shade = vec4(paint*(strength.x + strength.y*lambert), 1);
  }`;

const norm = v => Math.hypot(...v), unit = v => v.map(x => x/norm(v));
const dot = (a, b) => a.reduce((sum, x, i) => sum + x*b[i], 0);
const cross = (a, b) => [a[1]*b[2] - a[2]*b[1], a[2]*b[0] - a[0]*b[2],
                         a[0]*b[1] - a[1]*b[0]];

/**
 * Eye, axes and 4×4 matrix of look_at and perspective (ssr_nb.camera). That
 * camera is left-handed; mirrored, it shows what an eye would see.
 */
export function cameraOf(distance, elevation, azimuth, mirrored = false,
                         halfAngle = 15) {
  const [e, a, h] = [elevation, azimuth, halfAngle].map(x => x*Math.PI/180);
  const eye = [distance*Math.cos(e)*Math.sin(a), distance*Math.sin(e),
               -distance*Math.cos(e)*Math.cos(a)];
  const z = unit(eye.map(x => -x)), x = unit([z[2], 0, -z[0]]);
  const y = cross(z, x), near = .1, far = 100, reach = Math.tan(h);
  const right = mirrored ? -reach : reach;
  const rows = [x.map(v => v/right), y.map(v => v/reach),
                z.map(v => v*(far + near)/(far - near)), z];
  const shift = rows.map(row => -dot(row, eye));
  shift[2] -= 2*far*near/(far - near);
  const axes = [mirrored ? x.map(v => -v) : x, y, z];  // right, up, forward
  return {eye, axes, matrix: [0, 1, 2].flatMap(i => rows.map(row => row[i]))
                                .concat(shift)};  // column by column
}

function compile(gl) {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX],
                                [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS))
    throw Error(gl.getProgramInfoLog(program));
  gl.useProgram(program);
  return program;
}

/** Buffers on the graphics unit; turning the mesh sends nothing but a matrix. */
export class Scene {
  constructor(gl, light) {  // ambient, directional, direction seen by the camera
    this.gl = gl;
    this.light = light;
    this.program = compile(gl);
    this.indices = gl.createBuffer();
    this.count = 0;
    gl.enable(gl.DEPTH_TEST);
  }
  at(name) { return this.gl.getUniformLocation(this.program, name); }
  feed(name, values) {  // three numbers a vertex
    const {gl} = this, place = gl.getAttribLocation(this.program, name);
    this[name] ??= gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this[name]);
    if (values) gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
  }
  setFaces(faces) {
    this.count = faces.length;
    this.gl.bindBuffer(this.gl.ELEMENT_ARRAY_BUFFER, this.indices);
    this.gl.bufferData(this.gl.ELEMENT_ARRAY_BUFFER, faces,
                       this.gl.STATIC_DRAW);
  }
  lookFrom({eye, axes, matrix}) {
    const {gl} = this, {direction} = this.light;
    const light = [0, 1, 2].map(
      i => axes.reduce((sum, axis, k) => sum + axis[i]*direction[k], 0));
    gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.uniformMatrix4fv(this.at('camera'), false, matrix);
    gl.uniform3fv(this.at('eye'), eye);
    gl.uniform3fv(this.at('light'), unit(light));
  }
  drawFaces() {
    const {gl, light} = this;
    gl.uniform2f(this.at('strength'), light.ambient, light.directional);
    this.feed('position');
    this.feed('color');
    gl.drawElements(gl.TRIANGLES, this.count, gl.UNSIGNED_INT, 0);
  }
  /** A line from each vertex, in one colour. */
  drawArrows(vertices, arrows, ink) {
    const {gl} = this, lines = arrowLines(vertices, arrows);
    gl.uniform2f(this.at('strength'), 1, 0);
    this.lines ??= gl.createBuffer();
    const place = gl.getAttribLocation(this.program, 'position');
    gl.bindBuffer(gl.ARRAY_BUFFER, this.lines);
    gl.bufferData(gl.ARRAY_BUFFER, lines, gl.DYNAMIC_DRAW);
    gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 0, 0);
    const color = gl.getAttribLocation(this.program, 'color');
    gl.disableVertexAttribArray(color);
    gl.vertexAttrib3fv(color, ink);
    gl.drawArrays(gl.LINES, 0, lines.length/3);
  }
}

function arrowLines(vertices, arrows) {
  const lines = new Float32Array(2*vertices.length);
  for (let v = 0; v < vertices.length; v += 3)
    for (let i = 0; i < 3; i++) {
      lines[2*v + i] = vertices[v + i];
      lines[2*v + 3 + i] = vertices[v + i] + arrows[v + i];
    }
  return lines;
}

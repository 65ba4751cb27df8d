"""What a GPU makes of the kernels and of training: one page of output.

    python -m ssr_nb._dev.gpu             (make gpu) writes nbs/results/gpu.md
    python -m ssr_nb._dev.gpu --rehearse  the same parts, small, on a CPU

Each part is a process with a time limit. What it has measured until it ends, fails
or is stopped is kept, and the page says which it was.
"""
import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ssr_nb._dev.chapters import ROOT
from ssr_nb.config import PRESETS, with_overrides
from ssr_nb.core import InputError
from ssr_nb.data import load_split, make_dataset
from ssr_nb.mesh import face_vertices
from ssr_nb.raster import soft_rasterize, soft_silhouette
from ssr_nb.raster.bench import RIVALS, Scene, forward_backward, missing_package, spheres
from ssr_nb.raster.reference import log_odds, pixel_grid
from ssr_nb.runs import read_run
from ssr_nb.tables import markdown_table
from ssr_nb.train import Trainer

LIMITS = {'tests': 110, 'raster': 120, 'steps': 60, 'training': 150}   # seconds
CHIPS = {'H100': (3.35e12, 67e12), 'H200': (4.8e12, 67e12)}   # bytes/s, flop/s
SIGMA, DIST_EPS = 1e-4, 1e-10   # as in training
TINY = {'batch': 2, 'shape.subdivisions': 1, 'shape.width': 4, 'shape.hidden': 32,
        'shape.features': 16, 'view.width': 4, 'view.features': 16,
        'view.image_size': 32, 'view.kernels': (5, 4, 3)}
Rows = Iterator[dict]


# ------------------------------------------------------------------ the parts --
def run_tests(rehearse: bool, data: Path) -> Rows:
    "Chapter B's claims, and all others that take a device."
    chosen = (['tests/test_B_gpu.py', '-k', 'tile or half'] if rehearse else
              ['tests', '-k', 'cuda or B_gpu', '-n', '4'])
    done = subprocess.run([sys.executable, '-m', 'pytest', '-q', '-p',
                           'no:cacheprovider', *chosen], cwd=ROOT, text=True,
                          capture_output=True)
    lines = done.stdout.splitlines()
    yield from ({'line': line} for line in lines if line.startswith('FAILED'))
    yield {'line': lines[-1] if lines else done.stderr[-200:]}


def by_nvdiffrast(scene: Scene, size: int, sigma: float, eps: float) -> torch.Tensor:
    "nvdiffrast: hard faces, their outline smoothed over a pixel."
    import nvdiffrast.torch as dr  # type: ignore[import-not-found]
    context = vars(by_nvdiffrast).setdefault('context', dr.RasterizeCudaContext())
    x, y, z = scene.vertices.unbind(-1)
    place = torch.stack([x, y, z/50 - 1, torch.ones_like(z)], -1).contiguous()
    faces = scene.faces.int().contiguous()
    found, _ = dr.rasterize(context, place, faces, (size, size))
    mask = (found[..., 3:] > 0).float()
    return dr.antialias(mask, found, place, faces)[..., 0]


def seconds_of(call: Callable, device: str, budget: float = .8) -> float:
    "Median time of a call, after one that compiles."
    times: list[float] = []
    while len(times) < 2 or (sum(times) < budget and len(times) < 100):
        if device == 'cuda': torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        if device == 'cuda': torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[(len(times) - 1)//2]


def floor_seconds(scene: Scene, size: int, color: bool, chip: tuple) -> float:
    "What no program can beat: bytes once, operations of the fragments that matter."
    corners = scene.corners
    batch, faces = corners.shape[:2]
    grid = pixel_grid(size, device=corners.device).split(max(1, 2**22//faces))
    near = sum(int((log_odds(p, corners[0, ..., :2], 'euclidean', SIGMA, DIST_EPS)
                    > -math.inf).sum()) for p in grid)
    moved = 4*(54*faces + 8*size**2) if color else 4*(27*faces + 2*size**2)
    done = near*(286 if color else 175)   # counted in the compiled loops
    return batch*max(moved/chip[0], done/chip[1])


def measure_rendering(rehearse: bool, data: Path) -> Rows:
    "Silhouettes and colours, forward and backward, beside others."
    device, ours = ('cpu', 'cpu') if rehearse else ('cuda', 'triton')
    sizes, batches, level = ((8, 16), (1, 2), 1) if rehearse else (
        (64, 128, 256), (1, 64, 256), 3)
    name = '' if rehearse else torch.cuda.get_device_name()
    chip = next((c for n, c in CHIPS.items() if n in name), CHIPS['H200'])
    peers: dict[str, Callable] = {}
    if not missing_package('pytorch3d'): peers['pytorch3d'] = RIVALS['pytorch3d'].render
    if not rehearse:
        try: import nvdiffrast.torch  # type: ignore[import-not-found]  # noqa: F401
        except (ImportError, OSError): pass
        else: peers['nvdiffrast'] = by_nvdiffrast

    for color in False, True:
        for size in sizes:
            for batch in batches:
                scene = Scene(*(t.to(device) for t in spheres(batch, level)))
                yield from measure_scene(
                    scene, size, color, ours, peers if not color else {},
                    1e3*floor_seconds(scene, size, color, chip))


def measure_scene(
    scene: Scene, size: int, color: bool, ours: str, peers: dict[str, Callable],
    floor: float,   # ms
) -> Rows:
    "One line of the table, and what a peer could not do."
    def render(vertices: torch.Tensor, backend: str) -> torch.Tensor:
        corners = face_vertices(vertices, scene.faces)
        if color: return soft_rasterize(
            corners, corners, image_size=size, sigma=SIGMA, dist_eps=DIST_EPS,
            backend=backend)
        return soft_silhouette(corners, image_size=size, sigma=SIGMA,
                               dist_eps=DIST_EPS, backend=backend)

    device, batch = scene.vertices.device.type, len(scene.vertices)
    def both(draw: Callable) -> float:
        return 1e3*seconds_of(forward_backward(draw, scene.vertices), device)
    forward = 1e3*seconds_of(lambda: render(scene.vertices, ours), device)
    row: dict = {'task': 'colour' if color else 'silhouette', 'pixels': size,
                 'images': batch, 'floor, ms': floor, 'forward, ms': forward,
                 'both, ms': both(lambda v: render(v, ours))}
    if batch == 1: row['dense, ms'] = both(lambda v: render(v, 'reference'))
    for peer, draw in peers.items():
        try: row[f'{peer}, ms'] = both(
            lambda v, draw=draw: draw(Scene(v, scene.faces), size, SIGMA, DIST_EPS))
        except RuntimeError as e:   # out of memory, among others
            row[f'{peer}, ms'] = math.nan
            yield {'line': f'{peer}, {batch} × {size}: {str(e)[:90]}'}
    yield row


def measure_steps(rehearse: bool, data: Path) -> Rows:
    "Iterations of SSR a second at the published size."
    device, budget = ('cpu', 1.) if rehearse else ('cuda', 7.)
    train, val = (load_split(data, 'plane', s) for s in ('train', 'val'))
    kinds: dict[str, dict] = {
        'plain': {}, 'bfloat16': {'run.precision': 'bfloat16'},
        'CUDA graph': {'run.graph': True},
        'both': {'run.precision': 'bfloat16', 'run.graph': True}}
    for name, changes in kinds.items():
        config = with_overrides(PRESETS['paper'], changes | (TINY if rehearse else {}))
        try: trainer = Trainer(train, val, config, device)
        except InputError as e:
            yield {'step': name, 'steps/s': math.nan, 'line': f'{name}: {e}'}
            continue
        for _ in range(2 if rehearse else 12): trainer.step()
        if device == 'cuda': torch.cuda.synchronize()
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < budget and trainer.iteration < 390:
            trainer.step()
            count += 1
            if device == 'cuda' and not count % 20: torch.cuda.synchronize()
        if device == 'cuda': torch.cuda.synchronize()
        yield {'step': name, 'steps/s': count/(time.perf_counter() - start)}


def train_two_minutes(rehearse: bool, data: Path) -> Rows:
    "ssr_train --preset paper, stopped by a signal."
    run = data.parent/'run'
    words = [str(data), '--category', 'plane', '--out', str(run), '--quiet']
    words += ['--preset', 'paper']
    if not rehearse: words += ['--device', 'cuda']
    else:
        for name, value in {**TINY, 'iterations': 6, 'run.validate_every': 3}.items():
            values = value if isinstance(value, tuple) else (value,)
            words += [f'--{name.replace("_", "-")}', *map(str, values)]
    running = subprocess.Popen([sys.executable, '-m', 'ssr_nb.cli.train', *words],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try: running.wait(120)
    except subprocess.TimeoutExpired: running.send_signal(signal.SIGTERM)
    told = running.communicate(timeout=25)[0].replace(str(data.parent), '…')
    yield {'line': told.strip().split('\n')[-1][:160]}
    log = read_run(run).metrics
    for row in [*log.iloc[:-1:max(1, len(log)//6)].to_dict('records'),
                *log.tail(1).to_dict('records')]:
        yield {k: row[k] for k in ('iteration', 'seconds', 'loss', 'val_iou')
               if k in row}


PARTS: dict[str, Callable[[bool, Path], Rows]] = {
    'tests': run_tests, 'raster': measure_rendering, 'steps': measure_steps,
    'training': train_two_minutes}
TITLES = {'tests': 'Tests of the chapters that run on a GPU',
          'raster': '1,280 faces a sphere; times of a whole batch',
          'steps': 'Iterations of SSR a second, paper size',
          'training': 'Two minutes of ssr_train --preset paper'}


# -------------------------------------------------------------- the whole page --
def run_part(name: str, rehearse: bool, data: Path) -> tuple[list[dict], str]:
    "The rows of a part, and how it ended."
    out, error = (data.parent/f'{name}.{end}' for end in ('out', 'err'))
    start = time.monotonic()
    with out.open('w') as stdout, error.open('w') as stderr:
        part = subprocess.Popen(
            [sys.executable, '-m', 'ssr_nb._dev.gpu', '--part', name, '--data', str(data),
             *['--rehearse']*rehearse], stdout=stdout, stderr=stderr, cwd=ROOT,
            start_new_session=True)
        try: ended = 'ended' if part.wait(LIMITS[name]) == 0 else 'failed'
        except subprocess.TimeoutExpired: ended = 'stopped'
        if ended == 'stopped':   # the part, and what it has started
            os.killpg(part.pid, signal.SIGKILL)
            part.wait()
    ended += f' after {time.monotonic() - start:.0f} s'
    if ended.startswith('failed'): ended += ': ' + (
        error.read_text().strip().split('\n')[-1][:160] or 'without a word')
    return [json.loads(line) for line in out.read_text().splitlines()], ended


def page_of(results: dict[str, tuple[list[dict], str]], machine: str) -> str:
    "One page of Markdown."
    page = [f'`make gpu`: {machine}']
    for name, (rows, ended) in results.items():
        page.append(f'## {TITLES[name]}\n\nThis part {ended}.')
        table = [{k: v for k, v in row.items() if k != 'line'} for row in rows]
        table = [row for row in table if row]
        columns = list(dict.fromkeys(k for row in table for k in row))
        if table: page.append(markdown_table(
            [{k: row.get(k, math.nan) for k in columns} for row in table]).strip())
        page += [row['line'] for row in rows if 'line' in row]
    goal = {(r.get('task'), r.get('pixels'), r.get('images')): r['both, ms']
            for r in results['raster'][0] if 'both, ms' in r}
    if (found := goal.get(('silhouette', 64, 256))) is not None:
        page.append(f'Goal: 256 silhouettes at 64 × 64, forward and backward, under '
                    f'1 ms; found {found:.3f} ms.')
    fastest = max((r['steps/s'] for r in results['steps'][0] if r['steps/s'] > 0), default=0)
    page.append(f'Goal: 200 steps a second or more; found {fastest:.1f}.')
    return '\n\n'.join(page) + '\n'


def main():
    "Without a GPU, say so; else measure."
    parser = argparse.ArgumentParser(prog='python -m ssr_nb._dev.gpu')
    parser.add_argument('--rehearse', action='store_true', help='small, on a CPU')
    parser.add_argument('--out', type=Path, help='file of the page')
    parser.add_argument('--part', choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument('--data', type=Path, help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.part:
        for row in PARTS[o.part](o.rehearse, o.data): print(json.dumps(row), flush=True)
        return
    if not (o.rehearse or torch.cuda.is_available()):
        print('make gpu: there is no CUDA device here, so nothing was measured; '
              'make gpu REHEARSE=1 tries its parts, small, on a CPU')
        return
    where = 'a rehearsal on a CPU' if o.rehearse else torch.cuda.get_device_name()
    machine = f'{where}, torch {torch.__version__}, {time.strftime("%Y-%m-%d", time.gmtime())}'
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)/'data'
        make_dataset(data, categories=['plane'], count=8)
        results = {name: run_part(name, o.rehearse, data) for name in PARTS}
    page = page_of(results, f'{machine}; {time.monotonic() - start:.0f} s in all')
    print(page)
    out = o.out or (None if o.rehearse else ROOT/'nbs/results/gpu.md')
    if out: out.write_text(page, encoding='utf-8')


if __name__ == '__main__': main()

"No mesh and no option makes a number that is not finite; memory stays bounded."
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from trust import python

from ssr_nb.render import soft_rasterize, soft_silhouette
from ssr_nb.siamvp import SiamVP, viewpoint_similarity


def awkward(generator):
    "Faces (1, F, 3, 3) with something wrong about them."
    count = int(torch.randint(1, 20, (), generator=generator))
    soup = torch.rand(1, count, 3, 3, generator=generator)*torch.tensor([2., 2, 3]) - torch.tensor([1., 1, -.5])
    kind = int(torch.randint(10, (), generator=generator))
    if kind == 1: soup = soup[:, :, :1].expand(-1, -1, 3, -1)                      # points
    if kind == 2: soup[:, :, 2] = soup[:, :, 0]*.5 + soup[:, :, 1]*.5              # slivers
    if kind == 3: soup = soup[:, :1].expand(-1, count, -1, -1)                     # all the same
    if kind == 4: soup[..., :2] *= 1e6                                             # huge
    if kind == 5: soup = soup*1e-20                                                # tiny, at the eye
    if kind == 6: soup[..., 2] -= 2                                                # around and behind the near plane
    if kind == 7: soup[..., :2] += 50                                              # out of sight
    if kind == 8: soup = (soup*8).round()/8                                        # on pixel edges, shared corners
    if kind == 9: soup[..., 2] = 1                                                 # all on the near plane
    return soup.contiguous().clone()

def chosen(generator, size):
    "Options of soft_rasterize, anywhere in what is allowed."
    a, b, c, d, e = torch.rand(5, generator=generator).tolist()
    return dict(image_size=1 + int(a*size), sigma=10**(-8 + 8*b), gamma=10**(-8 + 8*c), dist_eps=10**(-12 + 11*d), near=10**(-3 + 3*e), far=100.,
                background=(a, b, c))

def finite(backend, count, size=24, seed=0):
    "Draw `count` meshes with and without colors, forward and backward; how many were drawn."
    drawn = 0
    for n in range(count):
        generator = torch.Generator().manual_seed(1000*seed + n)
        faces, options = awkward(generator).requires_grad_(), chosen(generator, size)
        colors = torch.rand(faces.shape, generator=generator, requires_grad=True)
        silhouette = {k: v for k, v in options.items() if k not in ('gamma', 'background')}
        for picture in soft_rasterize(faces, colors, backend=backend, **options), soft_silhouette(faces, backend=backend, **silhouette):
            upstream = torch.randn(picture.shape, generator=generator)
            faces.grad = colors.grad = None
            (picture*upstream).sum().backward()
            grads = [g.grad for g in (faces, colors) if g.grad is not None]
            assert picture.isfinite().all() and all(g.isfinite().all() for g in grads), (backend, n, options)
        drawn += 1
    return drawn


def test_awkward_meshes_under_random_options_give_finite_images_and_gradients():
    count = int(os.environ.get('SSR_MESHES', 60))
    for backend in 'reference', 'cpu': assert finite(backend, count) == count


@pytest.mark.slow
def test_awkward_meshes_are_finite_for_the_interpreted_gpu_kernels_too():
    if not torch.cuda.is_available(): assert finite('triton', 2, size=4) == 2      # with a GPU: chapter B runs them compiled


OPTIONS = dict(image_size=24, sigma=1e-3, gamma=1e-2, dist_eps=1e-10)

def soup(count=12, seed=0):
    "Faces (1, count, 3, 3) over the image, depths in [2, 3]."
    rand = torch.rand(1, count, 3, 3, generator=torch.Generator().manual_seed(seed))
    return rand*torch.tensor([2., 2, 1]) + torch.tensor([-1., -1, 2])

def drawn_by(backend, faces):
    "Image and gradient of the corners, of a fixed random weighing of the pixels."
    generator = torch.Generator().manual_seed(3)
    colors, upstream = (torch.rand(s, generator=generator) for s in (faces.shape, (1, 4, 24, 24)))
    faces = faces.clone().requires_grad_()
    image = soft_rasterize(faces, colors.to(faces), backend=backend, **OPTIONS)
    return image.detach(), torch.autograd.grad((image*upstream).sum(), faces)[0]


@pytest.mark.parametrize('size', [1e6, 1e15, 1e18, 1e20, 1e25, 1e38])
def test_coordinates_as_large_as_float32_has_them_give_finite_images_and_gradients(size):
    for change in (lambda f: f[..., :2].mul_(size), lambda f: f[:, :, 0, :2].mul_(size), lambda f: f[..., :2].add_(size), lambda f: f[..., 2].mul_(size)):
        faces = soup()
        change(faces)
        faces.clamp_(-3e38, 3e38)
        for backend in 'reference', 'cpu':
            for t in drawn_by(backend, faces): assert t.isfinite().all(), (backend, size)


def kinds():
    "What lies on the edge between two cases."
    on_near, sliver, thin, grid = (soup() for _ in range(4))
    on_near[..., 2] = 1
    sliver[:, :, 2] = sliver[:, :, 0]*.5 + sliver[:, :, 1]*.5            # flat, but for rounding
    thin[:, :, 2] = thin[:, :, 0]*.5 + thin[:, :, 1]*.5 + torch.tensor([1e-4, 0, 0])
    return dict(on_near=on_near, sliver=sliver, thin=thin, grid=(grid*12).round()/12 + torch.tensor([1/24, 1/24, 0]))  # through pixel centres


@pytest.mark.parametrize('kind', kinds())
def test_backends_agree_on_slivers_on_edges_through_pixels_and_on_the_near_plane(kind):
    faces = kinds()[kind]
    (wanted, exact), *others = (drawn_by(b, f) for b, f in (('reference', faces.double()), ('reference', faces), ('cpu', faces)))
    for image, slope in others:
        assert (image - wanted).abs().max() < (3e-4 if kind == 'thin' else 2e-5)   # rounding is a share of the width
        # where two edges are equally near the slope of one is passed to its two corners: which one is a matter of rounding,
        # and only the slope of the whole face is the same
        whole, right = slope[..., :2].sum(2), exact[..., :2].sum(2)
        if kind != 'grid': assert (whole - right).abs().max() < 1e-3*exact.abs().max(), kind
        if kind == 'on_near': assert (slope - exact).abs().max() < 1e-4*exact.abs().max()


def test_where_two_edges_are_equally_near_each_backend_gives_a_one_sided_derivative():
    corner = torch.tensor([[[[-.5, -.5, 2], [.5, -.5, 2], [-.5, .5, 2]]]])
    corner[..., :2] += .25                                               # the only pixel, (0, 0), is as far from two edges
    options = dict(image_size=1, sigma=1., dist_eps=1e-10)
    def cover(faces, backend='reference'): return soft_silhouette(faces, backend=backend, **options).sum()
    for k in range(2):
        step = torch.zeros_like(corner, dtype=torch.float64)
        step[0, 0, 0, k] = 1e-6
        middle = cover(corner.double())
        sides = sorted(float(s*(cover(corner.double() + s*step) - middle)/1e-6) for s in (1, -1))
        assert sides[1] - sides[0] > .01                                 # there is no derivative
        for backend in 'reference', 'cpu':
            faces = corner.clone().requires_grad_()
            slope = torch.autograd.grad(cover(faces, backend), faces)[0][0, 0, 0, k]
            assert sides[0] - 1e-4 < slope < sides[1] + 1e-4, (backend, k, slope, sides)


SCALE = '''
import json, os, sys, threading, time
import torch
from ssr_nb.camera import viewpoint_ring
from ssr_nb.data import load_split
from ssr_nb.mesh import icosphere
from ssr_nb.render import SoftRenderer
from ssr_nb.siamvp import SiamVP, viewpoint_similarity
from ssr_nb.config import PRESETS, with_overrides
from ssr_nb.data.split import split_fingerprint
from ssr_nb.train import Trainer
torch.set_num_threads(1)
light = {'shape.subdivisions': 1, 'shape.width': 4, 'shape.hidden': 32, 'shape.features': 16, 'view.width': 4, 'view.features': 16, 'batch': 16, 'labeled': 2, 'gate': 0.}

def trainer(count):
    return Trainer(*(load_split(f'objects{count}', 'a', s) for s in ('train', 'val')), with_overrides(PRESETS['paper'], light))
def objects(count):                     # open, take one step, make the checkpoint's checksum
    def work(): run = trainer(count); run.step(); split_fingerprint(run.train)
    return work
def labeling(count):                    # one pseudo-labeling of all but two objects
    run = trainer(count)
    return run.relabel
def similarity(count, references, full=False):
    siam = SiamVP() if full else SiamVP(32, 8, 256, (5, 4, 3))
    images = torch.zeros(count, 3, 32, 32, dtype=torch.uint8)
    return lambda: viewpoint_similarity(siam, images, images[:1].expand(references, -1, -1, -1))
def drawing(size, level):               # 16 silhouettes and their gradient
    sphere = icosphere(level)
    vertices = (.4*sphere.vertices).expand(16, -1, -1).clone().requires_grad_()
    return lambda: SoftRenderer(size).silhouettes(vertices, sphere.faces, viewpoint_ring(16)).sum().backward()

def held(): return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('RssAnon'))/1024
def measure(kind, *sizes):
    work = globals()[kind](*sizes)
    before, peak, over = held(), 0, threading.Event()
    def watch():
        nonlocal peak
        while not over.wait(.001): peak = max(peak, held())
    watcher = threading.Thread(target=watch); watcher.start()
    start = time.thread_time()
    work()
    seconds = time.thread_time() - start
    over.set(); watcher.join()
    print(json.dumps(dict(kind=kind, sizes=sizes, mb=round(peak - before, 1), seconds=round(seconds, 2))), flush=True)

drawing(8, 0)()                         # whatever is compiled is compiled once
for row in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        code = 9
        try: measure(*row); code = 0
        finally: os._exit(code)
    assert os.waitpid(child, 0)[1] == 0, row
'''


def hollow_array(path, shape, dtype):
    "An npz whose array is zeros after its first item, and which takes no room on disk."
    first = np.zeros(shape[1:], dtype); first.flat[::7] = 1
    np.lib.format.write_array_header_1_0(head := io.BytesIO(), dict(descr=np.dtype(dtype).str, fortran_order=False, shape=shape))
    with zipfile.ZipFile(path, 'w') as archive, archive.open(zipfile.ZipInfo('arr_0.npy'), 'w', force_zip64=True) as out:
        out.write(head.getvalue() + first.tobytes())
        rest = (shape[0] - 1)*first.nbytes
        archive.fp.seek(rest, os.SEEK_CUR)             # a hole
        out._file_size += rest

def scale(rows, folder):
    "What SCALE measures, for rows of (kind, *sizes)."
    for count in {row[1] for row in rows if row[0] in ('objects', 'labeling')}:
        home = Path(folder)/f'objects{count}'; home.mkdir()
        for split, n in ('train', count), ('val', 1):
            hollow_array(home/f'a_{split}_images.npz', (n, 24, 4, 64, 64), np.uint8)
            hollow_array(home/f'a_{split}_voxels.npz', (n, 32, 32, 32), bool)
    done = python('-c', SCALE, json.dumps(rows), cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_memory_does_not_grow_with_objects_that_are_not_looked_at(tmp_path):
    quick = [('objects', 50), ('objects', 2000)]
    full = [*(('objects', count) for count in (100, 1000, 10_000, 50_000)), ('labeling', 50), ('labeling', 200),
            *(('similarity', n, r) for n, r in ((1000, 24), (4000, 24), (16_000, 24), (1000, 240))),
            ('similarity', 256, 24, True), ('similarity', 256, 480, True),
            *(('drawing', size, 3) for size in (32, 64, 128, 256)), *(('drawing', 64, level) for level in range(1, 6))]
    rows = scale(full if os.environ.get('SSR_SCALE') else quick, tmp_path)
    if os.environ.get('SSR_SCALE'): print(json.dumps(rows))
    mb = {(row['kind'], *row['sizes']): row['mb'] for row in rows}
    counts = sorted(key[1] for key in mb if key[0] == 'objects')
    few, many = mb['objects', counts[0]], mb['objects', counts[-1]]
    assert many - few < 60, rows                                       # 2,000 objects are .8 GB


def test_memory_does_not_grow_with_pairs_of_images():
    def peak(work):
        "Most bytes that tensors allocated by work() hold at a time, as the allocator counts them, in MB."
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen: work()
        changes = [e for e in seen.profiler.kineto_results.events() if e.name() == '[memory]']
        held = np.cumsum([e.nbytes() for e in sorted(changes, key=lambda e: e.start_ns())])
        return held.max()/2**20
    siam, images = SiamVP(32, 8, 256, (5, 4, 3)), torch.zeros(4000, 3, 32, 32, dtype=torch.uint8)
    def similarity(count, references): return lambda: viewpoint_similarity(siam, images[:count], images[:1].expand(references, -1, -1, -1))
    least = peak(similarity(1000, 24))
    assert least > 4                                          # a block of images in the first layers: it does count
    # the table grows, by .3 and .8 MB, and the references' embeddings, by .2; all differences at once were 98 and 246 MB
    assert peak(similarity(4000, 24)) - least < 1.5
    assert peak(similarity(1000, 240)) - least < 1.5

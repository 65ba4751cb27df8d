"Whatever is in a file, it is read or refused in one line, in bounded memory and time."
import io
import json
import logging
import math
import os
import random
import re
import resource
import signal
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trust import TINY

from ssr_nb.camera import viewpoint_ring
from ssr_nb.cli.demo import read_demo
from ssr_nb.config import config_to_dict
from ssr_nb.core import InputError
from ssr_nb.data import Split, check_dataset, load_image, load_split
from ssr_nb.data.check import check_record
from ssr_nb.data.npz import load_array
from ssr_nb.data.sources import read_credits
from ssr_nb.data.split import read_camera
from ssr_nb.evaluate import read_evaluation
from ssr_nb.meshio import load_mesh
from ssr_nb.reconstruct import Reconstructor
from ssr_nb.runs import read_run, restore, save_run
from ssr_nb.tables import markdown_table, run_table
from ssr_nb.train import Trainer


def test_images_of_sixteen_bits_with_a_palette_or_of_one_pixel_are_read_or_refused_in_one_line(tmp_path):
    path, disc = tmp_path/'a.png', np.hypot(*np.mgrid[-8:8, -8:8]) < 6
    mask = Image.fromarray(disc.astype(np.uint8)*255)
    for mode in 'RGB', 'L', 'P', '1', 'CMYK', 'I;16', 'LA', 'RGBA', 'PA':
        picture = Image.fromarray(np.full((16, 16), 40_000, np.uint16)) if mode == 'I;16' else Image.new('RGB', (16, 16), 'red').convert('L' if mode == 'LA' else 'RGB').convert(mode)
        picture.save(path.with_suffix('.tiff') if mode in ('CMYK', 'PA') else path)
        pixels = load_image(path.with_suffix('.tiff') if mode in ('CMYK', 'PA') else path, mask=mask)
        assert pixels.shape == (4, 64, 64) and pixels[3].any() and pixels[:3].any(), mode
    Image.new('RGBA', (1, 1), (9, 9, 9, 128)).save(path)
    assert load_image(path).shape == (4, 64, 64)
    Image.new('P', (1, 1)).save(path)
    with pytest.raises(InputError, match='a.png: no alpha'): load_image(path)


numbers = [0, 1, -1, 2, 3, 7, 255, 256, 65535, 2**31 - 1, -2**31, 2**32, 2**63 - 1, 2**64, 10**9, 10**12, 10**30]
scraps = [b'nan', b'inf', b'1e999', b'null', b'true', b'""', b'[]', b'{}', b'..', b'\0', b'\xff\xfe', b'\n', b' ', b'//', b'\\',
          b'['*100_000, b'9'*5000, b'../../etc/passwd', b'\xc3']

def mutilate(data, chance, others):
    "Bytes changed, dropped, repeated, replaced by scraps of others; numbers by other numbers."
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 6])):
        n = len(data)
        at, size = chance.randrange(n + 1), chance.choice([1, 1, 2, 4, 8, 30, 200])
        at = chance.choice([at, min(at, chance.randrange(300)), max(0, n - chance.randrange(300))])   # headers are at the ends
        kind = chance.randrange(8)
        if kind == 0: data[at:at + 1] = bytes([chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])])
        elif kind == 1: data[at:at + 1] = bytes(b ^ 1 << chance.randrange(8) for b in data[at:at + 1])
        elif kind == 2: del data[at:at + size]
        elif kind == 3: data[at:at] = data[at:at + size]*chance.choice([1, 2, 50])
        elif kind == 4:
            other = chance.choice(others); k = chance.randrange(len(other) + 1)
            data[at:at + chance.choice([0, size])] = other[k:k + size]
        elif kind == 5:
            width = chance.choice([1, 2, 4, 8])
            data[at:at + width] = (chance.choice(numbers) % 256**width).to_bytes(width, chance.choice(['little', 'big']))
        elif kind == 6:
            found = list(re.finditer(rb'-?\d+', data[:20_000]))
            if found: data[slice(*chance.choice(found).span())] = chance.choice([str(chance.choice(numbers)).encode(), chance.choice(scraps)])
        else: data[at:at + chance.choice([0, size])] = chance.choice(scraps)
    return bytes(data[:chance.randrange(len(data) + 1)] if chance.random() < .05 else data)


odd = [None, -1, 0, 1, 7, 10**9, 2**63, 10**30, .5, math.nan, math.inf, '', 'x', [], {}, [1], {'a': 1}, True, b'x', (1, 2),
       torch.zeros(1), torch.zeros(()), torch.zeros(0), torch.zeros(1).expand(10**9), torch.full((3, 3), math.nan),
       torch.zeros(2, 2, dtype=torch.int64), torch.zeros(7, dtype=torch.uint8), torch.full((4, 24), 99), torch.zeros(3, dtype=torch.complex64)]

def otherwise(tensor, chance):
    "A tensor of another shape or type, or other numbers."
    return chance.choice([tensor.flatten()[:1], tensor.flatten(), tensor.double(), tensor.long(), tensor[None], 0*tensor, -tensor.float(), tensor/0])

def tamper(tree, chance):
    "Change, drop, rename or replace something, somewhere in nested dicts and lists."
    for _ in range(chance.choice([1, 1, 2])):
        here = tree
        while keys := list(here) if isinstance(here, dict) else list(range(len(here))):
            key = chance.choice(keys)
            if isinstance(here[key], (dict, list)) and chance.random() < .75: here = here[key]; continue
            kind = chance.randrange(6)
            if kind == 0: del here[key]
            elif kind == 1 and isinstance(here, dict): here[chance.choice([f'{key}x', 5, -1])] = here[key]
            elif kind == 2 and torch.is_tensor(here[key]) and here[key].numel() < 10**6: here[key] = otherwise(here[key], chance)
            else: here[key] = chance.choice(odd)
            break
    return tree

def tamper_checkpoint(data, chance, others):
    out = io.BytesIO()
    torch.save(tamper(torch.load(io.BytesIO(data), weights_only=True), chance), out)
    return out.getvalue()

def tamper_weights(data, chance, others):
    size = int.from_bytes(data[:8], 'little')
    head = json.loads(data[8:8 + size])
    if chance.random() < .6:
        about = tamper(json.loads(head['__metadata__']['architecture']), chance)
        head['__metadata__']['architecture'] = json.dumps(about, default=str, skipkeys=True)
    else: tamper(head, chance)
    text = json.dumps(head, default=str, skipkeys=True).encode()
    if chance.random() < .2: text = mutilate(text, chance, [text])
    return len(text).to_bytes(8, 'little') + text + data[8 + size:]


def picture(mode, kind='png', size=(5, 4), **kw):
    "An image file of a few pixels."
    ramp = np.arange(size[0]*size[1]*4, dtype=np.uint8).reshape(size[1], size[0], 4)*3
    image = Image.fromarray(ramp[:, :, 0].astype(np.uint16)*300) if mode == 'I;16' else Image.fromarray(ramp).convert(mode)
    image.save(out := io.BytesIO(), kind, **kw)
    return out.getvalue()

def archive(array, save=np.savez):
    save(out := io.BytesIO(), array)
    return out.getvalue()

def mesh_files():
    "Boxes in every format that trimesh writes, plain, painted and textured."
    box = trimesh.creation.box()
    box.visual.vertex_colors = [255, 0, 0, 255]
    for kind, options in ('ply', {}), ('ply', dict(encoding='ascii')), ('stl', {}), ('stl', dict(file_type='stl_ascii')), ('off', {}), ('glb', {}):
        data = box.export(**dict(file_type=kind) | options)
        yield {f'a.{kind}': data if isinstance(data, bytes) else data.encode()}
    yield {name.replace('model', 'a'): data for name, data in trimesh.Scene([box]).export(file_type='gltf').items()}
    paint = trimesh.visual.TextureVisuals(uv=np.random.default_rng(0).random((8, 2)), image=Image.new('RGB', (4, 4), 'red'))
    yield {'a.glb': trimesh.Trimesh(box.vertices, box.faces, visual=paint, process=False).export(file_type='glb')}

def data_files():
    "A split of one object with its record, stored and compressed."
    images = np.zeros((1, 24, 4, 64, 64), np.uint8); images[:, :, :, 20:40, 20:40] = 255
    voxels = np.zeros((1, 32, 32, 32), bool); voxels[:, 9:20] = 1
    ring = dict(distance=2.732, elevation=30., azimuth=[-15.*k for k in range(24)])
    rows = [dict(split='train', row=0, source='here', licence='CC0-1.0', name='x')]
    record = json.dumps(dict(categories=['a'], viewpoints=ring, objects=dict(a=rows), skipped=[])).encode()
    for save in np.savez, np.savez_compressed:
        yield {'a_train_images.npz': archive(images, save), 'a_train_voxels.npz': archive(voxels, save), 'dataset.json': record}
    yield {'dataset.json': record, 'meshes.json': json.dumps([dict(file='a/b.obj', name='b', source='c', licence='d')]).encode()}

def small_run():
    "A Trainer after one iteration, and the files it writes."
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (5, 24, 4, 64, 64), dtype=np.uint8); images[:, :, 3, :9] = 0
    objects = Split(images, random.random((5, 32, 32, 32)) > .5, viewpoint_ring(), 'a', 'a', 'train')
    train, val = (replace(objects, images=images[part], voxels=objects.voxels[part]) for part in (slice(4), slice(4, 5)))
    run = Trainer(train, val, TINY); run.step(); run.validate()
    with tempfile.TemporaryDirectory() as folder:
        save_run(run, Path(folder))
        files = {f.name: f.read_bytes() for f in Path(folder).iterdir()}
    about = dict(data='x', category='a', method='ssr', config=config_to_dict(run.config))
    return run, files | {'config.json': json.dumps(about).encode()}


@cache
def kinds():
    "kind -> (folders of good files, what reads such a folder, how it is damaged)"
    run, files = small_run()
    paint = np.zeros((64, 64, 4), np.uint8); paint[20:40, 20:40] = 255
    small = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.save(header := io.BytesIO(), small)
    *splits, record = data_files()
    obj = b'mtllib a.mtl\nv 0 0 0\nv 1 0 0 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nusemtl red\nf 1/1 2/2 3/3\nusemtl b\nf -4/1/1 -2//2 4\nf 1 2 3 4 \\\n 1\n'
    mtl = b'newmtl red\nKd 1 0 0\nmap_Kd a.png\nnewmtl b\nKd 0 .5 1\n'
    told = json.dumps(dict(data='x', category='a', split='test', iou=.5, objects=2, per_view=[.5]*24, per_object=[.4, .6], best=[1, 0], worst=[0, 1])).encode()
    demo = json.dumps(dict(category='chair', labeled=2, seed=0, count=100, iterations=12, rule='joint')).encode()
    pictures = [{'a.png': picture(mode)} for mode in ('RGBA', 'P', 'LA', 'I;16', '1')] + [{'a.png': picture('RGBA', size=(1, 1))}]
    pictures += [{f'a.{kind}': picture(mode, kind)} for mode, kind in (('RGB', 'jpeg'), ('P', 'gif'), ('RGBA', 'bmp'), ('RGBA', 'webp'), ('RGBA', 'tiff'), ('RGB', 'ppm'), ('RGBA', 'tga'), ('RGBA', 'ico'))]
    weights, checkpoint = ([{name: files[name]}] for name in ('reconstructor.safetensors', 'checkpoint.pt'))

    def zipped(folder):
        with zipfile.ZipFile(folder/'a.npz', 'w') as out: out.write(folder/'arr_0.npy', 'arr_0.npy')
        load_array(folder/'a.npz', (3, 4))
    def only(folder): return next(f for f in sorted(folder.iterdir()) if f.stem == 'a' and f.suffix != '.bin')
    def predict(folder): Reconstructor.load(folder).predict(paint)
    def resume(folder): restore(run, folder/'checkpoint.pt'); run.step(); run.validate(); save_run(run, folder)
    def look(folder): read_run(folder); read_evaluation(folder); markdown_table(run_table([folder]))
    def records(folder): read_camera(folder); check_record(folder, {('a', 'train'): 1}); read_credits(folder)

    return {
        'split': (splits, lambda folder: (load_split(folder, 'a'), check_dataset(folder)), mutilate),
        'array': ([{'a.npz': archive(a, save)} for a in (small, np.asfortranarray(small)) for save in (np.savez, np.savez_compressed)],
                  lambda folder: load_array(folder/'a.npz', (3, 4)), mutilate),
        'array before zipping': ([{'arr_0.npy': header.getvalue()}], zipped, mutilate),
        'dataset.json, meshes.json': ([record], records, mutilate),
        'OBJ, MTL and texture': ([{'a.obj': obj, 'a.mtl': mtl, 'a.png': picture('RGB')}], lambda folder: load_mesh(folder/'a.obj'), mutilate),
        'PLY, STL, OFF, glTF': (list(mesh_files()), lambda folder: load_mesh(only(folder)), mutilate),
        'picture': (pictures, lambda folder: load_image(only(folder)), mutilate),
        'weights': (weights, predict, mutilate), 'weights, head rewritten': (weights, predict, tamper_weights),
        'checkpoint': (checkpoint, resume, mutilate), 'checkpoint, rewritten': (checkpoint, resume, tamper_checkpoint),
        'config.json, metrics.csv, eval_test.json': ([{'config.json': files['config.json'], 'metrics.csv': files['metrics.csv'], 'eval_test.json': told}], look, mutilate),
        'demo.json': ([{'demo.json': demo}], read_demo, mutilate)}


class TooLong(BaseException): "Ten seconds are over."

def ring_alarm(*_): raise TooLong

@contextmanager
def bounded(memory=1 << 30):
    "Limit the addresses of this process and let an alarm raise TooLong."
    used = int(Path('/proc/self/statm').read_text().split()[0])*resource.getpagesize()
    limits, bell = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, ring_alarm)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, limits[1]))
    logging.disable()
    try:
        with warnings.catch_warnings(): warnings.simplefilter('ignore'); yield
    finally:
        logging.disable(logging.NOTSET)
        signal.signal(signal.SIGALRM, bell); resource.setrlimit(resource.RLIMIT_AS, limits)

def verdict(read, folder):
    "What came of a reader: 'read', 'refused', or what is wrong with it."
    signal.setitimer(signal.ITIMER_REAL, 10)
    try: read(folder)
    except InputError as error:
        line = str(error)
        if '\n' in line or not 0 < len(line) < 1000: return f'not one line: {line[:99]}'
        return line if 'MemoryError' in line or 'allocate' in line else 'refused'
    except TooLong: return 'too long'
    except Exception as error:  # noqa: BLE001  # each is a finding
        return f'{type(error).__name__}: {str(error)[:99]}'
    finally: signal.setitimer(signal.ITIMER_REAL, 0)
    return 'read'


def untouched(folders, read, hollow=False):
    "Counter of verdicts over good files, or over empty ones of the same names."
    tally = Counter()
    for files in folders:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in files.items(): (Path(folder)/name).write_bytes(b'' if hollow else data)
            tally[verdict(read, Path(folder))] += 1
    return tally

def fuzz(kind, folders, read, damage, count, seed=0):
    "Counter of verdicts over damaged files; wrong ones with the number that makes them again."
    tally, others = Counter(), [data for files in folders for data in files.values()]
    with tempfile.TemporaryDirectory(dir='/dev/shm' if Path('/dev/shm').is_dir() else None) as folder:
        folder = Path(folder)
        for n in range(count):
            chance = random.Random(f'{seed} {kind} {n}')
            files = chance.choice(folders)
            victim = chance.choice(sorted(files))
            for name, data in files.items():
                if name == victim: data = damage(data, chance, others)
                (folder/name).write_bytes(data)
            found = verdict(read, folder)
            tally[found if found in ('read', 'refused') else f'{found} (number {n})'] += 1
            for path in folder.iterdir(): path.unlink()
    return tally


@pytest.mark.slow
def test_mutilated_files_of_every_kind_are_read_or_refused_in_one_line():
    torch.set_num_threads(1)
    count = int(os.environ.get('SSR_FUZZ', 2600))      # files in all
    started, tallies = time.process_time(), {}
    quick = {k: v for k, v in kinds().items() if 'checkpoint' not in k}
    for kind, (folders, read, damage) in kinds().items():
        share = count//100 if 'checkpoint' in kind else (count - count//50)//len(quick)    # a checkpoint takes fifty times as long
        with bounded():
            good, hollow = untouched(folders, read), untouched(folders, read, hollow=True)
            assert good['read'] and good.keys() <= {'read', 'refused'} and hollow.keys() == {'refused'}, (kind, good, hollow)
            tallies[kind] = fuzz(kind, folders, read, damage, share, os.environ.get('SSR_SEED', 0))
    if os.environ.get('SSR_FUZZ'): print(json.dumps(dict(files=sum(t.total() for t in tallies.values()), seconds=round(time.process_time() - started),
                                                         peak_mb=next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmHWM'))//1024, kinds={k: dict(t) for k, t in tallies.items()})))
    wrong = {kind: {k: n for k, n in tally.items() if k not in ('read', 'refused')} for kind, tally in tallies.items()}
    assert not any(wrong.values()), wrong
    assert all(sum(tally[due] for tally in tallies.values()) > count/8 for due in ('read', 'refused')), tallies

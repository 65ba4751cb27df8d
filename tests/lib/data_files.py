"Small data sets, libraries and packages, as files, for the tests of `ssr_nb.data`."
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ssr_nb.core import InputError
from ssr_nb.data.furniture import CATALOG
from ssr_nb.mesh import Mesh
from ssr_nb.meshio import save_mesh
from ssr_nb.shapes import make_shape


def some_split(n=3, seed=0):
    "Random images with something on their alpha, and random voxels."
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (n, 24, 4, 64, 64), dtype=np.uint8)
    images[:, :, 3] = 0; images[:, :, 3, 20:40, 20:40] = 255
    return images, random.random((n, 32, 32, 32)) > .5

def write_split(folder, name='plane', split='train', n=3, compressed=False):
    "A split in the published layout, as numpy writes it."
    images, voxels = some_split(n)
    save = np.savez_compressed if compressed else np.savez
    save(Path(folder)/f'{name}_{split}_images.npz', images)
    save(Path(folder)/f'{name}_{split}_voxels.npz', voxels)
    return images, voxels

def forge(path, header, body=b'', compression=zipfile.ZIP_DEFLATED):
    "An npz whose array has the given header and body, whatever they say."
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr('arr_0.npy', buffer.getvalue() + body)

def message(call, *arguments, **options):
    "The one line with which a call refuses its input."
    with pytest.raises(InputError) as refusal: call(*arguments, **options)
    text = str(refusal.value)
    assert text and '\n' not in text
    return text

def write_library(path, changes=(), files=(), general='license=CC0 1.0'):
    "A .sh3f of three chairs, a broken lamp and a vase; changes are lines of the catalogue."
    lines = dict(line.split('=') for line in general.split(';'))
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for k, name in enumerate(('Oak chair', 'Chair with cushion', 'Chairs', 'Desk lamp', 'Vase'), 1):
            mesh = make_shape('chair', torch.Generator().manual_seed(k))
            x, y, z = mesh.vertices.T
            if k == 1: mesh = Mesh(torch.stack([x, -z, y], 1), mesh.faces)   # on its back
            save_mesh(mesh, f'{folder}/m.obj')
            text = Path(folder, 'm.obj').read_text()
            archive.writestr(f'lib/m{k}/m{k}.obj', 'v 1 2 3\nf 1 x 3' if k == 4 else text)
            lines |= {f'name#{k}': name, f'model#{k}': f'/lib/m{k}/m{k}.obj', f'multiPartModel#{k}': 'true', f'creator#{k}': f'Maker {k}'}
        lines['modelRotation#1'] = '1 0 0 0 0 1 0 -1 0'
        for name, content in dict(files).items(): archive.writestr(name, content)
        text = ''.join(f'{k}={v}\n' for k, v in (lines | dict(changes)).items())
        if CATALOG not in files: archive.writestr(CATALOG, text)
    return Path(path)

def write_deb(path, files, member=b'data.tar.xz'):
    "A Debian package with files in it."
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode='w:xz') as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name); entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    with open(path, 'wb') as file:
        file.write(b'!<arch>\n')
        for name, body in ((b'debian-binary', b'2.0'), (member, tar.getvalue())):
            file.write(b'%-16s%-12d%-6d%-6d%-8s%-10d`\n' % (name, 0, 0, 0, b'100644', len(body)) + body + b'\n'*(len(body) % 2))
    return Path(path)

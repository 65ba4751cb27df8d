"""Archives from strangers: ZIP files and Debian packages, read within bounds.

A ZIP can be small and promise terabytes, so its table of contents and each size
are looked at before anything is unpacked, and only members that are stored or
deflated are read: deflate gives a bounded amount for each byte, bzip2 and LZMA
do not.
"""
import lzma
import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import BinaryIO

from ..core import InputError, check_file
from .errors import BROKEN, one_line, require

__all__: list[str] = []

MAX_CONTENTS = 4 << 20  # bytes of a table of contents: 40,000 files or so
MAX_MEMBER = 32 << 20   # bytes of a member; the largest of Sweet Home 3D's has 9 MB
MAX_DEB = 2 << 30       # bytes of a package, unpacked
MAX_XZ = 128 << 20      # bytes of memory for unpacking
MAX_LINK = 1 << 20      # bytes of a tar entry that is no file: a long name


def open_zip(
    path: Path,
    max_contents: int = MAX_CONTENTS,  # bytes
) -> zipfile.ZipFile:
    "A ZIP archive with a bounded table of contents; BROKEN when it is none."
    with open(path, 'rb') as file:
        file.seek(max(0, path.stat().st_size - 66_000))
        end = file.read()
    for sign, at, count in (b'PK\5\6', 12, 4), (b'PK\6\6', 40, 8):
        for found in re.finditer(re.escape(sign), end):
            field = end[found.start() + at:found.start() + at + count]
            size = int.from_bytes(field, 'little')
            elsewhere = count == 4 and size == 2**32 - 1 and b'PK\6\6' in end
            if size > max_contents and not elsewhere:
                raise ValueError('its table of contents is too long')
    return zipfile.ZipFile(path)


def check_method(member: zipfile.ZipInfo):
    "ValueError unless a member is stored or deflated."
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError('compressed by a method other than deflate')


def read_member(
    archive: zipfile.ZipFile,
    member: zipfile.ZipInfo,
    limit: int = MAX_MEMBER,  # bytes
) -> bytes:
    "One file of an archive; InputError when it is too large or damaged."
    where, size = repr(member.filename[-80:]), member.file_size
    require(size <= limit, f'{where}: {size} bytes, over the limit of {limit}')
    try:
        check_method(member)
        with archive.open(member) as stream: content = stream.read(size + 1)
        if len(content) != size: raise ValueError('wrong length')
        return content
    except BROKEN as reason:
        raise InputError(f'{where}: damaged ({one_line(reason)})') from None


def write_inside(
    folder: Path,
    name: str,       # of a file in it, as an archive has it
    content: bytes,
):
    "Write a file that an archive names; InputError if it leaves the folder."
    inside = name and not re.search(r'[\\:\0]|^/|(^|/)\.\.(/|$)', name)
    require(inside, f'{one_line(name)!r}: leaves the folder of its model')
    try:
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        (folder/name).write_bytes(content)
    except OSError as reason:
        raise InputError(f'{one_line(name)}: {reason.strerror}') from None


class XzReader:
    "What is in an xz stream; memory bounded by MAX_XZ, length by MAX_DEB."
    def __init__(self, file: BinaryIO):
        self.file, self.total = file, 0
        self.xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_XZ)

    def read(self, count: int) -> bytes:
        "As many bytes, or fewer at the end."
        parts, left = [], count
        while left and not self.xz.eof:
            packed = self.file.read(1 << 16) if self.xz.needs_input else b''
            if self.xz.needs_input and not packed: break
            parts.append(self.xz.decompress(packed, left))
            left -= len(parts[-1])
        self.total += count - left
        if self.total > MAX_DEB: raise ValueError('too large')
        return b''.join(parts)


class _Entry(tarfile.TarInfo):
    "A tar entry whose long names, which tarfile reads whole, are bounded."
    @classmethod
    def frombuf(cls, buf, encoding, errors):
        entry = super().frombuf(buf, encoding, errors)
        if entry.size > (MAX_DEB if entry.isreg() else MAX_LINK):
            raise tarfile.ReadError('too large')
        return entry


def untar_libraries(
    stream,         # a tar archive; has read
    folder: Path,   # where they go
) -> list[Path]:
    "The .sh3f files of a tar archive; TarError when it is none."
    found = []
    with tarfile.open(fileobj=stream, mode='r|', tarinfo=_Entry) as archive:
        for entry in archive:
            plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
            if not plain or entry.issparse() or not entry.name.endswith('.sh3f'):
                continue
            content = archive.extractfile(entry)
            if content is None: continue
            found.append(folder/Path(entry.name).name)
            with open(found[-1], 'xb') as file: shutil.copyfileobj(content, file)
    return found


def unpack_deb(
    path: Path,     # a Debian package: an ar archive of a tar archive
    folder: Path,   # empty
) -> list[Path]:
    "The .sh3f libraries of a Debian package; InputError when it has none."
    try:
        with open(check_file(path), 'rb') as file:
            if file.read(8) != b'!<arch>\n': raise ValueError('no ar archive')
            while len(head := file.read(60)) == 60:
                name, size = head[:16].strip(b' /'), int(head[48:58])
                if name == b'data.tar.xz':
                    found = untar_libraries(XzReader(file), folder)
                    require(found, f'{path}: no .sh3f file in it')
                    return found
                if name.startswith(b'data.tar') or size < 0: break
                file.seek(size + size % 2, 1)
            raise ValueError('no data.tar.xz in it')
    except InputError: raise
    except (*BROKEN, lzma.LZMAError, tarfile.TarError) as reason:
        raise InputError(f'{path}: not a readable Debian package '
                         f'({one_line(reason)})') from None

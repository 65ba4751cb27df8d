"Image files, opened with limits: the header first, pixels only if they are few enough."
import io
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

__all__: list[str] = []

IMAGE_FORMATS = ('PNG', 'JPEG', 'WEBP', 'BMP', 'GIF', 'TIFF', 'PPM', 'TGA')
MAX_PIXELS = 1 << 26           # of one image: 8192 × 8192


def open_image(
    path: Path,          # an image file of IMAGE_FORMATS
) -> Image.Image:        # all of it in memory
    "Unpack an image. ValueError when it is too large, others when broken."
    image = check_size(read_header(Path(path).read_bytes()))
    image.load()
    return image


def read_header(content: bytes) -> Image.Image:
    "An image of which only the header has been read."
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', Image.DecompressionBombWarning)
        try: return Image.open(io.BytesIO(content), formats=IMAGE_FORMATS)
        except Image.DecompressionBombError: raise ValueError(
            f'pixels over the limit of {MAX_PIXELS}') from None
        except UnidentifiedImageError: raise UnidentifiedImageError(
            f'cannot identify its format; known are {", ".join(IMAGE_FORMATS)}') from None


def check_size(image: Image.Image) -> Image.Image:
    "The same image. ValueError when it is too large to unpack."
    width, height = image.size
    if width*height > MAX_PIXELS:
        raise ValueError(f'{width} × {height} pixels, over the limit of '
                         f'{MAX_PIXELS}')
    return image

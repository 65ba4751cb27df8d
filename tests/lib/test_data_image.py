"One image, from a file or an array."
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from data_files import message, some_split
from PIL import Image
from torch.testing import assert_close

from ssr_nb.camera import viewpoint_ring
from ssr_nb.data import load_image
from ssr_nb.data.image import _frame_object, _letterbox
from ssr_nb.render import render_views
from ssr_nb.shapes import make_shape


def test_a_long_thin_picture_does_not_become_a_square_of_its_length():
    for shape in (1, 1 << 20), (1 << 20, 1):
        pixels = _letterbox(Image.new('RGBA', shape, 'white'), 64)
        middle = pixels if shape[0] == 1 else pixels.transpose(1, 2)
        assert pixels.shape == (4, 64, 64) and middle[:, :, 31:33].any() and not middle[:, :, :30].any() and not middle[:, :, 34:].any()
    large = Image.linear_gradient('L').resize((5000, 5000)).convert('RGBA')
    assert (_letterbox(large, 64).int() - _letterbox(large.resize((2500, 2500)), 64)).abs().max() <= 3


def test_a_framed_object_is_in_the_middle_and_two_thirds_of_the_picture_wherever_it_was():
    for width, height in (30, 60), (60, 30), (9, 6), (400, 7000):
        for left, top in (0, 0), (100, 40):
            picture = Image.new('RGBA', (width + 200, height + 90), (0, 0, 0, 0))
            picture.paste((255, 0, 0, 255), (left, top, left + width, top + height))
            picture.putpixel((width + 190, 0), (0, 0, 0, 90))                # a speck of shadow
            rows, columns = (_letterbox(_frame_object(picture), 96)[3] > 127).nonzero().T
            longer = rows if height > width else columns
            assert abs(int(longer.max() - longer.min()) + 1 - 64) <= 3
            for index in rows, columns: assert abs(int(index.max() + index.min()) - 95) <= (8 if width == 9 else 4)   # half a pixel of the original


def test_paths_pictures_arrays_and_tensors_of_one_picture_give_one_image():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (40, 70, 4), dtype=np.uint8)
    pixels[..., 3] = 0; pixels[10:30, 20:50, 3] = 255
    expected = load_image(pixels)
    assert expected.shape == (4, 64, 64) and expected.dtype == torch.uint8
    with tempfile.TemporaryDirectory() as folder:
        Image.fromarray(pixels).save(f'{folder}/a.png')
        Image.fromarray(pixels[..., :3]).save(f'{folder}/rgb.png')
        Image.fromarray(pixels[..., 3]).save(f'{folder}/mask.png')
        same = [load_image(f'{folder}/a.png'), load_image(Path(folder)/'a.png'), load_image(Image.fromarray(pixels)),
                load_image(torch.from_numpy(pixels)), load_image(torch.from_numpy(pixels).permute(2, 0, 1)),
                load_image(pixels.transpose(2, 0, 1)), load_image(pixels/np.float32(255)),
                load_image(f'{folder}/rgb.png', f'{folder}/mask.png'), load_image(pixels[..., :3], pixels[..., 3] > 0),
                load_image(pixels[..., :3], torch.from_numpy(pixels[None, ..., 3]))]
    for image in same: assert_close(image, expected)


def test_nothing_is_cropped_or_stretched_and_the_rim_keeps_the_object_s_color():
    wide = np.zeros((20, 80, 4), np.uint8)
    wide[..., :3] = 0, 255, 0                   # an invisible green
    wide[:, 60:] = 255, 0, 0, 255               # a red square at the right end
    image = load_image(wide)
    assert not image[1].any()                   # no green came through
    rows, columns = image[3].nonzero().T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 39, 48, 63)
    assert_close(image[0], image[3])            # premultiplied red is alpha


def test_an_image_of_a_data_set_passes_as_it_is():
    images, _ = some_split(1)
    for form in (images[0, 0], torch.from_numpy(images[0, 0]), images[0, 0]/255):
        assert_close(load_image(form), torch.from_numpy(images[0, 0]))


def test_the_frame_of_an_image_of_a_data_set_is_that_of_the_same_picture_on_a_canvas():
    stored = render_views(make_shape('chair', torch.Generator().manual_seed(0)), viewpoint_ring()[1:2])[0]   # its rim is half transparent
    canvas = np.zeros((200, 300, 4), np.uint8)
    canvas[130:194, 5:69] = stored.permute(1, 2, 0)
    rim = canvas[..., 3] > 0
    canvas[rim, :3] = (canvas[rim, :3]*(255/canvas[rim, 3:])).round().clip(0, 255)                            # no longer premultiplied
    framed = load_image(stored, frame=True)
    assert (framed.int() - load_image(canvas, frame=True).int()).abs().max() <= 3
    assert (framed != stored).any() and (load_image(canvas) != framed).any()


def test_a_picture_without_an_object_is_refused():
    rgb = np.zeros((9, 9, 3), np.uint8)
    assert 'no alpha channel and no mask' in message(load_image, rgb)
    assert 'mask: 0 everywhere' in message(load_image, rgb, np.zeros((9, 9), bool))
    assert 'mask: full everywhere' in message(load_image, rgb, np.ones((9, 9), bool))
    assert 'alpha: 0 everywhere' in message(load_image, np.zeros((9, 9, 4), np.uint8))
    assert 'alpha: full everywhere' in message(load_image, np.full((4, 64, 64), 255, np.uint8))
    assert '9×9' in message(load_image, rgb, np.ones((8, 9), bool))


def test_what_is_no_picture_at_all_is_refused():
    for wrong in (np.zeros((9, 9), np.uint8), np.zeros((0, 9, 4), np.uint8), np.zeros((9, 9, 4), int),
                  np.full((9, 9, 4), np.nan), np.full((9, 9, 4), 7.), np.zeros((1, 4, 64, 64), np.uint8),
                  torch.zeros(2, 9, 9), 3, None, [[1]]):
        assert 'image:' in message(load_image, wrong)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'a.png'
        assert 'no such file' in message(load_image, path)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 4), dtype=np.uint8)).save(path)
        whole = path.read_bytes()
        for cut in (b'', whole[:20], whole[:len(whole)//2], b'text'):
            path.write_bytes(cut)
            assert f'{path}: not a readable picture' in message(load_image, path)


def square_on(high=60, wide=80):
    "A picture, and True on an object of 30 × 30 pixels."
    colors = np.full((high, wide, 3), 200, np.uint8)
    inside = np.zeros((high, wide), bool); inside[15:45, 25:55] = True
    return colors, inside


def test_a_mask_of_two_values_says_object_by_the_larger_whatever_they_are(tmp_path):
    colors, inside = square_on()
    expected = load_image(colors, inside, 80)
    assert (expected[3] == 255).sum() == 900
    ones = inside.astype(np.uint8)
    palette = Image.fromarray(ones).convert('P'); palette.putpalette([0, 0, 0, 128, 0, 0])
    Image.fromarray(ones).save(tmp_path/'ones.png'); palette.save(tmp_path/'labels.png')
    Image.fromarray(inside).save(tmp_path/'bits.png')
    Image.fromarray(ones.astype(np.uint16)).save(tmp_path/'deep.png')
    for mask in (ones, ones*7, ones + 3, ones.astype(int), ones*2., ones*.2, torch.tensor(ones), Image.fromarray(ones), palette,
                 ones.astype(np.uint16)*60_000, *map(str, sorted(tmp_path.iterdir()))):
        assert_close(load_image(colors, mask, 80), expected)


def test_an_alpha_of_0_and_1_is_a_silhouette_too():
    colors, inside = square_on(80, 80)
    expected = load_image(colors, inside, 80)
    clear = np.concatenate([colors, inside[..., None]], -1)
    assert_close(load_image(clear, size=80), expected)
    first = np.concatenate([colors.transpose(2, 0, 1)*inside, inside[None]]).astype(np.uint8)
    assert_close(load_image(first, size=80), expected)   # as data sets have it


def test_a_mask_of_many_values_is_coverage_and_one_that_covers_nothing_is_refused():
    colors, inside = square_on()
    soft = inside*.9; soft[15] = .5*inside[15]
    alpha = load_image(colors, soft, 80)[3]
    assert alpha.max() == 230 and (alpha == 128).sum() == 30
    labels = inside.astype(np.uint8); labels[20] *= 2
    for wrong, why in ((labels, 'mask: nowhere above one half'), (np.full_like(soft, np.nan), 'mask: expected finite'),
                       (np.ones_like(labels), 'mask: full everywhere'), (soft*3, 'mask: expected floats in'),
                       (labels.astype(int)*50, 'mask: expected uint8'), (np.full(labels.shape, 'a'), 'mask: expected numbers')):
        assert why in message(load_image, colors, wrong)


def test_a_mask_that_is_a_cut_out_says_object_by_its_alpha(tmp_path):
    colors, inside = square_on()
    expected, alpha = load_image(colors, inside, 80), np.uint8(inside*255)
    for gray in 255*np.ones_like(alpha), 0*alpha, alpha, colors[..., 0]:
        rgba = Image.fromarray(np.dstack([gray]*3 + [alpha]))
        for name, image in ('rgba.png', rgba), ('la.png', rgba.convert('LA')), ('p.png', rgba.quantize(4)):
            image.save(tmp_path/name)
            assert_close(load_image(colors, tmp_path/name, 80), expected)
    opaque = Image.fromarray(np.dstack([alpha]*3 + [0*alpha + 255]))
    assert_close(load_image(colors, opaque, 80), expected)


def test_an_inverted_mask_is_refused_and_an_object_that_is_cut_by_the_border_is_not():
    colors, inside = square_on()
    for wrong in ~inside, np.uint8(~inside), np.uint8(~inside)*255, 1. - inside:
        assert 'is it inverted?' in message(load_image, colors, wrong)
    inside[:30] = True
    assert load_image(colors, inside, 80)[3].any()


def test_deep_grays_and_colors_keep_their_values(tmp_path):
    ramp = np.linspace(0, 65535, 8).round().astype(np.uint16)
    deep = np.repeat(ramp[None], 8, 0)
    mask = np.ones((8, 8), bool); mask[0] = False
    expected = [0, 36, 73, 109, 146, 182, 219, 255]
    Image.fromarray(deep).save(tmp_path/'a.png'); Image.fromarray(deep).save(tmp_path/'a.tif')
    whole = Image.fromarray(deep.astype(np.int32))
    assert load_image(np.full((8, 8, 3), 400, np.uint16), mask, 8)[0, 4, 4] == 2    # 1.56, rounded
    for gray in (tmp_path/'a.png', tmp_path/'a.tif', whole, np.repeat(deep[..., None], 3, -1)):
        assert load_image(gray, mask, 8)[0, 4].tolist() == expected
    bytes_in_ints = Image.fromarray(np.repeat(np.array(expected, np.int32)[None], 8, 0))
    assert load_image(bytes_in_ints, mask, 8)[0, 4].tolist() == expected
    assert 'grays below 65536' in message(load_image, Image.fromarray(deep.astype(np.int32)*2), mask)
    assert 'floats in [0, 1]' in message(load_image, Image.fromarray(deep.astype(np.float32)), mask)


def test_a_picture_is_not_awaited_from_a_pipe(tmp_path):
    os.mkfifo(tmp_path/'a.png')
    assert 'a.png: not a regular file' in message(load_image, tmp_path/'a.png')

"""Name colours: RGB to one of the eleven basic colour terms.

The terms are those of Berlin and Kay, Basic Color Terms (1969). A pixel takes the name of the nearest, in Oklab (CSS
Color Module Level 4, section 9.2), of two published sets of named colours. The first is the centroids of the ISCC-NBS
system (Kelly and Judd, Color: Universal Language and Dictionary of Names, NBS Special Publication 440, 1976) under the
last word of each name, with violet as purple and olive as green. Those of a CIELAB chroma below 10 are black, grey or
white here, as the casts of video are that large; centroid 27 is left out, since its usual sRGB value is an orange. All
are of pigments and stop short of what a screen can show, so the second set is the saturated keywords of CSS Color,
section 6.1, and its greys.

Where one name ends and the next begins is a matter of taste, of light and of white balance: two names that lie next to
each other (orange and brown, dark grey and black) may change places from one shot to the next.
"""

from functools import cache

import numpy as np
import numpy.typing as npt

NAMES = ("black", "white", "grey", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")

_CENTROIDS = {
    "black": "282022 28201c 25241d 1e2321 202428 242124 222222 2e1d21 1a2421 202830 291e29",
    "white": "eae3e1 f0ead6 dfede8 e9e9ed e8e3e5 f2f3f4 ead8d7",
    "grey": (
        "c1b6b3 8f817f 5c504f 8e8279 5b504f bfb8a5 8a8776 57554c b2beb5 7d8984 4e5755 b4bcc0 81878b 51585e bfb9bd "
        "8b8589 5d555b b9b8b5 848482 555555 363527 31362b 5e716a 3a4b47 91a3b0 36454f c4aead 43302e 3e322c 483c32"
    ),
    "red": (
        "be0032 bc3f4a 841b2d 5c0923 ab4e52 722f37 3f1728 ad8884 905d5d 543d3f ce4676 b3446c 78184a 54133b a8516e "
        "673147 38152c af868e 915f6d"
    ),
    "orange": "e25822 d9603b aa381e cb6d51 9e4732 b4745e f38400 fd943f ed872d be6516 fab57f d99058 ae6938",
    "yellow": (
        "f6a600 ffc14f eaa221 c98500 fbc97f e3a857 be8a3d fad6a5 f3c300 fada5e d4af37 af8d13 f8de7e c9ae5d ab9144 "
        "f3e5ab c2b280 a18f60 dcd300 e9e450 beb72e 9b9400 eae679 b9b459 98943e ebe8a4 b9b57d"
    ),
    "green": (
        "867e36 665d1e 403d21 8c8767 5b5842 8db600 bdda57 7e9f2e 467129 c9dc89 8a9a5b dadfb7 8f9779 404f00 232f00 "
        "4a5d23 2b3d26 515744 27a64c 83d37d 44944a 00622d 003118 b6e5af 93c592 679267 355e3b 173620 008856 3eb489 "
        "007959 00543d 8ed1b2 6aab8e 3b7861 1b4d3e 1c352d c7e6d7 8da399 008882 00a693 007a74 00443f 96ded1 66ada4 "
        "317873 004b49 002a29"
    ),
    "blue": (
        "0085a1 239eba 007791 2e8495 9cd1dc 66aabc 367588 004958 002e3b 00a1c2 4997d0 0067a5 00416a a1caf1 70a3cc "
        "436b95 00304e bcd4e6 536878 30267a 6c79b8 545aa7 272458 b3bce2 8791bf 4e5180 252440 c0c8e1 8c92ac 4c516d"
    ),
    "purple": (
        "9065ca 7e73b8 604e97 32174d dcd0ff 8c82b6 604e81 2f2140 c4c3dd 9690ab 554c69 9a4eae d399e6 875692 602f6b "
        "401a4c d5badb b695c0 86608e 563c5c 301934 d6cadd aa98a9 796878 50404d 870074 9e4f88 702963 54194e b784a7 "
        "915c83 5d3954 341731 aa8a9e 836479"
    ),
    "pink": (
        "ffb5ba ea9399 e4717a f9ccca dea5a4 c08081 ffb7a5 f99379 f4c2c2 d9a6a9 c48379 ecd5c5 c7ada3 ffc8d6 "
        "e68fac de6fa1 efbbcc d597ae c17e91 e8ccd7 c3a6b1"
    ),
    "brown": (
        "882d17 56070c a87c6d 79443b 3e1d1e 977f73 674c47 80461b 593319 a67b5b 6f4e37 422518 958070 635147 996515 "
        "654522 c19a6b 826644 4b3621 ae9b82 7e6d5a 967117 6c541e 3b3121"
    ),
}
_SCREEN = {
    "black": "000000",
    "white": "ffffff",
    "grey": "808080 c0c0c0",
    "red": "ff0000 dc143c b22222 8b0000 800000",
    "orange": "ffa500 ff8c00 ff4500",
    "yellow": "ffff00 ffd700",
    "green": "00ff00 008000 7fff00 00fa9a 32cd32",
    "blue": "0000ff 00008b 000080 191970 1e90ff 00ffff 4169e1",
    "purple": "800080 8a2be2 4b0082 9400d3",
    "pink": "ff00ff ff1493 ff69b4",
    "brown": "8b4513 a0522d d2691e",
}
_BITS = 5  # of each channel in the table of names
_DULL = 0.022  # chroma in Oklab below which a colour is black, grey or white


def name_indices(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return, for RGB (..., 3), the index into NAMES of each pixel's colour (...)."""
    level = (image >> (8 - _BITS)).astype(np.int32)  # (..., 3)
    index = (level[..., 0] << (2 * _BITS)) | (level[..., 1] << _BITS) | level[..., 2]
    return np.asarray(_table()[index])


def shares(indices: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return the share of each of NAMES among indices of any shape; all 0 where there are none."""
    count = np.bincount(indices.ravel(), minlength=len(NAMES))
    return count / max(indices.size, 1)


def to_oklab(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Return Oklab (..., 3), lightness 0 to 1 first, of sRGB (..., 3): the sample code of CSS Color 4, section 18."""
    value = rgb / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_lms = np.array([[0.412221, 0.536333, 0.051446], [0.211903, 0.680700, 0.107397], [0.088302, 0.281719, 0.629979]])
    to_lab = np.array(
        [[0.210454, 0.793618, -0.004072], [1.977998, -2.428592, 0.450594], [0.025904, 0.782772, -0.808676]]
    )
    return np.asarray(np.cbrt(linear @ to_lms.T) @ to_lab.T)


@cache
def _table() -> npt.NDArray[np.uint8]:
    """Return the index of the nearest named colour for each of 2 ** 15 colours, read-only."""
    named = [(i, code) for i, name in enumerate(NAMES) for part in (_CENTROIDS, _SCREEN) for code in part[name].split()]
    prototypes = to_oklab(np.array([list(bytes.fromhex(code)) for _, code in named], dtype=np.uint8))  # (P, 3)
    steps = (np.arange(2**_BITS) * 255 / (2**_BITS - 1)).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = to_oklab(grid)  # (2 ** 15, 3)
    # |x - p|^2 without its |x|^2, which is the same for every p.
    distance = (prototypes**2).sum(axis=1) - 2 * lab @ prototypes.T  # (2 ** 15, P)
    neutral = np.array([NAMES[i] in ("black", "white", "grey") for i, _ in named])
    dull = np.hypot(lab[:, 1], lab[:, 2]) < _DULL
    distance[np.ix_(dull, ~neutral)] = np.inf  # the named greys lie too far apart to claim all that lies between them
    table: npt.NDArray[np.uint8] = np.array([i for i, _ in named], dtype=np.uint8)[distance.argmin(axis=1)]
    table.flags.writeable = False
    return table

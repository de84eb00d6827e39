"""What the world is made of: things with colour, shape, size, texture and motion, and the scenes that they stand in."""

from dataclasses import dataclass

WIDTH, HEIGHT = 192, 144  # pixels
FPS = 10
FRAMES = 40  # of a video

Point = tuple[float, float]  # pixels, x to the right and y down

COLOURS = {
    "red": (212, 40, 40),
    "orange": (240, 130, 30),
    "yellow": (235, 205, 40),
    "green": (45, 160, 60),
    "blue": (45, 85, 215),
    "purple": (135, 50, 165),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "crescent")
# None changes its name when time runs backwards.
MOTIONS = ("across", "upright", "slant", "spin", "swell", "rest")
SIZES = {"small": 9.0, "large": 14.0}  # radius, pixels
TEXTURES = ("plain", "striped", "dotted", "checked")
BACKGROUNDS = ("dark", "light")
# Pixels that the camera goes in a second; the picture slides the other way.
CAMERAS = {
    "still": (0.0, 0.0),
    "pan left": (-9.0, 0.0),
    "pan right": (9.0, 0.0),
    "tilt up": (0.0, -7.0),
    "tilt down": (0.0, 7.0),
}
WORDS = ("APPLE", "BRIDGE", "CANDLE", "DRAGON", "FOREST", "GARDEN", "MARKET", "PLANET", "ROCKET", "SILVER", "TEMPLE")
FLASH = 3  # frames that a flash lasts
BAND = 26  # pixels at the lower edge that written words have for themselves


@dataclass(frozen=True)
class Thing:
    """One thing, as it is when its scene begins; frames are counted from there."""

    colour: str
    shape: str
    size: str
    texture: str
    motion: str  # one of MOTIONS: what it does in the whole scene
    place: Point
    velocity: Point = (0.0, 0.0)  # pixels in a second
    heavy: bool = False  # it stays where it is when it is hit
    fragile: bool = False  # it vanishes when it is hit
    spin: float = 0.0  # radians in a second, clockwise
    swell: float = 1.0  # how many times its size it has at the end
    appears: int = 0  # its first frame
    vanishes: int = FRAMES  # the frame from which it is gone, if nothing hits it before
    flashes: tuple[int, ...] = ()  # first frames

    @property
    def name(self) -> str:
        """Colour and shape: no two things of a video have one colour."""
        return f"{self.colour} {self.shape}"

    @property
    def radius(self) -> float:
        """Pixels from its middle to its rim, at the start."""
        return SIZES[self.size]


@dataclass(frozen=True)
class Words:
    """A word on the picture, which stays in its place when the camera moves."""

    text: str
    start: int  # frame
    end: int
    left: int  # pixels


@dataclass(frozen=True)
class Scene:
    """A stretch of a video without a cut."""

    things: tuple[Thing, ...]
    frames: int
    background: str
    camera: str = "still"
    words: tuple[Words, ...] = ()

    @property
    def floor(self) -> float:
        """The lower edge of where things move."""
        return HEIGHT - BAND if self.words else HEIGHT


@dataclass(frozen=True)
class Clip:
    """A video before it is drawn: all of it follows from the seed of the world and the video's number."""

    seed: int
    index: int
    scenes: tuple[Scene, ...]

    @property
    def id(self) -> str:
        """Its name, from which its files' names are made."""
        return f"w{self.index:05d}"

    @property
    def split(self) -> str:
        """Every fifth video is for tests."""
        return split_of(self.index)


def split_of(index: int) -> str:
    """Return whether a video is for training or for tests."""
    return "test" if index % 5 == 4 else "train"


def held_out(colour: str, shape: str, motion: str) -> bool:
    """Return whether only the test split shows this combination.

    One in six is held out, as in a Latin square: any two of the three tell nothing of the third.
    """
    return (list(COLOURS).index(colour) + SHAPES.index(shape) + MOTIONS.index(motion)) % len(MOTIONS) == 0

"""The classes of the data set Kinetics-400."""

from importlib.resources import files


def labels() -> tuple[str, ...]:
    """Return the 400 names, in the order of the labels of the classifiers that were released for it."""
    lines = files(__package__).joinpath("kinetics400.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if not line.startswith("#"))

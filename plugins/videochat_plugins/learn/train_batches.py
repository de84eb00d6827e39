"""Batches for training: each of one medium, media at random in proportion to their number, on all processes alike."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from videochat import Reader, VideoError
from videochat.registry import registry
from videochat_plugins.learn.train_config import Config
from videochat_plugins.learn.train_data import MEDIA, Data, Item, Medium, Turn
from videochat_plugins.learn.train_frames import read_frames, to_pixels
from videochat_plugins.learn.train_prompt import Scribe, Script, instructions
from videochat_plugins.models.preprocess import Preprocess

if TYPE_CHECKING:
    import torch

IGNORED = -100  # the label of what is not learnt


class Draw(NamedTuple):
    """An example, and the epoch that it is drawn in: together they settle all chance in it."""

    medium: Medium
    number: int  # among those of its medium
    epoch: int


class Example(NamedTuple):
    """What one example feeds to the network."""

    pixels: "torch.Tensor"  # (T, 3, h, w)
    times: list[float]  # seconds
    script: Script
    unread: tuple[str, ...] = ()  # entries that could not be read, in whose place it stands


class Batches:
    """The draws of each batch of one process; all processes' together are the same, however many there are.

    Args:
        sizes: examples, by medium.
        batch: examples of a medium in a batch of one process.
        count: batches; epochs follow each other until there are so many.
        seed: of the order.
        rank: of this process.
        world: how many processes.
    """

    def __init__(
        self, sizes: Mapping[Medium, int], batch: Mapping[Medium, int], count: int, seed: int, rank: int, world: int
    ) -> None:
        self._sizes = {medium: sizes[medium] for medium in MEDIA if sizes.get(medium)}
        self._batch = {medium: batch[medium] * world for medium in self._sizes}
        self._count, self._seed, self._rank, self._world = count, seed, rank, world

    @property
    def in_epoch(self) -> int:
        """Batches of one epoch; the last of each medium is filled up with others of it."""
        return sum(-(-size // self._batch[medium]) for medium, size in self._sizes.items())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[list[Draw]]:
        for number in range(self._count):
            epoch, at = divmod(number, self.in_epoch)
            if at == 0:
                orders, batches = self._epoch(epoch)
            medium, turn = batches[at]
            each = self._batch[medium]
            mine = orders[medium][turn * each : (turn + 1) * each][self._rank :: self._world]
            yield [Draw(medium, int(place), epoch) for place in mine]

    def _epoch(self, epoch: int) -> tuple[dict[Medium, npt.NDArray[np.int64]], list[tuple[Medium, int]]]:
        """Return the order of each medium's examples, and that of the batches, each the so-maniest of its medium."""
        chance = np.random.default_rng([self._seed, epoch])
        orders: dict[Medium, npt.NDArray[np.int64]] = {}
        batches: list[tuple[Medium, int]] = []
        for medium, size in self._sizes.items():
            count = -(-size // self._batch[medium])
            orders[medium] = np.resize(chance.permutation(size), count * self._batch[medium])
            batches += [(medium, turn) for turn in range(count)]
        return orders, [batches[i] for i in chance.permutation(len(batches))]


class Examples:
    """Examples by draw: frames read, varied and made ready, and the talk about them in ids.

    Args:
        data: what there is to see.
        scribe: writes the talks.
        prepare: makes frames ready as the checkpoint asks.
        config: of the training.
        chance: whether frames, pictures and instructions are varied; else all is as when the network is asked.
    """

    def __init__(self, data: Data, scribe: Scribe, prepare: Preprocess, config: Config, chance: bool = True) -> None:
        self.items: dict[Medium, list[Item]] = {medium: data.of(medium) for medium in MEDIA}
        self._instructions = {medium: instructions(medium) for medium in MEDIA}
        self._scribe, self._prepare, self._config, self._chance = scribe, prepare, config, chance
        reader = registry().find("read", "pyav").cls
        options: Any = reader.Options
        self._reader: Any = reader(options(threads=1))  # the processes that read share the cores
        assert isinstance(self._reader, Reader)

    def __len__(self) -> int:
        return sum(map(len, self.items.values()))

    def __getitem__(self, draw: Draw) -> Example:
        """Return an example; in the place of one that cannot be read another, if that is wanted.

        Raises:
            VideoError: naming the file and its entry, if not.
        """
        items, unread = self.items[draw.medium], list[str]()
        for attempt in range(len(items)):
            number = (draw.number + attempt) % len(items)
            try:
                return self._make(items[number], draw._replace(number=number))._replace(unread=tuple(unread))
            except VideoError as error:
                unread.append(f"{items[number].where}: {error}")
                if self._config.bad == "refuse":
                    break
        raise VideoError(f"{unread[-1]}; leave such out with `bad: skip`")

    def _make(self, item: Item, draw: Draw) -> Example:
        key = [self._config.seed, draw.epoch, MEDIA.index(draw.medium), draw.number]
        chance = np.random.default_rng(key)
        vary = chance if self._chance else None
        frames = read_frames(self._reader, item, self._config.frames, self._prepare.side, vary)
        times = [frame.time for frame in frames]
        pixels = to_pixels(frames, self._prepare, self._config.augment, vary)
        return Example(pixels, times, self._scribe.write(item.medium, self._talk(item, chance), times))

    def _talk(self, item: Item, chance: np.random.Generator) -> list[Turn]:
        asked = self._instructions[item.medium]
        return [Turn(turn.question or asked[int(chance.integers(len(asked)))], turn.answer) for turn in item.talk]


class Collate:
    """Makes one batch of examples of one medium.

    Args:
        rows: embeddings of a video.
        pad: the id that shorter talks are filled up with, and that stands for embeddings.
    """

    def __init__(self, rows: int, pad: int) -> None:
        self._rows, self._pad = rows, pad

    def __call__(self, examples: Sequence[Example]) -> dict[str, Any]:
        """Return the arguments of `Learner.forward`, how many talks were cut, and what could not be read."""
        import torch

        scripts = [example.script for example in examples]
        lengths = [len(script.before) + self._rows + len(script.after) for script in scripts]
        shape = len(scripts), max(lengths)
        ids = torch.full(shape, self._pad)
        labels = torch.full(shape, IGNORED)
        mask, visual = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
        for row, (script, length) in enumerate(zip(scripts, lengths, strict=True)):
            start, end = len(script.before), len(script.before) + self._rows
            after = torch.tensor(script.after)
            ids[row, :start] = torch.tensor(script.before)
            ids[row, end:length] = after
            labels[row, end:length] = torch.where(torch.tensor(script.learnt), after, IGNORED)
            mask[row, :length] = 1
            visual[row, start:end] = True
        return {
            "pixel_values": torch.stack([example.pixels for example in examples]),
            "times": torch.tensor([example.times for example in examples], dtype=torch.float64),
            "input_ids": ids,
            "visual": visual,
            "attention_mask": mask,
            "labels": labels,
            "cut": sum(script.cut for script in scripts),
            "unread": [entry for example in examples for entry in example.unread],
        }


def over_long(data: Data, scribe: Scribe) -> list[str]:
    """Return where texts are too long to be learnt whole; what is asked first does not count.

    Raises:
        LLMError: if the chat form does not say where an answer begins and ends.
    """
    return [item.where for item in data.items if scribe.write(item.medium, item.talk).cut]

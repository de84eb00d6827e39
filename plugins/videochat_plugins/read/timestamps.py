"""Which timestamps are believed: a few wild ones, as damage makes them, neither stretch a file nor show a frame."""

from dataclasses import dataclass

JUMP = 3600.0  # seconds that a timestamp may lie after all before it and be believed without witness
_WITNESSES = 16  # packets beyond a jump that make it believed: one wild timestamp may be that of several
_LATE = 1.0  # seconds after the end of a file at which a frame or a sound may still say that it comes


def latest(duration: float) -> float:
    """Return the last time that is believed in a file of some duration; both are seconds of media time."""
    return duration + _LATE


@dataclass(slots=True)
class End:
    """The end of a stream, from its packets in turn; a few wild timestamps are left out."""

    near: float = 0.0  # seconds; what no jump leads to
    far: float = 0.0  # seconds; what lies beyond a jump, for the packets that came since
    beyond: int = 0  # how many these are
    count: int = 0  # packets

    def add(self, end: float) -> None:
        """Take in where a packet ends."""
        self.count += 1
        if end > self.near + JUMP:
            self.beyond += 1
            self.far = max(self.far, end)
            if self.beyond > _WITNESSES:
                self.near, self.beyond = self.far, 0
        else:
            self.near, self.far, self.beyond = max(self.near, end), 0.0, 0

    @property
    def believed(self) -> float:
        """The end, once all packets have been seen; a jump is believed, too, if most of them lie beyond it."""
        return self.far if 2 * self.beyond >= self.count else self.near

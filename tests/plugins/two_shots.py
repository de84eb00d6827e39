"""Hand-made records of a clip of two shots, and a talk about them.

Shot one, 0 to 3 s: a red thing goes right, a blue one left, a yellow one stands; "PLATFORM 9" on white.
Shot two, 3 to 6 s: the red thing goes down, a green one up; "NIGHT" on black; the camera pans from 4 s on.
"""

from collections.abc import Sequence
from typing import Any

from videochat import Box, Generation, Line, Message, Record, Reply, Text
from videochat_plugins.llm.extractive import Extractive

Path = list[tuple[float, float, str]]


def region(colour: str, track: int, path: Path, speed: float = 50.0) -> Record:
    way = max(path, key=lambda part: part[1] - part[0])[2]
    text = f"{colour} thing {'standing still' if way == 'still' else f'moving {way}'}"
    meta = {"colour": colour, "direction": way, "speed": speed, "path": [list(part) for part in path]}
    return Record("region", path[0][0], path[-1][1], text, None, Box(8, 8, 40, 40), track, source="regions", meta=meta)


def look(start: float, light: str, colour: str) -> Record:
    meta = {"brightness": 0.8 if light == "bright" else 0.2, "colours": [[colour, 0.8], ["red", 0.1]]}
    return Record("look", start, start + 1, f"{light}, sharp; mostly {colour} and red", source="look", meta=meta)


def motion(start: float, camera: str) -> Record:
    return Record("motion", start, start + 1, f"camera {camera}; little moves", meta={"camera": camera, "moving": 0.05})


RED_1 = region("red", 1, [(0.2, 3, "right")], 120)
BLUE = region("blue", 2, [(0.4, 3, "left")], 60)
YELLOW = region("yellow", 3, [(0, 3, "still")], 0)
RED_2 = region("red", 4, [(3.2, 6, "down")], 80)
GREEN = region("green", 5, [(3.3, 6, "up")], 30)
PLATFORM = Record("text", 0.5, 2.5, "PLATFORM 9", 0.98, Box(10, 20, 90, 40), source="ocr")
NIGHT = Record("text", 3.5, 6, "NIGHT", 0.95, Box(10, 20, 60, 40), source="ocr")
LOOKS = [look(i, "bright" if i < 3 else "dark", "white" if i < 3 else "black") for i in range(6)]
MOTIONS = [motion(i, "still" if i < 4 else "pan left") for i in range(6)]
CLIP = sorted([RED_1, BLUE, YELLOW, RED_2, GREEN, PLATFORM, NIGHT, *LOOKS, *MOTIONS], key=lambda r: (r.start, r.end))


def prompt(lines: Sequence[Line], *questions: str) -> list[Message]:
    """Return the messages of a talk as the chat makes them: the questions with an answer between each two."""
    messages = [Message("system", (Text("You are a chatbot."), Text("the text", "textualizing_videos", tuple(lines))))]
    for i, question in enumerate(questions):
        if i:
            messages.append(Message("assistant", (Text("an answer"),)))
        messages.append(Message("user", (Text("Question: "), Text(question, "question"))))
    return messages


def reply(*questions: str, records: Sequence[Record] = CLIP, **generation: Any) -> tuple[str, Reply]:
    """Return the whole answer to the last question."""
    lines = [Line(record.text, (record,)) for record in records]
    found = Extractive().answer(prompt(lines, *questions), Generation(**generation))
    return "".join(found), found


def cited(*questions: str, records: Sequence[Record] = CLIP) -> set[Record]:
    """Return the records that an answer rests on."""
    return set(reply(*questions, records=records)[1].records or ())

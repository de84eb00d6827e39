"""Put a video in front of a language model.

import videochat

stack = videochat.load("offline")
context = stack.watch("clip.mp4")
chat = stack.chat(context)
for piece in chat.ask("Which way does the red ball move after the cut?"):
    print(piece, end="")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videochat.component import (
        LLM,
        Component,
        Formatter,
        Perceiver,
        Reader,
        Refiner,
        Segmenter,
        Weights,
    )
    from videochat.errors import LLMError, PluginError, StackError, UnavailableError, VideoChatError, VideoError
    from videochat.hookspecs import Event, hookimpl
    from videochat.pool import Key, Pool
    from videochat.prompt import Frames, Generation, Line, Message, Reply, Text, Tokens, Usage
    from videochat.record import Array, Box, Record
    from videochat.stack import Stack, load
    from videochat.video import Stream, Video
    from videochat.window import Chunk, Cue, Frame, Sampling, Span, Want, Window

__all__ = [
    "LLM",
    "Array",
    "Box",
    "Chunk",
    "Component",
    "Cue",
    "Event",
    "Formatter",
    "Frame",
    "Frames",
    "Generation",
    "Key",
    "LLMError",
    "Line",
    "Message",
    "Perceiver",
    "PluginError",
    "Pool",
    "Reader",
    "Record",
    "Refiner",
    "Reply",
    "Sampling",
    "Segmenter",
    "Span",
    "Stack",
    "StackError",
    "Stream",
    "Text",
    "Tokens",
    "UnavailableError",
    "Usage",
    "Video",
    "VideoChatError",
    "VideoError",
    "Want",
    "Weights",
    "Window",
    "hookimpl",
    "load",
]

# A name is looked for in the light modules first and imported when it is first asked for, so that `import videochat`
# costs next to nothing.
_MODULES = ("errors", "video", "record", "window", "prompt", "pool", "hookspecs", "component", "stack")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in _MODULES:
            if (found := vars(import_module(f"{__name__}.{module}")).get(name)) is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

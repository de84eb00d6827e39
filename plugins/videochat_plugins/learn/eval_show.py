"""The tables of an evaluation, as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from videochat.cli.display import show, table

_INDENT = "  "


def show_report(found: Mapping[str, Any]) -> None:
    """Print accuracy by category, what each system took, and the differences."""
    systems: Sequence[Mapping[str, Any]] = found["systems"]
    chance = any("chance" in facts for facts in found["categories"].values())
    columns = ("category", "n", *(system["name"] for system in systems), *(["chance"] if chance else []))
    rows = []
    for name, facts in found["categories"].items():
        parent, inner, last = name.rpartition("/")
        cells = [_percent(system["accuracy"][name]) for system in systems]
        guess = [f"{100 * facts['chance']:.1f}" if "chance" in facts else ""] if chance else []
        rows.append(
            [_INDENT + last if inner and parent in found["categories"] else name, facts["questions"], *cells, *guess]
        )
    table(columns, rows, right=columns[1:])
    show()
    _show_cost(systems)
    if found["differences"]:
        show()
        _show_differences(found["differences"])


def _show_cost(systems: Sequence[Mapping[str, Any]]) -> None:
    judged = any(system["score"] is not None for system in systems)
    whys = ("empty", "no choice", "error", *(["set aside"] if judged or any(s["set aside"] for s in systems) else []))
    columns = ("system", "s a question", "watch s a video", *whys, "faults", *(["score 0-5"] if judged else []))
    rows = []
    for system in systems:
        asked = system["kind"] != "majority"
        seconds = [
            _seconds(system[key]) if asked else "" for key in ("seconds_per_question", "watch_seconds_per_video")
        ]
        score = ["" if system["score"] is None else f"{system['score']:.2f}"] if judged else []
        rows.append([system["name"], *seconds, *(system[why] for why in whys), system["faults"], *score])
    table(columns, rows, right=columns[1:])


def _show_differences(differences: Sequence[Mapping[str, Any]]) -> None:
    columns = ("difference", "points", "interval leaves out 0")
    rows = []
    for one in differences:
        whole = one["difference"]["all"]
        sure = "" if whole["low"] is None else "no" if whole["low"] <= 0 <= whole["high"] else "yes"
        rows.append([f"{one['system']} - {one['less']}", _percent(whole, signed=True), sure])
    table(columns, rows, right=columns[1:2])


def _percent(found: Mapping[str, Any], signed: bool = False) -> str:
    """Return a mean and the ends of its interval in percent; several systems must fit side by side."""
    sign = "+" if signed else ""
    mean = f"{100 * found['mean']:{sign}.1f}"
    return mean if found["low"] is None else f"{mean} [{100 * found['low']:{sign}.0f}, {100 * found['high']:{sign}.0f}]"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 1 else f"{value:.1f}"

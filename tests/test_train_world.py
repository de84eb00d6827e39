"""The trial of docs/learn_train.md runs from a world to a table; what comes of so few steps counts for nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the trial needs the extra train")
pytest.importorskip("cv2", reason="the trial's world needs the extra offline")

TRIAL = Path(__file__).parent.parent / "examples" / "train_world"
FEW = ("--videos", "5", "--reading", "3", "--seeing", "3", "--steps", "3")


def test_the_trial_goes_from_a_world_to_a_table(tmp_path: Path) -> None:
    environment = {**os.environ, "VIDEOCHAT_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, TRIAL, tmp_path / "trial", *FEW]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "trained - untrained" in done.stdout
    report = json.loads((tmp_path / "trial" / "answers" / "report.json").read_text())
    assert {"trained", "untrained", "majority"} <= {system["name"] for system in report["systems"]}

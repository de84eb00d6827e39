from pathlib import Path

import pytest

from videochat import StackError
from videochat.places import locate, names, own, shipped


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_shipped_files_are_found_by_name() -> None:
    assert locate("configs", "offline") == shipped("configs") / "offline.yaml"
    assert locate("prompts", "table2") == shipped("prompts") / "table2.txt"
    assert {"offline"} <= set(names("configs"))
    assert {"table2", "timeline"} <= set(names("prompts"))


def test_the_users_own_come_first(own_folders: Path) -> None:
    mine = write(own("configs") / "offline.yaml")
    assert mine.is_relative_to(own_folders)
    assert locate("configs", "offline") == mine
    write(own("configs") / "mine.yaml")
    assert "mine" in names("configs")
    assert names("configs").count("offline") == 1


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "deep" / "my.stack.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert locate("configs", str(file)) == file
    assert locate("configs", "deep/my.stack.yaml").resolve() == file
    assert locate("configs", "my.stack.yaml", beside=tmp_path / "deep") == file
    assert locate("configs", "./my.stack.yaml", beside=tmp_path / "deep").resolve() == file
    assert locate("configs", "~/deep/my.stack.yaml") == file
    write(tmp_path / "other.yml")
    assert locate("configs", "other.yml").name == "other.yml"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("offlin", "did you mean offline"),
        ("zzz", "there are: embed, hybrid, moviechat, offline"),
        ("", "no config is called ''"),
        ("..", "no config is called"),
        ("./gone.yaml", "no such file: .*gone.yaml"),
        ("gone.yml", "no such file"),
        ("configs/", "no such file"),
        ("~nobody-has-this-name/x.yaml", "names no file|no such file"),
        ("x" * 5000, "names no file"),
        ("/" + "x/" * 5000, "names no file|no such file"),
        ("a\0b", "no config is called|names no file"),
        ("a\0/b", "no such file|names no file"),
        ("You see a video.\nIt shows: ", "no config is called"),
    ],
)
def test_what_is_not_there_is_one_clear_error(name: str, said: str) -> None:
    with pytest.raises(StackError, match=said) as raised:
        locate("configs", name)
    assert len(raised.value.problems) == 1

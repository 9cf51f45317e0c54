from pathlib import Path

import pytest

from agents.registry import make_policy
from agents.shipped import model_folder


def test_the_shipped_policy_is_found_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (model_folder("models/dacirco") / "card.json").is_file()
    assert make_policy("models/dacirco").discipline == "sjf"


def test_a_folder_of_the_working_directory_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "dacirco").mkdir(parents=True)
    assert model_folder("models/dacirco") == Path("models/dacirco")


@pytest.mark.parametrize(
    "name", ["models/none", "dacirco", "/models/dacirco", f"models/{'x' * 999}"]
)
def test_what_is_nowhere_stays_as_it_was_given(name: str) -> None:
    assert model_folder(name) == Path(name)

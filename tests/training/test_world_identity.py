"""Kept figures count for one world: what tells it from others."""

from __future__ import annotations

from pathlib import Path

from training.world_identity import code_identity, world_identity


def test_code_is_told_from_other_code(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    code = tmp_path / "inner" / "rule.py"
    code.write_text("a = 1\n", encoding="utf-8")
    first = code_identity(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "rule.pyc").write_text("compiled", encoding="utf-8")
    assert code_identity(tmp_path) == first
    code.write_text("a = 2\n", encoding="utf-8")
    second = code_identity(tmp_path)
    code.rename(tmp_path / "inner" / "other.py")
    assert len({first, second, code_identity(tmp_path), code_identity(tmp_path, tmp_path)}) == 4


def test_tuned_settings_are_told_apart_where_they_count() -> None:
    assert world_identity(tuned=True) != world_identity(tuned=False)


def test_a_file_may_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "rule.py").write_text("a = 1\n", encoding="utf-8")
    before = code_identity(tmp_path)
    (tmp_path / "tuned.toml").write_text("b = 2\n", encoding="utf-8")
    assert code_identity(tmp_path, but=("tuned.toml",)) == before != code_identity(tmp_path)

"""What the README and the docs say can be followed: links, programs, targets of make, the site."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "models" / "dacirco" / "README.md"]
)
OUR_PACKAGES = ("env", "agents", "training", "deploy", "tests")
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
MOST_LINES_OF_README = 150


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def without_code(text: str) -> str:
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "`code`", text)


def commands(text: str) -> list[str]:
    """The lines of fenced blocks of a shell, and code within lines; a continued line is one."""
    fences = re.findall(r"^ *```(?:sh|bash)?\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)
    lines = "".join(fences).replace("\\\n", " ").splitlines()
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [line.strip() for line in lines] + re.findall(r"`([^`\n]+)`", prose)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text_of(page), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def named_programs() -> list[str]:
    """Those of our packages; the changes alone also name programs that are gone."""
    pattern = re.compile(r"python3? -m ([a-z_0-9.]+)")
    lines = [
        line for page in PAGES if page.name != "CHANGELOG.md" for line in commands(text_of(page))
    ]
    named = {name for line in lines for name in pattern.findall(line)}
    return sorted(name for name in named if name.split(".")[0] in OUR_PACKAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text_of(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        aim = (page.parent / path).resolve() if path else page
        assert aim.exists(), f"{link}: no such file"
        assert aim.is_relative_to(ROOT), f"{link}: outside of the repository"
        if anchor:
            assert anchor in anchors(aim), f"{link}: no such heading"


def test_the_readme_is_short() -> None:
    assert len(text_of(ROOT / "README.md").splitlines()) <= MOST_LINES_OF_README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    targets |= {f"test-{cloud}" for cloud in ("openstack", "kubernetes", "s3", "prometheus")}
    named = {
        word
        for line in commands(text_of(page))
        for word in re.findall(r"(?:^|&& *)make ([a-z][a-z0-9-]*)", line)
    }
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_console_script_in_a_shell_block_is_installed(page: Path) -> None:
    fences = re.findall(
        r"^ *```(?:sh|bash)?\n(.*?)^ *```", text_of(page), flags=re.MULTILINE | re.DOTALL
    )
    named = {
        word
        for line in "".join(fences).splitlines()
        for word in re.findall(r"^(?:[A-Z_0-9]+=\S* +)*(dacirco\w*)(?= |$)", line.strip())
    }
    assert named <= set(SCRIPTS)


def test_every_console_script_loads() -> None:
    for name, value in SCRIPTS.items():
        assert callable(EntryPoint(name, value, "console_scripts").load())


def test_programs_are_found_in_the_docs() -> None:
    """The tests of programs below can fail: the well-known ones are among what they look at."""
    assert {"training.train", "training.evaluate", "deploy.up"} <= set(named_programs())


@pytest.mark.parametrize("name", named_programs())
def test_every_program_exists(name: str) -> None:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    if spec.submodule_search_locations is not None:
        assert importlib.util.find_spec(f"{name}.__main__") is not None


@pytest.mark.slow
@pytest.mark.parametrize("name", named_programs())
def test_every_program_helps(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", name, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    built = sorted(tmp_path.rglob("*.html"))
    assert len(built) > len(list(ROOT.glob("docs/*.md")))
    for page in built:
        loaded = re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"(https?:[^\"]*)\"", text_of(page)
        )
        assert not loaded, page

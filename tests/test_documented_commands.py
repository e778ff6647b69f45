"""Every `hwnas` command that README, docs and notebooks show can be typed, and is tested.

`tests/documented_commands.py` says how; ``pytest -s`` prints the list.
"""

import json
import random
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
import typer.main

from hwnas.child import build_child
from hwnas.cli.app import app
from hwnas.exporter.export import export
from hwnas.spaces import get_space
from tests.commands import completed
from tests.conftest import ROOT
from tests.documented_commands import WAYS, Kind
from tests.image_files import make_folder
from tests.test_cli_measuring import DEVICE

DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
DOCUMENTS += sorted(f"notebooks/{path.name}" for path in (ROOT / "notebooks").glob("*.ipynb"))
SLOWER_THAN_WANTED = 3
"""What `hwnas gate` ends with: on a busy machine a file may be slower than itself."""
COMMAND = typer.main.get_command(app)


def text_of(document: str) -> str:
    """A document; of a notebook what it says, its code blocks indented as those of the others are."""
    text = (ROOT / document).read_text(encoding="utf-8")
    if not document.endswith(".ipynb"):
        return text
    cells = [cell["source"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    joined = "\n\n".join("".join(source) for source in cells)
    return re.sub(r"^hwnas ", "    hwnas ", joined, flags=re.MULTILINE)


def shown(text: str) -> list[str]:
    """The commands of a text: in code blocks a line that begins with one, elsewhere what stands in backquotes."""
    joined = text.replace("\\\n", " ")
    lines = re.findall(r"^ {4}(?:\$ )?(hwnas [a-z].*)$", joined, re.MULTILINE)
    spans = re.findall(r"`(hwnas [a-z][^`]*)`", joined.replace("\n", " "))
    return [*(line for line in lines if "`" not in line), *spans]


def checked(command: str) -> None:
    """Parse a command as far as its words go: values may be placeholders. Raises what typer raises for wrong usage."""
    words = [word for word in shlex.split(command, comments=True) if word.strip(".,;:")]
    verb, rest = COMMAND, words[1:]
    while rest and rest[0] in getattr(verb, "commands", {}):
        verb, rest = verb.commands[rest[0]], rest[1:]
    if verb is COMMAND:
        assert not rest or rest[0].startswith("-"), f"there is no verb {rest[0]}"
    if rest and rest[-1].startswith("-"):  # an option that is only named
        named = [option for option in verb.params if rest[-1] in (*option.opts, *option.secondary_opts)]
        rest = rest if not named or named[0].is_flag else [*rest, "VALUE"]
    verb.make_parser(verb.context_class(verb, info_name=verb.name)).parse_args(rest)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_commands_that_a_document_shows_can_be_typed(document):
    wrong = {}
    for command in shown(text_of(document)):
        try:
            checked(command)
        except Exception as error:  # typer's own are private
            wrong[command] = str(error)
    assert not wrong


def test_commands_are_found_at_all():
    assert len(shown((ROOT / "README.md").read_text(encoding="utf-8"))) > 15


@pytest.mark.parametrize("command", ["hwnas desing --data photos", "hwnas design --budgets 3", "hwnas devices --add X"])
def test_a_wrong_one_is_noticed(command):
    with pytest.raises(Exception, match=r"no verb|No such option"):
        checked(command)


def every_command() -> list[str]:
    """All that are shown, without comments, each once."""
    found = (shlex.split(command, comments=True) for document in DOCUMENTS for command in shown(text_of(document)))
    return list(dict.fromkeys(" ".join(words) for words in found))


def test_none_of_them_is_left_untested_and_the_list_is_printed():
    commands = every_command()
    print()
    for command in sorted(commands, key=lambda each: WAYS[each].kind if each in WAYS else ""):
        way = WAYS.get(command)
        print("UNTESTED" if way is None else f"{way.kind:9} {way.told}", f"<- {command}", sep="  ")
    print(dict(Counter(WAYS[command].kind for command in commands if command in WAYS)), "of", len(commands))
    assert [command for command in commands if command not in WAYS] == []
    assert [command for command in WAYS if command not in commands] == []


def test_what_is_tested_elsewhere_is_a_test_that_there_is():
    for command, way in WAYS.items():
        if way.kind == "elsewhere":
            file, _, name = way.told.partition("::")
            text = (ROOT / "tests" / file).read_text(encoding="utf-8")
            assert f"def {name or 'test_'}" in text, command
            assert command.split()[1] in text, command


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands name: photographs, a model, a device that is measured in moments."""
    place = tmp_path_factory.mktemp("commands")
    make_folder(place / "photos", {"train/apple": 24, "train/pear": 24, "test/apple": 8, "test/pear": 8})
    (place / "quick.toml").write_text(DEVICE)
    space = get_space("tiny", resolution=16, num_classes=2, width=0.25)
    child = build_child(space.sample(random.Random(1)))
    (made,) = export(child, place / "made", formats=("tflite",))
    made.path.rename(place / "model.tflite")
    return place


def ran(place: Path, kind: Kind, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What went wrong with the commands of a kind, run one after the other."""
    monkeypatch.chdir(place)
    faults = []
    for command in dict.fromkeys(way.told for way in WAYS.values() if way.kind == kind):
        done = completed(*shlex.split(command))
        allowed = (0, SLOWER_THAN_WANTED) if command.startswith("gate") else (0,)
        print(f"{done.returncode} hwnas {command}")
        faults += [] if done.returncode in allowed else [f"{command}: {done.returncode} {done.stderr[-400:]}"]
    return faults


@pytest.mark.slow
def test_quick_commands_are_run(place, monkeypatch):
    assert ran(place, "suite", monkeypatch) == []


@pytest.mark.weekly
def test_commands_that_measure_and_train_are_run(place, monkeypatch):
    assert ran(place, "weekly", monkeypatch) == []

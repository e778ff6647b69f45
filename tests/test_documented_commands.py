"""Every `hwnas` command that README, docs and help texts show names a verb and options that there are."""

import re
import shlex

import pytest
import typer.main

from hwnas.cli.app import app
from tests.conftest import ROOT

DOCUMENTS = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
COMMAND = typer.main.get_command(app)


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
    for command in shown((ROOT / document).read_text(encoding="utf-8")):
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

"""Every `stepwire …` that a page, a runbook or an alert names is a command that there is, with these options."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
import yaml
from tests.cli.shell import Shell

from stepwire_handlers import scaffold
from stepwire_handlers.cli.main import cli

ROOT = Path(__file__).parents[2]
RULES = ROOT / "helm" / "stepwire" / "rules" / "stepwire.yaml"
SCAFFOLD = Path(scaffold.__file__).parent / "files"
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    SCAFFOLD / "README.md.txt",
    SCAFFOLD / "Makefile.txt",
]
FENCED = re.compile(r"^ *```[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}\S.*$", re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")
TREE: Any = typer.main.get_group(cli)
GROUPS = "|".join(name for name, command in TREE.commands.items() if hasattr(command, "commands"))
#: to where the shell or a comment ends it; `from stepwire import` is Python
NAMED = re.compile(r"(?:^|[\s/(\"'=])(?<!from )stepwire ((?:\\\n|[^|;&>#\n`)])*)", re.MULTILINE)
SHORT = re.compile(rf"^(?:{GROUPS}) [a-z]")  #: in a sentence the program's name may be left out: `dlq drop ID`


class Named(NamedTuple):
    """A command as somebody wrote it."""

    where: str
    words: tuple[str, ...]


def named(where: str, text: str) -> Iterator[Named]:
    """Every command in a text of code."""
    for found in NAMED.finditer(text):
        bare = re.sub(r"'[^']*'|\"[^\"]*\"", "VALUE", found[1].replace("\\\n", " ").removesuffix(" 2"))
        yield Named(where, tuple(bare.replace("[", " ").replace("]", " ").split()))


def in_page(page: Path) -> Iterator[Named]:
    """In blocks and in the middle of a sentence; a Makefile's lines are all code."""
    text, where = page.read_text("utf-8"), page.relative_to(ROOT).as_posix()
    if not page.name.startswith("Makefile"):
        blocks = FENCED.findall(text)
        rest = FENCED.sub("", text)
        spans = [" ".join(span.split()) for span in INLINE.findall(rest)]
        whole = [f"stepwire {span}" if SHORT.match(span) else span for span in spans]
        text = "\n".join([*blocks, *INDENTED.findall(rest), *whole])
    return named(where, text)


def in_alerts() -> Iterator[Named]:
    """In what an alert says."""
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            for text in rule.get("annotations", {}).values():
                for span in INLINE.findall(text) or [text]:
                    yield from named(f"alert {rule.get('alert')}", span)


def wrong(words: tuple[str, ...]) -> str | None:
    """What of it is not there."""
    node, left = TREE, [*words[2:]] if words[:1] in (("--directory",), ("-C",)) else [*words]
    while left and hasattr(node, "commands") and re.fullmatch(r"[a-z][a-z-]*", left[0]):
        if left[0] not in node.commands:
            return f"no command {left[0]}"
        node = node.commands[left.pop(0)]
    known = {option for each in node.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    used = (word.partition("=")[0].rstrip(",.:…") for word in left if re.match(r"--?[a-z]", word))
    return next((f"no option {option}" for option in used if option not in known), None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_commands_that_there_are(page: Path) -> None:
    """Who copies one from a page does not read `No such command`."""
    assert [(each.words, why) for each in in_page(page) if (why := wrong(each.words))] == []


def test_a_new_project_installs_what_its_own_page_starts() -> None:
    """Its Makefile has the extra of each command that its README names, however often .venv is made anew."""
    (extras,) = re.findall(r"^EXTRAS := (.+)$", (SCAFFOLD / "Makefile.txt").read_text("utf-8"), re.MULTILINE)
    started = {each.words[0] for name in ("README.md", "Makefile") for each in in_page(SCAFFOLD / f"{name}.txt")}
    assert {"dev", "door", "console"} <= started
    ours = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
    assert (started & ours) - {*extras.split(",")} == {"mcp"}  # of which the page says itself where it is added


def test_what_a_new_project_keeps_to_itself_is_not_committed() -> None:
    """The access file that its README makes, neither into the repository nor into an image."""
    for name in ("gitignore.txt", "dockerignore.txt"):
        assert "access.toml" in (SCAFFOLD / name).read_text("utf-8").splitlines()


def test_alerts_name_commands_that_there_are() -> None:
    """At night nobody looks for the right one."""
    assert [(each.where, each.words, why) for each in in_alerts() if (why := wrong(each.words))] == []


@pytest.mark.parametrize("text", ["timeline RUN", "runs look RUN", "runs show RUN --all", "gates decide ID --yes=1"])
def test_what_there_is_not_is_found(text: str) -> None:
    """The judge is no rubber stamp: an unknown command, one below a group, an option."""
    (found,) = named("here", f"then stepwire {text}")
    assert wrong(found.words)


def test_commands_are_found_wherever_they_stand() -> None:
    """In a block, indented, in a sentence over two lines, behind a folder or another command."""
    seen = {each.words[0] for page in PAGES for each in in_page(page) if each.words}
    assert {"run", "dev", "door", "mcp", "publish", "runs", "gates", "dlq", "contracts", "topics", "groups"} <= seen
    assert [each.words for each in named("here", "kubectl exec deploy/a -- stepwire runs \\\n  show ID | head")] == [
        ("runs", "show", "ID")
    ]


@pytest.mark.parametrize("command", ["topics plan", "graph", "groups list"])
def test_a_command_that_takes_an_app_knows_it_by_the_variable_too(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """STEPWIRE_APP, as the runbooks say; without it a usage error that names what is missing."""
    shell.order(1)
    words = command.split()
    assert shell(*words).out == shell(*words, "market:app").out
    monkeypatch.delenv("STEPWIRE_APP")
    assert "Missing argument 'MODULE:app'" in shell(*words, code=2).err

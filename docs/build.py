"""Pages of the site that are made when it is built: each verb's help, and how to extend."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.cli import get_docs_for_click
from typer.main import get_command

from hwnas.cli.app import app

ROOT = Path(__file__).resolve().parent.parent


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages."""
    command = get_command(app)
    verbs = get_docs_for_click(obj=command, ctx=command.context_class(command, info_name="hwnas"), name="hwnas")
    files.append(File.generated(config, "verbs.md", content=verbs))
    extending = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "extending.md", content=extending))
    return files

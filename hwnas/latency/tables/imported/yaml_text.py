"""YAML without its dangers and surprises: aliases, tags, keys that are there twice, numbers of base 60."""

from __future__ import annotations

import re
from typing import Any

from hwnas.foreign import DEEPEST
from hwnas.text import excerpt

MOST_CHARACTERS = 8 * 2**20
"""Parsing takes seconds for as many; published tables have 3 million."""
PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9]\d{0,18})(\.\d+)?([eE][-+]?\d{1,3})?")


def parse_yaml(text: str) -> Any:
    """The value of a YAML text. Raises ValueError for other text, and for parts that no table of numbers needs."""
    import yaml

    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters; YAML of a published table has {MOST_CHARACTERS:,} at most")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_events(text, loader)
        return yaml.load(text, Loader=_strict(loader))
    except (yaml.YAMLError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None


def _check_events(text: str, loader: Any) -> None:
    """Refuse aliases, tags and deep nesting before anything is built: the C loader has no limit of its own, and an
    alias of an alias of an alias fills the memory."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=loader):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ValueError(f"line {line} has an anchor or an alias, which a published table has not")
        if getattr(event, "tag", None):
            raise ValueError(f"line {line} has the tag {excerpt(event.tag)}, and a published table has none")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"line {line} is nested deeper than {DEEPEST} levels")


def _strict(loader: Any) -> Any:
    """A loader that reads numbers as everybody does, and takes no key twice."""

    def construct_mapping(self: Any, node: Any, deep: bool = False) -> Any:
        found = loader.construct_mapping(self, node, deep)
        if len(found) < len(node.value):
            names = [key.value for key, _ in node.value]
            at, twice = next((i, name) for i, name in enumerate(names) if name in names[:i])
            line = node.value[at][0].start_mark.line + 1
            raise ValueError(f"line {line}: the key {excerpt(twice)} is there twice")
        return found

    def number(self: Any, node: Any) -> Any:
        if PLAIN_NUMBER.fullmatch(node.value) is None:
            return node.value  # 1:30 would be 90, and 010 would be 8
        return int(node.value) if node.value.lstrip("+-").isdigit() else float(node.value)

    strict: Any = type("Strict", (loader,), {"construct_mapping": construct_mapping})
    for kind in ("int", "float"):
        strict.add_constructor(f"tag:yaml.org,2002:{kind}", number)
    return strict

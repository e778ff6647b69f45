"""Imports point one way, and a child can be used without the search."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from hwnas.latency.measuring.model_files import reference_model

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "hwnas"

ORDER = [
    {"errors", "text", "temporary", "foreign", "files", "locks", "records", "sandbox", "openmp", "progress"}
    | {"preprocessing", "registered", "arguments", "random_state"},
    {"run", "notation"},
    {"specs"},
    {"space"},
    {"spaces"},
    {"networks"},
    {"blocks"},
    {"child"},
    {"pretrained"},
    {"runtimes", "transports", "native"},
    {"inspection"},
    {"exporter"},
    {"devices"},
    {"runners"},
    {"campaign"},
    {"latency"},
    {"supernet"},
    {"train"},
    {"searches"},
    {"pricing"},
    {"report"},
    {"designer"},
    {"evaluation"},
    {"cli"},
]
"""From what everything may import to what may import everything; a module imports from its own part or from before."""

RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}


def part_of(module: str) -> str:
    return module.split(".")[1]


@cache
def import_statements(path: Path) -> list[ast.Import | ast.ImportFrom]:
    """Anywhere in a module."""
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports(path: Path) -> set[str]:
    found = set()
    for node in import_statements(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif node.level == 0 and node.module:
            found |= {node.module} | ({f"hwnas.{a.name}" for a in node.names} if node.module == "hwnas" else set())
        else:
            pytest.fail(f"{path} uses a relative import")
    return {name for name in found if name.startswith("hwnas.")}


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert own in RANK, f"{own} has no place in the order of imports"
    wrong = {name for name in imports(path) if RANK[part_of(name)] > RANK[own]}
    assert not wrong, f"{path.relative_to(PACKAGE)} imports {wrong}, which stand after {own}"


def module_of(path: Path) -> str:
    parts = ("hwnas", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The package or module right below ``hwnas``; in the exporter, whose rooms are large, those below it."""
    parts = module.split(".")
    if parts[:2] == ["hwnas", "exporter"]:
        return (
            ".".join(parts[:3]) if len(parts) > 3 or (PACKAGE / "exporter" / parts[-1]).is_dir() else "hwnas.exporter"
        )
    return ".".join(parts[:2])


@cache
def import_graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports anywhere in it, also for type checkers alone."""
    known = {module_of(path) for path in MODULES}
    graph = {}
    for path in MODULES:
        found = set()
        for node in import_statements(path):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & known
                found |= inner if len(inner) == len(node.names) else inner | {node.module}
        graph[module_of(path)] = (found & known) - {module_of(path)}
    return graph


def circles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The groups of names that depend on each other."""
    reached = {name: _reached_from(name, graph) for name in graph}
    return sorted({tuple(sorted(b for b in reached[a] if a in reached[b])) for a in graph if a in reached[a]})


def _reached_from(start: str, graph: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def test_no_modules_import_each_other_not_even_for_type_checkers():
    assert circles(import_graph()) == []


def test_no_rooms_import_each_other_not_even_for_type_checkers():
    rooms: dict[str, set[str]] = {}
    for module, imported in import_graph().items():
        own = room_of(module)
        rooms.setdefault(own, set()).update(room_of(name) for name in imported if room_of(name) != own)
    assert circles(rooms) == []


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a", "d"}}
    assert circles(graph) == [("b", "c"), ("d",)]


def modules_after(code: str) -> set[str]:
    lines = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(lines.stdout.split())


def test_a_child_is_built_and_exported_without_the_search(tmp_path):
    loaded = modules_after(
        "import hwnas\n"
        "child = hwnas.build_child(hwnas.get_space('tiny', width=0.25, resolution=16).decode([0] * 7))\n"
        f"hwnas.save_child(child, {str(tmp_path)!r})\n"
        f"hwnas.export(hwnas.load_child({str(tmp_path)!r}), {str(tmp_path)!r})"
    )
    assert "hwnas.exporter.graph.graph" in loaded
    assert not {name for name in loaded if name.startswith(("hwnas.searches", "hwnas.supernet", "hwnas.train"))}


HEAVY = {"torch", "numpy", "pandas", "scipy", "sklearn", "onnx", "onnxruntime", "ai_edge_litert"}


def test_the_library_and_its_spaces_load_nothing_heavy():
    assert not modules_after("import hwnas\nhwnas.get_space('tiny').size") & HEAVY


def test_the_command_line_waits_for_no_package_and_no_method_before_it_knows_its_verb():
    """Nor for pydantic, whose models take as long as all the rest of the command line."""
    loaded = modules_after(
        "import hwnas.cli.app\nfrom typer.testing import CliRunner\n"
        "assert CliRunner().invoke(hwnas.cli.app.app, ['--help']).exit_code == 0"
    )
    assert loaded & (HEAVY | {"pydantic", "psutil"}) == set()
    assert not {name for name in loaded if name.startswith(("hwnas.searches.", "hwnas.runners.", "hwnas.spaces."))} - {
        "hwnas.searches.registry",
        "hwnas.runners.registry",
        "hwnas.spaces.registry",
        "hwnas.spaces.options",
    }


def test_a_file_is_measured_as_a_baseline_without_torch(tmp_path):
    (tmp_path / "model.tflite").write_bytes(reference_model("tflite"))
    (tmp_path / "quick.toml").write_text('name = "quick"\nmin_ms = 1\nmin_runs = 5\nvisits = 1\nwarmup_ms = 1\n')
    command = ["bench", f"{tmp_path}/model.tflite", "--device", f"{tmp_path}/quick.toml", "--json"]
    loaded = modules_after(
        "import hwnas.cli.app\nfrom typer.testing import CliRunner\n"
        f"assert CliRunner().invoke(hwnas.cli.app.app, {command}).exit_code == 0"
    )
    assert "hwnas.campaign.bench" in loaded and "torch" not in loaded


def test_a_training_loads_no_compiler_and_no_package_that_it_does_not_use(tmp_path):
    """Each of these takes as long to load as all of hwnas."""
    loaded = modules_after(
        "import hwnas\nfrom hwnas.run import Run\nfrom hwnas.train.child import train_child\n"
        "data = hwnas.load_data('digits', resolution=16, limit_train=128)\n"
        "child = hwnas.get_space('tiny', width=0.25, resolution=16).decode([0] * 7)\n"
        f"train_child(child, data, Run({str(tmp_path / 'run')!r}, {{}}), epochs=1)"
    )
    assert "hwnas.train.optim" in loaded
    assert not loaded & {"torch._dynamo", "pandas", "sklearn", "scipy.optimize", "scipy.stats"}


def test_every_public_name_resolves():
    import hwnas

    for name in hwnas.__all__:
        assert callable(getattr(hwnas, name)), name

"""How many queries until the best architecture of a table is found?

    python benchmarks/queries.py --table FILE --code-column C --accuracy-column A [--cost-column M
        --budget-percentile P] [--method bayesian] [--seeds 100] [--queries 500] [--json]

A code is one index per decision, as digits or as numbers separated by commas or dashes, or a cell of NAS-Bench-201.
``--code-column depths,kernels,expansions`` reads sub-networks of Once-for-All's MobileNetV3, one decision per layer:
see `layers_of`. Within a budget: the rows whose cost is at most that percentile of all costs. A seed that does not find
the best accuracy of these rows is missed, and counts as one query more than it was given.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from hwnas.errors import HwnasError
from hwnas.searches.guided.bayesian import BayesianStrategy
from hwnas.searches.guided.features import CellOperators, CodeFeatures
from hwnas.searches.guided.pool import TablePool
from hwnas.searches.guided.strategies import LocalSearch, RandomStrategy, RegularisedEvolution, Strategy
from hwnas.searches.guided.weak_predictors import WeakNASStrategy, WeakSettings
from hwnas.spaces import get_space
from hwnas.spaces.nas_bench_201 import OPERATORS, CellNotation

METHODS = ("bayesian", "weaknas-mlp", "weaknas-forest", "weaknas-boosting", "evolution", "local", "random")
REGRET_AT = (50, 100, 200, 500)


def codes_of(texts: Sequence[str]) -> tuple[np.ndarray, CodeFeatures]:
    """(n, decisions): the indices, and the features of such codes. Values that no row has are closed up."""
    if texts[0].startswith("|"):
        read = [CellNotation().read(text) for text in texts]
        words = [[(name,) for name in OPERATORS]] * len(read[0])
        return np.array(read, dtype=int), CodeFeatures(words, CellOperators(none=0, skip=1))
    parts = [text.replace("-", ",").split(",") if set(text) & set(",-") else list(text) for text in texts]
    if len({len(part) for part in parts}) > 1:
        raise SystemExit(
            "the codes of a table must all make the same number of decisions. A spreadsheet may have taken zeros at "
            "their beginning away: keep the column as text."
        )
    try:
        values = np.array(parts, dtype=int)
    except ValueError:
        raise SystemExit(f"a code is digits, or numbers separated by commas or dashes; not {texts[0]!r}.") from None
    codes = np.stack([np.unique(column, return_inverse=True)[1] for column in values.T], axis=1)
    return codes, CodeFeatures.of_sizes((codes.max(axis=0) + 1).tolist())


def layers_of(depths: Sequence[str], kernels: Sequence[str], expansions: Sequence[str]) -> list[list[str]]:
    """Per network what its layers are: ``7 6`` for kernel 7 and expansion 6, or nothing beyond the depth of a stage.

    Kernel and expansion of a layer that a stage has not, as the tables write them, have no effect.
    """
    found = []
    for texts in zip(depths, kernels, expansions, strict=True):
        stages, kernel, expansion = (text.split("-") for text in texts)
        most = len(kernel) // len(stages)
        live = [place < int(depth) for depth in stages for place in range(most)]
        found.append([f"{k} {e}" if here else "" for here, k, e in zip(live, kernel, expansion, strict=True)])
    return found


def codes_of_layers(layers: Sequence[Sequence[str]]) -> tuple[np.ndarray, CodeFeatures]:
    """(n, layers): the index of each layer among those that stand there anywhere, and the features of such codes."""
    known = [sorted(set(column)) for column in zip(*layers, strict=True)]
    codes = [[names.index(name) for names, name in zip(known, network, strict=True)] for network in layers]

    def words(name: str) -> tuple[str, ...]:
        kernel, _, expansion = name.partition(" ")
        return (name, f"kernel {kernel}", f"expansion {expansion}") if name else ("identity",)

    return np.array(codes, dtype=int), CodeFeatures([[words(name) for name in names] for names in known])


def read_table(path: str, code_columns: Sequence[str], accuracy_column: str, *more_columns: str) -> pd.DataFrame:
    """The rows that have a code, a finite accuracy and what more is wanted; how many have not is said."""
    if len(code_columns) not in (1, 3):
        sys.exit("name one column of codes, or those of depths, kernels and expansions, in this order.")
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(code_columns, str))
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        sys.exit(f"{path} is no table: {error}")
    if not isinstance(table.index, pd.RangeIndex):
        sys.exit(f"{path} has more values in a row than columns: put codes with commas in quotation marks.")
    numbers = [name for name in (accuracy_column, *more_columns) if name != "macs" or name in table]
    if absent := [name for name in (*code_columns, *numbers) if name not in table]:
        sys.exit(f"{path} has no column {absent[0]!r}; it has {', '.join(table)}.")
    for name in numbers:
        table[name] = pd.to_numeric(table[name].astype(str).str.rstrip("% "), errors="coerce")
    whole = table[np.isfinite(table[numbers]).all(axis=1) & table[list(code_columns)].notna().all(axis=1)]
    if len(whole) < len(table):
        print(
            f"{len(table) - len(whole)} of {len(table)} rows have no code or no number in {', '.join(numbers)}, "
            "and are left out",
            file=sys.stderr,
        )
    if whole.empty:
        sys.exit(f"{path} has no row with a code and a number in {', '.join(numbers)}.")
    return whole


def prior_of(name: str, table: pd.DataFrame, column: str) -> np.ndarray:
    """(n,): a column; of cells of NAS-Bench-201 also ``macs``, which no table of theirs has."""
    if name in table:
        return table[name].to_numpy(float)
    if not table[column].str.startswith("|").all():
        sys.exit("the table has no column 'macs', and only those of cells of NAS-Bench-201 are known.")
    space = get_space("nas-bench-201", 32, 10, 0.25)
    return np.array([float(space.decode(text).macs) for text in table[column]])


def strategy_of(
    method: str, pool: TablePool, features: CodeFeatures, seed: int, prior: np.ndarray | None = None
) -> Strategy:
    if method == "bayesian" and prior is not None:
        return BayesianStrategy(pool, features, seed, prior=lambda codes: prior[[pool.row(code) for code in codes]])
    if method == "bayesian":
        return BayesianStrategy(pool, features, seed)
    if method.startswith("weaknas-"):
        return WeakNASStrategy(pool, seed, WeakSettings(predictor=method.removeprefix("weaknas-")))
    simple = {"evolution": RegularisedEvolution, "local": LocalSearch, "random": RandomStrategy}
    return simple[method](pool, seed)


def search(strategy: Strategy, pool: TablePool, accuracies: np.ndarray, queries: int) -> np.ndarray:
    """(n,): the accuracies in the order in which they were asked for, until the best is found."""
    found: list[float] = []
    while len(found) < queries and len(codes := strategy.ask(1)):
        score = float(accuracies[pool.row(codes[0])])
        strategy.tell(codes, np.array([score]))
        found.append(score)
        if score >= accuracies.max():
            break
    return np.array(found)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True)
    parser.add_argument("--code-column", required=True)
    parser.add_argument("--accuracy-column", required=True)
    parser.add_argument("--cost-column")
    parser.add_argument("--budget-percentile", type=float, default=100.0)
    parser.add_argument("--method", choices=METHODS, default="bayesian")
    parser.add_argument("--prior", help="a column, larger is better; for cells also macs: the mean of the process")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", message="Stochastic Optimizer")  # 100 iterations are the authors'
    columns = options.code_column.split(",")
    if min(options.seeds, options.queries) < 1 or options.first_seed < 0:
        sys.exit("--seeds and --queries are 1 or more, and --first-seed is not negative.")
    if not 0 <= options.budget_percentile <= 100:
        sys.exit("--budget-percentile is 0 to 100.")
    if options.cost_column is None and options.budget_percentile != 100:
        sys.exit("--budget-percentile is one of costs: name their column with --cost-column.")
    if options.prior is not None and options.method != "bayesian":
        sys.exit("--prior is of --method bayesian; the others have none.")
    more = [name for name in (options.cost_column, options.prior) if name is not None]
    table = read_table(options.table, columns, options.accuracy_column, *more)
    try:
        if len(columns) == 3:
            codes, _ = codes_of_layers(layers_of(*(table[name].tolist() for name in columns)))
        else:
            codes, _ = codes_of(table[columns[0]].tolist())
    except HwnasError as error:
        sys.exit(str(error))
    _, rows = np.unique(codes, axis=0, return_index=True)
    if len(rows) < len(table):
        print(f"of rows of one code the first counts: {len(table) - len(rows)} are left out", file=sys.stderr)
    table = table.iloc[np.sort(rows)]
    if options.cost_column:
        costs = table[options.cost_column]
        table = table[costs <= np.percentile(costs, options.budget_percentile)]
    if len(columns) == 3:
        codes, features = codes_of_layers(layers_of(*(table[name].tolist() for name in columns)))
    else:
        codes, features = codes_of(table[columns[0]].tolist())
    accuracies, pool = table[options.accuracy_column].to_numpy(float), TablePool(codes)
    prior = None if options.prior is None else prior_of(options.prior, table, columns[0])
    began = time.process_time()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    strategies = (strategy_of(options.method, pool, features, seed, prior) for seed in seeds)
    found = [search(strategy, pool, accuracies, options.queries) for strategy in strategies]
    result = {"method": options.method, **summary(found, float(accuracies.max()), options.queries)}
    result["seconds"] = (time.process_time() - began) / options.seeds
    print(json.dumps(result) if options.json else "\n".join(f"{name}: {value}" for name, value in result.items()))


def summary(found: Sequence[np.ndarray], best: float, queries: int) -> dict[str, Any]:
    """Median, 90th percentile, mean regret and misses. `seconds` beside them are CPU seconds per search."""
    needed = [len(each) if each.max() >= best else queries + 1 for each in found]
    regret = {str(at): float(np.mean([best - each[:at].max() for each in found])) for at in REGRET_AT if at <= queries}
    missed = sum(each > queries for each in needed)
    return {
        "median": float(np.median(needed)),
        "p90": float(np.percentile(needed, 90)),
        "mean_regret_at": regret,
        "missed": missed,
    }


if __name__ == "__main__":
    main()

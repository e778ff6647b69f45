"""The verbs that make a network: search, design."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.cli.configuring import configured, read_configuration
from hwnas.cli.options import (
    Accept,
    Amp,
    Balance,
    BudgetMs,
    BudgetPrecision,
    Budgets,
    Compare,
    CompareWith,
    Compile,
    Config,
    Data,
    Epochs,
    Frontier,
    Int8MaxLoss,
    Json,
    Latency,
    Limits,
    LimitTrain,
    Method,
    OptionalDevice,
    OptionalNetworks,
    OptionalRuntime,
    OptionalSpace,
    OptionalTables,
    Out,
    Pretrained,
    Resolution,
    Retrain,
    SearchLatency,
    Seed,
    Sustained,
    Threads,
    TorchDevice,
    TrainThreads,
    Width,
)
from hwnas.cli.output import print_json
from hwnas.errors import HwnasError, UsageError

if TYPE_CHECKING:
    from hwnas.designer.config import DesignConfig
    from hwnas.designer.result import DesignResult
    from hwnas.latency.wanted_budget import WantedBudget


def search(
    latency: SearchLatency = None,
    tables: OptionalTables = None,
    space: OptionalSpace = None,
    method: Method = None,
    data: Data = None,
    budget_ms: BudgetMs = None,
    budgets: Budgets = None,
    limits: Limits = None,
    frontier: Frontier = None,
    sustained: Sustained = None,
    device: OptionalDevice = None,
    runtime: OptionalRuntime = None,
    precision: BudgetPrecision = None,
    int8_max_loss: Int8MaxLoss = None,
    threads: Threads = None,
    pretrained: Pretrained = None,
    resolution: Resolution = None,
    width: Width = None,
    epochs: Epochs = None,
    compare: Compare = None,
    compare_with: CompareWith = None,
    retrain: Retrain = False,
    limit_train: LimitTrain = None,
    balance: Balance = None,
    train_threads: TrainThreads = None,
    torch_device: TorchDevice = None,
    amp: Amp = None,
    compile: Compile = False,
    seed: Seed = None,
    accept_conditions: Accept = False,
    out: Out = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Search under a budget with a latency table that exists; export what is found and measure it.

    With a published table, from `hwnas measure --import`, no device is needed: the result has a predicted
    latency, and is saved with its weights and a page, `report.html`. Small images and widths then stand in for the
    published network.

    Example: `hwnas search --space tiny --data digits --latency latency_models/local/litert --budget-ms 0.4`

    Without a phone: `hwnas search --method single-path --space single-path --device pixel-1 --data photos/
    --resolution 32 --width 0.25 --budget-ms 75`
    """
    _design(needs_table=True, **locals())


def design(
    space: OptionalSpace = None,
    method: Method = None,
    data: Data = None,
    budget_ms: BudgetMs = None,
    budgets: Budgets = None,
    limits: Limits = None,
    frontier: Frontier = None,
    sustained: Sustained = None,
    device: OptionalDevice = None,
    runtime: OptionalRuntime = None,
    precision: BudgetPrecision = None,
    int8_max_loss: Int8MaxLoss = None,
    threads: Threads = None,
    latency: Latency = None,
    tables: OptionalTables = None,
    networks: OptionalNetworks = None,
    pretrained: Pretrained = None,
    resolution: Resolution = None,
    width: Width = None,
    epochs: Epochs = None,
    compare: Compare = None,
    compare_with: CompareWith = None,
    retrain: Retrain = False,
    limit_train: LimitTrain = None,
    balance: Balance = None,
    train_threads: TrainThreads = None,
    torch_device: TorchDevice = None,
    amp: Amp = None,
    compile: Compile = False,
    seed: Seed = None,
    accept_conditions: Accept = False,
    out: Out = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """From images and a budget in ms to model files measured to meet it: measure, fit, search, export, measure again.

    Example: `hwnas design --device local --data photos/ --budget-ms 0.5`

    For the int8 file: `hwnas design --device local --data photos/ --budget-ms 0.3 --precision int8`

    One network for several devices: `hwnas design --data digits --budget local=0.5 --budget local/onnxruntime=0.6
    --budget pixel-1=60 --limit parameters=300k`

    For float32 or int8, whichever file is better within the budget: `--precision auto`
    """
    _design(needs_table=False, **locals())


def _design(needs_table: bool, config: Path | None, out: Path | None, as_json: bool, **options: Any) -> None:
    """The work that `search` and `design` share: read the configuration, design with bars, print the closing table."""
    from hwnas.designer.choices import USUAL_METHOD, USUAL_SPACE
    from hwnas.designer.design import design as run_design
    from hwnas.designer.design_table import design_table
    from hwnas.devices.device import comes_with_hwnas, load_device
    from hwnas.latency.tables.known import find_table
    from hwnas.latency.tables.precision import AUTO_PRECISION, AUTO_PRECISIONS, USUAL_PRECISION
    from hwnas.report.console import CONSOLE
    from hwnas.report.progress import progress_bars
    from hwnas.spaces import get_space
    from hwnas.train import distributed

    wanted = _design_config(options, config, "search" if needs_table else "design")
    with distributed.together(wanted.torch_device):
        if needs_table and wanted.latency is None:
            device, space = load_device(wanted.device), get_space(wanted.space or USUAL_SPACE)
            runtime, shipped = wanted.runtime or device.runtime, comes_with_hwnas(device)
            find = partial(find_table, wanted.tables, device.name, runtime, space, typed=wanted.device)
            if wanted.precision == AUTO_PRECISION:  # both must be there; the design finds them by itself
                for precision in AUTO_PRECISIONS:
                    distributed.from_first(partial(find, precision))
                # with tables that exist nothing is chosen by the images
                usual = {"space": space.name, "method": wanted.method or USUAL_METHOD}
                wanted = wanted.model_copy(update=usual)
            else:
                found = distributed.from_first(partial(find, wanted.precision or USUAL_PRECISION, shipped))
                wanted = wanted.model_copy(update={"latency": str(found)})
        if needs_table and wanted.precision != AUTO_PRECISION:
            further = distributed.from_first(lambda: _further_tables(wanted))
            wanted = wanted.model_copy(update={"latencies": further})
        if distributed.rank() > 0:  # follows the first process, which alone speaks
            result = run_design(wanted, out)
        else:
            with progress_bars() as bars:
                result = run_design(wanted, out, bars)
            if as_json:
                print_json(result.to_json())
            else:
                CONSOLE.print(design_table(result))
        _check_within(result)
        _check_frontier(result)


def _further_tables(wanted: DesignConfig) -> dict[str, str]:
    """The tables of the devices of further budgets. Raises HwnasError, with the cure, where there is none."""
    from hwnas.designer.choices import USUAL_SPACE
    from hwnas.designer.wanted_limits import parse_place
    from hwnas.devices.device import comes_with_hwnas, load_device
    from hwnas.latency.tables.known import find_table
    from hwnas.latency.tables.precision import USUAL_PRECISION
    from hwnas.spaces import get_space

    space, precision = get_space(wanted.space or USUAL_SPACE), wanted.precision or USUAL_PRECISION
    found = dict(wanted.latencies)
    for place in wanted.budgets.keys() - found.keys():
        name, runtime = parse_place(place)
        device = load_device(name)
        shipped, runtime = comes_with_hwnas(device), runtime or device.runtime
        found[place] = str(find_table(wanted.tables, device.name, runtime, space, precision, shipped, name))
    return dict(sorted(found.items()))


def _check_within(result: DesignResult) -> None:
    """Raises HwnasError if what was designed measures over its budget."""
    if over := [record for record in result.limits if record.status == "over"]:
        told = "; ".join(f"{record.name}: {record.told}" for record in over)
        raise HwnasError(
            f"the network is over {len(over)} of its {len(result.limits)} limits ({told}). Its files are kept in "
            f"{result.run}. Raise the limits by the difference, or measure the tables again if the machine was "
            "busy."
        )
    if result.status == "over":
        others = " It is the fastest network of the space." if result.is_fastest else ""
        raise HwnasError(
            f"the network measures {result.measured_ms[result.runtime]:.4g} ms on {result.runtime}, over the budget of "
            f"{result.budget_ms:g} ms.{others} Its files are kept in {result.run}. "
            "Raise the budget by the difference, or measure the table again if the machine was busy."
        )


def _check_frontier(result: DesignResult) -> None:
    """Raises HwnasError if a network of a further budget measures over it."""
    if over := [point for point in result.frontier if point.status == "over"]:
        told = "; ".join(f"{point.measured_ms:.4g} ms for {point.budget_ms:g} ms" for point in over)
        raise HwnasError(
            f"{len(over)} of the {len(result.frontier)} networks of the frontier measure over their budgets ({told}). "
            f"They are kept in {result.run}. Raise these budgets by the difference, or measure the table again if the "
            "machine was busy."
        )


def _design_config(options: dict[str, Any], path: Path | None, verb: str = "design") -> Any:
    """The configuration of a TOML file, overridden by the flags that were given. Raises UsageError."""
    from hwnas.designer.config import DesignConfig
    from hwnas.designer.wanted_limits import parse_pairs
    from hwnas.latency.wanted_budget import largest, parse_budget

    values = read_configuration(path)
    given = {k: value for k, value in options.items() if value is not None and (value is not False or k == "compare")}
    values |= {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    for option, name in (("--budget", "budgets"), ("--limit", "limits")):
        if isinstance(values.get(name), list):
            values[name] = parse_pairs(values[name], option)
    _check_amounts(values)
    if isinstance(values.get("compare_with"), str):
        values["compare_with"] = tuple(filter(None, map(str.strip, values["compare_with"].split(","))))
    if isinstance(values.get("frontier"), str):
        values["frontier"] = _budgets(values["frontier"])
    if isinstance(values.get("frontier"), list) and "budget_ms" not in values and not values.get("budgets"):
        with suppress(TypeError):  # what is no budget is said below; the first of these is the budget
            values["budget_ms"] = largest([parse_budget(each) for each in values["frontier"]])
    return configured(DesignConfig, values, path, verb)


def _check_amounts(values: dict[str, Any]) -> None:
    """Raise UsageError, in the words of the options, for a budget or a limit that is none, and for two firsts."""
    from hwnas.designer.wanted_limits import parse_amount, with_first_budget
    from hwnas.latency.wanted_budget import parse_budget

    with_first_budget(values)
    limits, budgets = ({} if not isinstance(values.get(key), dict) else values[key] for key in ("limits", "budgets"))
    for name, amount in limits.items():
        parse_amount(name, amount)
    for place, budget in budgets.items():
        try:
            parse_budget(budget)
        except UsageError as error:
            raise UsageError(f"--budget {place}={budget}: {error}") from None


def _budgets(text: str) -> list[WantedBudget]:
    """Budgets separated by commas. Raises UsageError for anything else."""
    from hwnas.latency.wanted_budget import parse_budget

    try:
        return [parse_budget(budget) for budget in text.split(",")]
    except UsageError as error:
        raise UsageError(
            f"--frontier takes budgets separated by commas, such as 0.3,0.4,0.5 or 20%,60%, not {text!r}: {error}"
        ) from None

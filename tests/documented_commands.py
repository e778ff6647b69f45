"""How each command that README, docs and notebooks show is tested.

``suite`` and ``weekly`` commands are run by `tests/test_documented_commands.py`, with values for what a person would
put in: a small space, a few pictures, this machine in the place of a phone. ``elsewhere`` names a test that types the
command with other values, many of them on an emulated phone. ``named`` is a verb or an option that a sentence is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["suite", "weekly", "elsewhere", "named"]

SMALL = "--space tiny --resolution 16 --width 0.25"
TABLE = "latency_models/quick/litert"
TRAINED = f"{SMALL} --latency {TABLE} --data photos --budget-ms 1000 --epochs 1"
CODE = "0,0,0,4,3,0,0,0,3,0,0,0,3,2,2,2,3,3,3,3"
MEASURED = "test_phone_end_to_end.py::test_the_table_is_whole_and_says_where_it_is_from"
PHONE_BENCH = "test_phone_end_to_end.py::test_an_exported_model_is_benched_by_the_serial"
GATED = "test_cli_gate.py::test_a_model_within_its_budget_passes_and_becomes_a_baseline_for_a_slower_one"
IMPORTED = "test_cli_published.py"
TRANSFERRED = "test_cli_measuring.py::test_a_few_networks_of_a_known_table_make_a_predictor_for_another_runtime"
ACCURACY = "test_model_accuracy.py::test_the_answer_says_what_stands_behind_it"
ADDED = "test_cli_devices.py::test_add_writes_a_profile_that_reaches_the_phone"


@dataclass(frozen=True)
class Way:
    """How one command is tested: what is run, or the test or the reason that stands for it."""

    kind: Kind
    told: str


def suite(run: str) -> Way:
    return Way("suite", run)


def weekly(run: str) -> Way:
    return Way("weekly", run)


def elsewhere(test: str) -> Way:
    return Way("elsewhere", test)


NAMED = Way("named", "a sentence is about it")

WAYS: dict[str, Way] = {
    # quick: nothing is measured or trained
    "hwnas devices": suite("devices"),
    f"hwnas price --space single-path --code {CODE} --latency pixel-4/nn-meter": suite(
        f"price --space single-path --code {CODE} --latency pixel-4/nn-meter"
    ),
    f"hwnas price --space single-path --code {CODE} --latency latency_models/pixel-1/single-path-nas": suite(
        f"price --space single-path --code {CODE} --latency pixel-1/single-path-nas"
    ),
    "hwnas range --space single-path --device pixel-1": suite("range --space single-path --device pixel-1"),
    "hwnas inspect MODEL": suite("inspect model.tflite"),
    "hwnas accuracy MODEL --data PATH": elsewhere(ACCURACY),
    "hwnas accuracy MODEL --data photos [--split test|val|train|all]": suite(
        "accuracy model.tflite --data photos --split all"
    ),
    "hwnas accuracy models/model.tflite --data photos": elsewhere(ACCURACY),
    # from images to files, in the order in which each needs what the one before made
    "hwnas measure --space S --device D": weekly(f"measure {SMALL} --classes 2 --device quick.toml --networks 8"),
    "hwnas measure --space S --precision int8": weekly(
        f"measure {SMALL} --device quick.toml --networks 5 --precision int8"
    ),
    "hwnas measure --space lite --resolution 64 --precision int8": weekly(
        f"measure {SMALL} --device quick.toml --networks 5 --precision int8"
    ),
    "hwnas fit TABLE": weekly(f"fit {TABLE}"),
    "hwnas fit latency_models/local/litert-int8": weekly("fit latency_models/quick/litert-int8"),
    "hwnas range --space S --device D": weekly(f"range {SMALL} --device quick.toml"),
    "hwnas price --space S --code C --latency TABLE": weekly(f"price {SMALL} --code 0,0,0,0,0,0,0 --latency {TABLE}"),
    "hwnas search --latency TABLE --data PATH --budget-ms B": weekly(f"search {TRAINED} --out runs/search"),
    "hwnas design --data PATH --budget-ms B": weekly(f"design {TRAINED} --out runs/design --device quick.toml"),
    "hwnas design --data photos --budget-ms 0.5": weekly(
        f"design {TRAINED} --out runs/design --device quick.toml --json"
    ),
    "hwnas watch RUN": weekly("watch runs/design"),
    "hwnas report RUN": weekly("report runs/design"),
    "hwnas report runs/a runs/b": elsewhere(
        "test_report_verb.py::test_runs_are_laid_over_each_other_under_names_that_tell_them_apart"
    ),
    "hwnas export RUN --precision int8 --int8-repair": elsewhere(
        "test_cli_export.py::test_a_loss_above_the_limit_is_an_error_that_says_what_helps"
    ),
    "hwnas export RUN": weekly("export runs/design"),
    "hwnas export RUN --format tflite,onnx --precision float32,float16,int8": weekly(
        "export runs/design --format tflite,onnx --precision float32,float16,int8 --max-loss 100"
    ),
    "hwnas bench MODEL --device D": weekly("bench model.tflite --device quick.toml"),
    "hwnas bench model.tflite --device pixel-8": weekly("bench model.tflite --device quick.toml --json"),
    "hwnas gate MODEL --device D --budget-ms B": weekly("gate model.tflite --device quick.toml --budget-ms 1000"),
    "hwnas gate model.tflite --device pixel-8 --budget-ms 5": weekly(
        "gate model.tflite --device quick.toml --budget-ms 1000 --json"
    ),
    "hwnas gate model.tflite --device pixel-8 --budget-ms 5 --junit gate.xml": weekly(
        "gate model.tflite --device quick.toml --budget-ms 1000 --junit gate.xml"
    ),
    "hwnas gate models/model.tflite --device pixel-8 --budget-ms 5 --junit gate.xml": weekly(
        "gate model.tflite --device quick.toml --budget-ms 1000 --junit gate.xml"
    ),
    "hwnas gate model.tflite --save main.json": weekly("gate model.tflite --device quick.toml --save main.json"),
    "hwnas search --method weaknas --config search.toml --data photos/ --budget-ms 12 --epochs 30": elsewhere(
        "test_trained_children.py::test_the_verbs_search_with_trained_children_and_have_no_gap_of_a_supernet"
    ),
    "hwnas evaluate --workers": NAMED,
    "hwnas evaluate --methods M1,M2 --seeds N": weekly(
        f"evaluate --methods dsnas --seeds 2 {TRAINED} --out runs/before"
    ),
    "hwnas evaluate --methods dsnas,spos --seeds 5 --space tiny --data photos/ --budget-ms 30%,60% --workers 2": weekly(
        f"evaluate --methods dsnas --seeds 3 {TRAINED} --out runs/after"
    ),
    "hwnas evaluate --methods dsnas,random-search --seeds 4 --space tiny --latency pixel-1/single-path-nas --data digits --budget-ms 50%": weekly(  # noqa: E501
        f"evaluate --methods dsnas --seeds 2 {TRAINED} --out runs/before --json"
    ),
    "hwnas evaluate runs/study-tiny-1a2b3c": weekly("evaluate runs/after"),
    "hwnas evaluate runs/before runs/after": weekly("evaluate runs/before runs/after"),
    "hwnas design --budget local=0.5 --budget pixel-1=60 --limit parameters=2M": elsewhere(
        "test_design_limits.py::test_one_network_is_within_all_and_each_limit_has_a_record"
    ),
    "hwnas measure --space tiny --precision int8": weekly(
        f"measure {SMALL} --device quick.toml --networks 5 --precision int8"
    ),
    "hwnas fit": NAMED,
    "hwnas design --precision auto": elsewhere(
        "test_design_auto_precision.py::test_each_precision_has_a_run_and_the_better_one_is_what_the_run_holds"
    ),
    "hwnas measure --space S --device PHONE --runtime benchmark-model-gpu": elsewhere(
        "test_runners_benchmark_model.py::test_a_table_of_the_gpu_stands_beside_that_of_the_cpu_and_names_what_the_gpu_left"
    ),
    "hwnas design --runtime benchmark-model-gpu": NAMED,
    # with other values, many on an emulated phone
    "hwnas devices add SERIAL": elsewhere(ADDED),
    "hwnas measure --space single-path --device pixel-8": elsewhere(MEASURED),
    "hwnas measure --space tiny --device NAME": elsewhere(MEASURED),
    "hwnas measure --space tiny --device SERIAL": elsewhere(MEASURED),
    "hwnas measure --device NAME": elsewhere(MEASURED),
    "hwnas fit latency_models/pixel-8/native": elsewhere("test_phone_end_to_end.py::test_a_predictor_is_fitted"),
    "hwnas bench model.tflite --device pixel-8 --operators": elsewhere("test_runners_operator_profile.py"),
    "hwnas bench model.tflite --device pixel-8 --minutes 10 --out sustained.json": elsewhere(
        "test_campaign_sustained.py"
    ),
    "hwnas design --data photos --device pixel-8 --budget-ms 20 --sustained sustained.json": elsewhere(
        "test_sustained_budget.py"
    ),
    "hwnas gate new.tflite --baseline old.tflite": elsewhere(
        "test_cli_gate.py::test_a_model_is_compared_with_the_file_before_it"
    ),
    "hwnas gate model.tflite --baseline main.json": elsewhere(GATED),
    "hwnas measure --networks known --device D": elsewhere("test_latency_range.py"),
    "hwnas measure --networks known --device pixel-8 --resolution 96 --classes 10": elsewhere("test_latency_range.py"),
    "hwnas range --space lite --device D": elsewhere("test_latency_range.py"),
    "hwnas range --space lite --device local": elsewhere("test_latency_range.py"),
    "hwnas range --space tiny --device pixel-8": elsewhere("test_latency_range.py"),
    "hwnas range --space lite --resolution 32,48,64 --device pixel-8 --out range.png": elsewhere(
        "test_latency_range.py"
    ),
    "hwnas measure --space S --device pixel-6 --device pixel-8": elsewhere(
        "test_cli_measuring.py::test_several_devices_at_once_and_one_that_fails"
    ),
    "hwnas measure --import FILE --device D": elsewhere(IMPORTED),
    "hwnas measure --import pixel1_runtime_model.json --tables tables": elsewhere(IMPORTED),
    "hwnas search --method single-path --space single-path --device pixel-1 --data photos/ --resolution 32 --width 0.25 --budget-ms 75": elsewhere(  # noqa: E501
        IMPORTED
    ),
    "hwnas measure --from latency_models/phone/native --device board --networks 10": elsewhere(TRANSFERRED),
    "hwnas fit latency_models/board/native --from latency_models/phone/native": elsewhere(TRANSFERRED),
    "hwnas measure --space single-path --until-mape 3": elsewhere(
        "test_cli_measuring.py::test_measure_until_an_error_is_reached"
    ),
    "hwnas bundle --abi arm64": elsewhere("test_native_bundle.py::test_the_command_line"),
    "hwnas bundle --abi arm64 --out FOLDER": elsewhere("test_native_bundle.py::test_the_command_line"),
    "hwnas design --device pixel-4 --data digits --budget-ms 20": elsewhere(
        "test_shipped_tables.py::test_a_design_without_a_phone_says_that_it_is_predicted_and_writes_the_files"
    ),
    "hwnas design --data photos --device galaxy-note10 --budget-ms 2": elsewhere(
        "test_shipped_tables.py::test_a_design_without_a_phone_says_that_it_is_predicted_and_writes_the_files"
    ),
    "hwnas design --space tiny --budget pixel-1=2 --budget pixel-4=1 --data photos": elsewhere(
        "test_design_limits.py::test_one_network_is_within_all_and_each_limit_has_a_record"
    ),
    "hwnas design --data photos --budget-ms B": elsewhere("test_cli.py::test_a_design_from_a_folder_of_images"),
    "hwnas design --data photos --device NAME --budget-ms 20": elsewhere(
        "test_cli.py::test_a_design_from_a_folder_of_images"
    ),
    "hwnas design --space tiny --data digits --device local --runtime litert --budget-ms 0.172": elsewhere(
        "test_cli.py::test_design_keeps_its_contract"
    ),
    "hwnas design --precision int8 --budget-ms 0.3": elsewhere("test_design_precision.py"),
    "hwnas evaluate --methods least-squares,spos,dsnas,single-path,random-search --seeds 5 --space tiny --resolution "
    "32 --budget-ms 50%": elsewhere("test_evaluation_study.py"),
    "hwnas design --precision int8": elsewhere("test_design_precision.py"),
    **dict.fromkeys(
        [
            *(
                f"hwnas {verb}"
                for verb in ("design", "search", "measure", "evaluate", "export", "inspect", "bench", "range")
            ),
            "hwnas accuracy",
            "hwnas gate",
            "hwnas design --retrain",
            "hwnas design --frontier 0.3,0.4,0.5",
            "hwnas search --method single-path",
            "hwnas search --method dsnas",
        ],
        NAMED,
    ),
}
"""By the command as it is shown, in the order in which they are run."""

"""The Baseline: an earlier measurement that a gate compares with, read from a file of `gate` or `bench`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field

from hwnas.campaign.conditions import Conditions, ConditionsJson, differences
from hwnas.campaign.gate import Limit
from hwnas.campaign.rounds import Round
from hwnas.errors import HwnasError
from hwnas.files import read_json
from hwnas.foreign import checked

CURE = "write it again with `hwnas gate MODEL --save FILE`"


class Baseline(BaseModel):
    """The fields that are used of the JSON of `gate` or `bench`."""

    reference: str
    rounds: list[Round] = Field(min_length=1)
    conditions: ConditionsJson

    def limit(self, place: Path, reference: str, allowed_percent: float, accept_conditions: bool) -> Limit:
        """Not slower than this by more than `allowed_percent`, each measured by the reference beside it.

        Args:
            place: the file, for messages.
            reference: what the reference is called that is measured now.
            accept_conditions: compare although the conditions differ.

        Raises HwnasError for another reference; the limit itself for a device, runtime or settings that differ.
        """
        if self.reference != reference:
            raise HwnasError(
                f"the baseline {place} was measured beside another reference model ({self.reference}, {reference} "
                f"now): it is for another runtime, or of another version of hwnas; {CURE}."
            )
        identity = Conditions.from_json(self.conditions).identity

        def check(now: Conditions) -> None:
            found = differences(identity, now.identity, "the baseline")
            if found and not accept_conditions:
                raise HwnasError(
                    f"the baseline {place} was measured under other conditions ({'; '.join(found)}), so it "
                    f"cannot tell which model is slower: {CURE} here, compare with the earlier model file instead "
                    "(--baseline OLD.tflite), or take it as it is with --accept-conditions."
                )

        ratios = tuple(each.ratio for each in self.rounds)
        return Limit(ratios, False, True, allowed_percent, str(place), check=check)


def read_baseline(path: Path) -> Baseline:
    """The Baseline in a file. Raises HwnasError if it is missing, damaged, or holds no measurement with a reference."""
    data = read_json(path, "the baseline", CURE)
    if isinstance(data, dict) and "rounds" not in data and "median_ms" in data:
        if not data.get("reference_us"):
            raise HwnasError(
                f"the baseline {path} is of a bench without the reference model beside it, so nothing tells how fast "
                f"the machine was; {CURE}, or `hwnas bench MODEL --json`."
            )
        data["rounds"] = [{"model_us": data.get("repetitions_us"), "reference_us": data["reference_us"]}]
    found: Baseline = checked(Baseline, data, f"the baseline {path}", CURE)
    return found

"""The FittedTerms: terms and the weights that a fit gave them, as the file of an AdditivePredictor holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from hwnas.latency.card import ErrorCard
from hwnas.latency.curve import STRAIGHT, Curve
from hwnas.latency.tables.table import Layer
from hwnas.latency.terms import Term, Terms
from hwnas.latency.uncertainty import Uncertainty


@dataclass(eq=False)
class FittedTerms:
    """Terms and their weights, and how far to trust them.

    Attributes:
        terms: how blocks become terms; holds the block table.
        weights: ms per unit of each term; a term that is not here weighs nothing.
        uncertainty: of the predictions.
        card: the errors on networks that were not seen.
        curve: from the weighted sum of the terms, in ms, to the latency; straight unless networks showed a bend.
        layers_ms: what the sum has more where a block stands at a certain place of the chain: of published tables that
            give each layer a number of its own.
        fitted_to: SHA-256 of the measurements that it was fitted to, and of how; None: it was put together otherwise.
    """

    terms: Terms
    weights: dict[Term, float]
    uncertainty: Uncertainty
    card: ErrorCard
    curve: Curve = STRAIGHT
    layers_ms: Mapping[Layer, float] = field(default_factory=dict)
    fitted_to: str | None = None

    @property
    def half_width(self) -> float:
        """Half of the 90 % interval of a network like those measured, relative to the predicted ms."""
        return self.uncertainty.half_width

    @property
    def digest(self) -> str:
        """SHA-256 of the values that every cost follows from: two predictors of one digest are the same to a search.

        Of the measurements, where these are known: the costs themselves differ in their last digits with the number of
        threads that linear algebra runs on.
        """
        if self.fitted_to is not None:
            return self.fitted_to
        blocks = sorted((str(spec.to_json()), shape, ms) for (spec, shape), ms in (self.terms.block_ms or {}).items())
        priced = (self.terms.executed, self.terms.extras, sorted(self.weights.items()), self.half_width, self.curve)
        layers = sorted(
            (place, str(spec.to_json()), shape, ms) for (place, (spec, shape)), ms in self.layers_ms.items()
        )
        return hashlib.sha256(repr((blocks, priced, *layers)).encode()).hexdigest()

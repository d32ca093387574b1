"""A second generator of invoices, by another library and with other templates than the samples'.

In: a seed. Out: PDFs with what stands on them, the same for the same seed. Its author has not looked at how
the offline model reads, nor at the samples, and the templates are not changed to suit either.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta

from tests.heldout import continental, dense, english, german
from tests.heldout.bill import Bill, Case

TEMPLATES: tuple[Callable[[Case], Bill], ...] = (
    german.handwerk,
    german.wholesale,
    german.schweiz,
    english.saas,
    english.uk_vat,
    english.letter,
    english.japan,
    continental.facture,
    continental.factura,
    continental.fattura,
    continental.factuur,
    dense.hotel,
    dense.utility,
)
#: shapes of invoice numbers, one for each template in every seed's own order; # is a digit
NUMBERS = (
    "INV-2026-00##",
    "2026/1##",
    "R-88-1###",
    "F202603##",
    "000###",
    "AB.77.2026-#",
    "26-03-0###",
    "RE 2026-0###",
    "73004#####",
    "SO/26/00###",
    "B7K2X9-000#",
    "###/A",
    "10##",
)


def bills(seed: int) -> list[Bill]:
    """One invoice of each template."""
    shapes = random.Random(seed).sample(NUMBERS, len(TEMPLATES))
    return [_bill(f"{seed} {layout.__name__}", layout, shape) for layout, shape in zip(TEMPLATES, shapes, strict=True)]


def _bill(seed: str, layout: Callable[[Case], Bill], shape: str) -> Bill:
    """A generator of its own for each, so that a change of one template leaves the others as they are."""
    rnd = random.Random(seed)
    blank = Case(rnd, "", date(2026, 1, 5) + timedelta(days=rnd.randrange(240)))
    return layout(Case(rnd, blank.code(shape), blank.day))

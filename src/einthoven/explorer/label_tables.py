"""Label statistics as tables: counts, what goes together, age and sex, sources."""

from __future__ import annotations

from html import escape
from itertools import pairwise

from einthoven.describe.label_statistics import AGE_EDGES, ClassStatistics, LabelStatistics
from einthoven.evaluation.wording import ABSENT
from einthoven.explorer.markup import bars_table, table

__all__ = ["age_table", "class_table", "people_table", "source_table", "together_table"]

_MANY = 24  # classes that a square of counts can show


def class_table(found: LabelStatistics) -> str:
    """Records and patients of each class."""
    rows = [
        (
            f"{each.name}, {each.description}" if each.description else each.name,
            f"{each.records:,}",
            _share(each.records, found.n_records),
            f"{each.alone:,}",
            ABSENT if each.patients is None else f"{each.patients:,}",
            f"{each.unknown:,}",
        )
        for each in found.classes
    ]
    columns = ("Class", "Records", "Share", "Alone", "Patients", "Unknown")
    return table(columns, rows, f"Of {found.n_records:,} records; one record can have several classes")


def together_table(found: LabelStatistics) -> str:
    """How often two classes are in one record, shaded by the share of the row's class."""
    n = min(len(found.classes), _MANY)
    names = [each.name for each in found.classes][:n]
    head = "".join(f'<th scope="col" class="ein-number">{escape(name)}</th>' for name in names)
    rows = "".join(_together_row(found, k, n) for k in range(n))
    more = f"; the first {n} of {len(found.classes)} classes" if n < len(found.classes) else ""
    caption = f"Records that have the class of the row and that of the column{more}"
    return (
        f'<div class="ein-scroll" tabindex="0" role="region" aria-label="{caption}"><table class="ein-table">'
        f'<caption>{caption}</caption><thead><tr><th scope="col">Class</th>{head}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def _together_row(found: LabelStatistics, k: int, n: int) -> str:
    own = max(int(found.together[k, k]), 1)
    cells = "".join(_shaded(int(count), own) for count in found.together[k, :n])
    return f'<tr><th scope="row">{escape(found.classes[k].name)}</th>{cells}</tr>'


def _shaded(count: int, whole: int) -> str:
    depth = 0.45 * min(count / whole, 1)
    return f'<td class="ein-number" style="background:rgba(23,84,143,{depth:.3f})">{count:,}</td>'


def people_table(found: LabelStatistics) -> str:
    """Sex and age of each class, and of all records to compare with."""
    rows = [_people(each) for each in (*found.classes, found.everyone)]
    columns = ("Class", "Female", "Male", "Not told", "Median age", "5 to 95 %", "Age unknown")
    return table(columns, rows, "Sex as shares, age in years", marked=len(rows) - 1)


def _people(each: ClassStatistics) -> tuple[str, ...]:
    quantiles = each.age["quantiles"]
    return (
        each.name,
        *(_share(each.sex[key], each.records) for key in ("female", "male", "unknown")),
        ABSENT if quantiles is None else f"{quantiles[2]:.0f}",
        ABSENT if quantiles is None else f"{quantiles[0]:.0f} to {quantiles[4]:.0f}",
        f"{each.age['unknown']:,}",
    )


def age_table(each: ClassStatistics) -> str:
    """Records of a class by decade of age."""
    names = [f"{low} to {high - 1}" for low, high in pairwise(AGE_EDGES)]
    names.append(f"{AGE_EDGES[-1]} and above")
    values = dict(zip(names, map(float, each.age["groups"]), strict=True))
    return bars_table(values, ",.0f", f"Records of {each.name} by age in years", counts=True)


def source_table(found: LabelStatistics) -> str:
    """Share of each class in each source."""
    sources = list(found.everyone.sources)
    columns = ("Source", "Records", *(each.name for each in found.classes[:_MANY]))
    rows = []
    for source in sources:
        whole = found.everyone.sources[source]
        shares = (_share(each.sources.get(source, 0), whole) for each in found.classes[:_MANY])
        rows.append((source, f"{whole:,}", *shares))
    return table(columns, rows, "Share of each source's records that have a class")


def _share(count: int, whole: int) -> str:
    return f"{100 * count / whole:.1f}\u00a0%" if whole else ABSENT

# Copyright: Contributors to the vitalops.rollout project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The figures of the simulated watches as a page for docs, with their curves. Pure: rows in, text out."""

from __future__ import annotations

import typing as t

from ansible_collections.vitalops.rollout.plugins.module_utils._gates.traffic import RISK, RISK_AGAINST_LIVE

from .watches import (
    BEFORE,
    EARLY,
    FLOOR,
    HIGH,
    LIVE_TIMES,
    LONG,
    LOOKS,
    NONE,
    P95_LIMIT,
    SHARED,
    SHIFTED,
    STEPS,
    SWITCHED,
    TRAFFIC,
)

Row = t.Mapping[str, t.Any]

PLOT = "comparison.svg"
#: What is alike is grey; errors are blue and orange by the share of the live slot, latencies green; darker is worse.
COLORS = (
    *("#bdbdbd", "#a6cee3", "#4393c3", "#08519c"),
    *("#969696", "#fdbe85", "#fd8d3c", "#a63603"),
    *("#636363", "#74c476", "#006d2c"),
)
HEAD = f"""\
# How honest the comparison of slots is

A candidate is compared with the live slot: shares of failed requests, and shares of slow ones. The watch looks {LOOKS}
times, and looking often must not cost false alarms: the evidence is an e-process, which exceeds its limit at any look
with a probability of at most {RISK_AGAINST_LIVE:.0%} while the candidate is not worse by more than is allowed. That is
a theorem (Turner, Ly, Grünwald 2021; `plugins/module_utils/_gates/comparison.py`), and it speaks of a candidate exactly
at its limit: one that is like the live slot is refused far more rarely, as the table shows. Slow requests are counted,
not averaged: a share can be tested exactly with any number of looks, a mean of latencies cannot, and HAProxy's own
averages forget all but the last 1024 requests. Simulated are limits of {FLOOR:.1%} more errors, and of a p95 that is
{P95_LIMIT:.0%} longer; what is worse by less is within its limit. A gate with several limits, and a rollout over
several load balancers and shares, divides the {RISK_AGAINST_LIVE:.0%} among them: it is wrong as rarely as with one,
and finds what is worse a little later ("{SHARED}"). Looks while a slot drains add a tenth. Limits that stand for
themselves (`at_most`) have {RISK:.0%}.

"Found worse" is what the evidence said. A watch that ends without that and without enough to pass is refused, too,
unless somebody has said otherwise ([gates.md](gates.md#what-every-gate-can-say)); so is one that stays above an
`at_most`.

Simulated with that code by `make bench` (`--only watches`); the same seed gives the same figures. "{SHIFTED}": both
slots have traffic, the live one {LIVE_TIMES} times as much. "{SWITCHED}": the live slot has none any more, and is known
by its last {BEFORE:,} requests. Between two looks the candidate gets {TRAFFIC["low"].requests} requests when traffic is
low, and {TRAFFIC[HIGH].requests} when it is high: a watch with low traffic ends before {EARLY} requests have come,
unless it lasts for {TRAFFIC[LONG].looks} looks.
"""


def page(rows: t.Sequence[Row]) -> str:
    """Returns the page in Markdown."""
    watches = min(row["watches"] for row in rows)
    parts = [HEAD, f"![Share of watches that found the candidate worse]({PLOT})", f"{watches:,} watches a row:"]
    return "\n\n".join(part.rstrip() for part in (*parts, "\n".join(table(rows)), summary(rows))) + "\n"


def table(rows: t.Sequence[Row]) -> list[str]:
    """Returns a line for each point: how many watches found it worse, in all and early, and after how many requests."""
    titles = [
        "compared",
        "candidate",
        "traffic",
        "found worse",
        f"within {EARLY} requests",
        "requests until then (median)",
    ]
    lines = [_line(titles), _line(["---"] * len(titles))]
    for row in rows:
        median = "" if row["median"] is None else f"{row['median']:.0f}"
        shares = [f"{row['reverted']:.2%}", f"{row['early']:.2%}"]
        lines.append(_line([row["mode"], row["words"], row["traffic"], *shares, median]))
    return lines


def summary(rows: t.Sequence[Row]) -> str:
    """Returns what to remember: false alarms of slots that are alike, and what 5 points more errors cost."""
    alike = max(row["reverted"] for row in rows if row["live"] == row["candidate"])
    allowed = {"errors": FLOOR, "latency": P95_LIMIT}
    below = max(row["reverted"] for row in rows if row["candidate"] - row["live"] < allowed[row["what"]] + 1e-9)
    lines = [
        f"False alarms: at most {alike:.2%} of watches with slots that are alike (goal 1%), {below:.2%} up to a limit."
    ]
    for traffic in (HIGH, SHARED):
        found = [row for row in rows if row["traffic"] == traffic and "+5.0%" in row["words"]]
        told = "; ".join(f"{row['words']}, {row['mode']}: {row['early']:.2%}" for row in found)
        lines.append(f"Found within {EARLY} requests, traffic {traffic}: {told} (goal 99 %).")
    unused = [row["passed"] for row in rows if row["traffic"] == NONE]
    return "\n".join([*lines, *([f"Passed without traffic: {max(unused):.2%} (goal: none)."] if unused else [])])


def plot(rows: t.Sequence[Row]) -> str:
    """Returns the curves as SVG: share of watches that found it worse, by requests of the candidate, high traffic."""
    import pygal  # noqa: PLC0415 - only whoever draws needs it
    from pygal.style import Style  # noqa: PLC0415

    style = Style(
        background="white",
        plot_background="white",
        font_family="sans-serif",
        guide_stroke_color="#cccccc",
        major_guide_stroke_color="#cccccc",
        guide_stroke_dasharray="2,4",
        major_guide_stroke_dasharray="2,4",
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=12,
        colors=COLORS,
    )
    chart = pygal.Line(
        title=f"Found worse, {SHIFTED}, high traffic",
        x_title="requests of the candidate",
        y_title="share of watches, %",
        range=(0, 100),
        width=900,
        height=560,
        legend_at_bottom=True,
        legend_at_bottom_columns=4,
        margin_bottom=40,
        dots_size=3,
        style=style,
        js=[],
        disable_xml_declaration=True,
    )
    chart.uuid = "comparison"  # a random one would make every drawing another one
    chart.x_labels = [str(step) for step in STEPS]
    for row in rows:
        if (row["mode"], row["traffic"]) == (SHIFTED, HIGH):
            chart.add(row["words"], [round(100 * share, 2) for share in row["curve"]])
    return str(chart.render(is_unicode=True)).rstrip() + "\n"


def _line(cells: t.Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

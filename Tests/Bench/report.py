"""What is made of the measurements: medians, paired ratios, a table in text, JSON and a plot.

A ratio is paired: both figures come from the same round, minutes apart at most, so that a machine
that grows slower in between slows both. The median of the rounds' ratios is what is stated.
"""

import json
import os
import re
import statistics
from xml.sax.saxutils import escape

from works import FIGURES, WORKS

COLOURS = {"nginx": "#7a9e7e", "haproxy": "#6f8fb3", "before": "#d9a441",
           "trivet": "#c8553d"}


def median_of(rounds, figure):
    return statistics.median(one[figure] for one in rounds)


def ratios(results, work, figure, of, to):
    """The rounds' ratios of one balancer's figure to another's."""
    pairs = zip(results[work].get(of, []), results[work].get(to, []))
    return [a[figure] / b[figure] for a, b in pairs if b[figure] > 0]


def figures_of(results, work):
    """The figures this work has, in the order of `FIGURES`."""
    for rounds in results[work].values():
        for one in rounds:
            return [figure for figure in FIGURES if figure in one]
    return []


def pairs_of(names):
    """Which balancer is compared with which: ours with each peer, or the first with the others."""
    first = "trivet" if "trivet" in names else names[0]
    return [(first, other) for other in names if other != first]


def short(name, said):
    """The name and number in the line with which a program names itself."""
    number = re.search(r"\d+\.\d+(\.\d+)?", said)
    return f"{name} {number[0]}" if number else name


def text(facts, results, names):
    lines = [f"{key}: {value}" for key, value in facts.items() if key != "versions"]
    lines += [f"{name}: {said}" for name, said in facts["versions"].items()]
    for work, measured in results.items():
        figures = figures_of(results, work)
        if not figures:
            continue
        lines += ["", WORKS[work][0] + " (medians)"]
        table = [[""] + [FIGURES[figure][0] for figure in figures] + ["errors"]]
        for name in names:
            rounds = measured.get(name)
            if rounds:
                table.append(
                    [name] + [FIGURES[f][1].format(median_of(rounds, f)) for f in figures]
                    + [str(sum(one["errors"] for one in rounds))])
        widths = [max(map(len, column)) for column in zip(*table)]
        for row in table:
            cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
            lines.append("  " + "  ".join([row[0].ljust(widths[0])] + cells))
        for of, to in pairs_of(names):
            for figure in figures:
                found = ratios(results, work, figure, of, to) if FIGURES[figure][2] else []
                if found:
                    lines.append(
                        f"  {of} / {to}, {FIGURES[figure][0]}: {statistics.median(found):.2f}"
                        f"  ({min(found):.2f} to {max(found):.2f} in {len(found)} round(s))")
    return "\n".join(lines) + "\n"


def plot(facts, results, names):
    """One panel for each figure that is compared: a bar for each balancer's median, and a line
    from its lowest to its highest round."""
    panels = [(work, figure) for work in results for figure in figures_of(results, work)
              if FIGURES[figure][2]]
    width, bar, gap = 400, 22, 26
    height = 40 + len(names) * bar + gap
    rows = (len(panels) + 1) // 2
    total = 90 + rows * height
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{2 * width + 60}" height="{total}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        '<text x="20" y="28" font-size="16" font-weight="bold">'
        + escape(" · ".join(short(name, facts["versions"][name]) for name in names)) + "</text>",
        '<text x="20" y="48" fill="#555">' + escape(
            f'{facts["processor"]} · Linux {facts["kernel"]}, {facts["congestion_control"]} · {facts["workers"]} worker(s) · '
            f'{facts["rounds"]} rounds of {facts["seconds"]} s · shorter is better') + "</text>",
    ]
    for index, (work, figure) in enumerate(panels):
        x, y = 20 + (index % 2) * (width + 20), 70 + (index // 2) * height
        title, form, _ = FIGURES[figure]
        out.append(f'<text x="{x}" y="{y + 14}" font-weight="bold">'
                   + escape(f"{WORKS[work][0]}: {title}") + "</text>")
        values = {name: [one[figure] for one in results[work][name]]
                  for name in names if results[work].get(name)}
        most = max((max(each) for each in values.values()), default=0)
        scale = (width - 170) / most if most > 0 else 0
        for row, (name, each) in enumerate(values.items()):
            top = y + 24 + row * bar
            middle = max(0.0, statistics.median(each))
            low, high = max(0.0, min(each)), max(0.0, max(each))
            base, centre = x + 65, top + (bar - 6) / 2
            out += [
                f'<text x="{x}" y="{top + 13}">{escape(name)}</text>',
                f'<rect x="{base}" y="{top}" width="{middle * scale:.1f}" height="{bar - 6}" '
                f'fill="{COLOURS[name]}"/>',
                f'<line x1="{base + low * scale:.1f}" x2="{base + high * scale:.1f}" '
                f'y1="{centre}" y2="{centre}" stroke="#222"/>',
                f'<text x="{base + high * scale + 6:.1f}" y="{top + 13}">'
                + escape(form.format(statistics.median(each))) + "</text>",
            ]
    out.append("</svg>")
    return "\n".join(out) + "\n"


def write(folder, facts, results, names):
    """Writes report.txt, results.json and plot.svg; returns the table."""
    table = text(facts, results, names)
    summary = {
        work: {
            "medians": {name: {f: median_of(rounds, f) for f in figures_of(results, work)}
                        for name, rounds in measured.items() if rounds},
            "ratios": {f"{of}/{to}": {
                f: statistics.median(found) for f in figures_of(results, work)
                if (found := ratios(results, work, f, of, to))} for of, to in pairs_of(names)},
        } for work, measured in results.items()
    }
    whole = {"facts": facts, "summary": summary, "rounds": results}
    for name, content in (("report.txt", table), ("plot.svg", plot(facts, results, names)),
                          ("results.json", json.dumps(whole, indent=2) + "\n")):
        with open(os.path.join(folder, name), "w") as out:
            out.write(content)
    return table

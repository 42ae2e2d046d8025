#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""plot_scale.py JSON... >scale.svg: what a tiny job takes beside ever more children, from what scale_report --json wrote.

A line for each file: the time of a job, and the reactor's own processor time in it, over the number of living children.
"""
import json
import math
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 320, 60, 150, 20, 45
COLOURS = ("#1f6fb4", "#c2571a", "#3b8f4c", "#8a4fa0")


def place(live, most, value, highest):
    across = LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(live) / max(math.log10(most), 1))
    up = HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / highest)
    return across, up


def line(levels, key, most, highest, colour, dashes):
    points = " ".join("%.1f,%.1f" % place(each["live"], most, each[key], highest) for each in levels)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"/>'


def text(across, up, words, anchor="middle"):
    return f'<text x="{across:.0f}" y="{up:.0f}" text-anchor="{anchor}">{words}</text>'


def plot(reports):
    most = max(each["live"] for report in reports.values() for each in report["levels"])
    highest = 1.1 * max(each["job_us"] for report in reports.values() for each in report["levels"])
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" '
             'font-size="12">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for power in range(int(math.log10(most)) + 1):
        across, up = place(10 ** power, most, 0, highest)
        parts.append(text(across, up + 18, f"{10 ** power:,}"))
    for step in range(5):
        value = highest * step / 4
        _, up = place(1, most, value, highest)
        parts.append(f'<line x1="{LEFT}" y1="{up:.1f}" x2="{WIDTH - RIGHT}" y2="{up:.1f}" stroke="#dddddd"/>')
        parts.append(text(LEFT - 6, up + 4, f"{value:,.0f}", "end"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, "living children"))
    parts.append(text(LEFT - 6, TOP - 6, "µs a job", "end"))
    for (name, report), colour in zip(reports.items(), COLOURS):
        for key, dashes, words in (("job_us", "none", "time"), ("job_own_us", "5,4", "own processor time")):
            parts.append(line(report["levels"], key, most, highest, colour, dashes))
            last = report["levels"][-1]
            across, up = place(last["live"], most, last[key], highest)
            parts.append(text(across + 6, up + 4, f"{name}{words}", "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(paths):
    if not paths:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    several = len(paths) > 1
    reports = {f"{Path(path).stem}: " if several else "": json.loads(Path(path).read_text(encoding="utf-8")) for path in paths}
    sys.stdout.write(plot(reports))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

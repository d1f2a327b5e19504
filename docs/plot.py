#!/usr/bin/env python3
"""Writes the measured part of docs/benchmarks.md and the plot docs/benchmarks.svg.

    docs/plot.py

It reads what the benchmarks have left in the target folder of this machine: ratios.json, peers.json and criterion's
folder. What is not there is left out. Figures of a quick run are refused, unless it is told `--anyway`, to try itself.
Needs python3 and nothing else.
"""

import json
import math
import os
import platform
import re
import subprocess
import sys
from html import escape
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
OURS = "tower-bearer"
KINDS = {"warm_1": "1 known", "warm_10000": "10 000 known", "cold": "new"}


def main():
    ratios, peers, rates = read("ratios.json"), read("peers.json"), criterion()
    parts = [machine(peers)]
    if peers:
        parts += [beside_others(peers)]
        (HERE / "benchmarks.svg").write_text(svg(peers))
    if rates:
        parts += [per_second(rates)]
    if ratios:
        parts += [goals(ratios)]
    if len(parts) == 1:
        sys.exit(f"nothing was measured: there is neither ratios.json nor peers.json in {TARGET.name}")
    page = HERE / "benchmarks.md"
    begin, end = "<!-- measured:begin -->", "<!-- measured:end -->"
    before, rest = page.read_text().split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n\n" + "\n\n".join(parts) + f"\n\n{end}{after}")


def read(name):
    file = TARGET / name
    if not file.exists():
        return None
    report = json.loads(file.read_text())
    if report["quick"] and "--anyway" not in sys.argv:
        sys.exit(f"{name} is of a quick run; measure it in full")
    return report


# The tables.


def machine(peers):
    def output(*command):
        return subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=False).stdout.strip()

    def cpu(name):
        file = Path("/proc/cpuinfo")
        found = re.search(rf"^{name}\s*: (.*)$", file.read_text(), re.M) if file.exists() else None
        return found[1] if found else ""

    # aws-lc has code of its own for RSA with these instructions.
    ifma = ", with AVX-512 IFMA" if "avx512ifma" in cpu("flags") else ""
    rows = {
        "processor": f"{cpu('model name')}, model {cpu('model')}{ifma}" if cpu("model") else platform.processor(),
        "processors seen": os.cpu_count(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        "compiler": output("rustc", "--version"),
        "commit": output("git", "rev-parse", "--short", "HEAD"),
        "commit, beside other crates": peers and peers["commit"],
    }
    rows = {name: value for name, value in rows.items() if value}
    return "## The machine\n\n" + rows_of(["", ""], rows.items())


def beside_others(report):
    peers = report["peers"]
    ours = peers[OURS]
    measured = {name: peer for name, peer in peers.items() if "cold" in peer}
    titles = ["", "version"]
    titles += [f"{name}, {unit}" for name in KINDS.values() for unit in ("µs", "× raw", "× ours")]
    rows = []
    for name, peer in measured.items():
        cells = [f"**{name}**" if name == OURS else name, peer["version"]]
        for key in KINDS:
            cells += [digits(peer[key]["net_ns"] / 1e3), digits(peer[key]["ratio"])]
            cells += [digits(peer[key]["ratio"] / ours[key]["ratio"])]
        rows.append(cells)
    text = "## Beside other crates\n\n"
    text += f"RS256 with 2048 bits, tokens of {ours['bytes']} bytes. raw, the bare signature, took "
    text += f"{digits(ours['cold']['raw_ns'] / 1e3)} µs. What a request takes beyond the handler alone, with one known token, with "
    text += "10 000 known ones in turn, and with new ones:\n\n"
    text += rows_of(titles, rows)
    others = {name: peer for name, peer in measured.items() if name != OURS}
    if others:
        rows = []
        for key, goal in report["goals"].items():
            fastest = min(others, key=lambda name: others[name][key]["ratio"])
            times = others[fastest][key]["ratio"] / ours[key]["ratio"]
            rows.append([KINDS[key], fastest, digits(times), f"≥ {goal}", "ok" if times >= goal else "short"])
        text += "\n\nHow many times slower the fastest of the others is:\n\n"
        text += rows_of(["", "the fastest", "× ours", "goal", ""], rows)
    text += "\n\nAllocations of Rust code for one request, beyond those of the handler alone:\n\n"
    rows = [[name, peer["allocations_warm"], peer["allocations_cold"]] for name, peer in measured.items()]
    text += rows_of(["", "known token", "new token"], rows)
    text += "\n\nHow each was configured:\n\n"
    text += "\n".join(f"- {name}: {peer['how']}" for name, peer in measured.items())
    left_out = {name: peer["left_out"] for name, peer in peers.items() if "left_out" in peer}
    if left_out:
        text += "\n\nLeft out:\n\n" + "\n".join(f"- {name}: `{why}`" for name, why in left_out.items())
    return text


def per_second(rates):
    """`rates` is by group, function and value."""
    text = "## Tokens per second\n"
    kinds = ["raw", "cold", "warm", "refused"]
    algorithms = [name for name in ("RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA", "HS256") if (name, "cold", "") in rates]
    if algorithms:
        text += "\nThe verifier on one thread (`cargo bench --bench verify`):\n\n"
        rows = [[name] + [rate(rates.get((name, kind, ""))) for kind in kinds] for name in algorithms]
        text += rows_of(["", *kinds], rows) + "\n"
    layer = {(function, value): rates[group, function, value] for group, function, value in rates if group == "layer"}
    if layer:
        text += "\nRequests through the layer on one thread (`cargo bench --bench layer`):\n\n"
        order = sorted(layer, key=lambda key: (["noop", "warm", "cold", "refused"].index(key[0] or key[1]), number(key[1])))
        rows = [[", ".join(part for part in key if part), rate(layer[key])] for key in order]
        text += rows_of(["", "requests per second"], rows) + "\n"
    groups = sorted({group for group, function, _ in rates if function == "threads"})
    if groups:
        text += "\nThreads (`cargo bench --bench contention`):\n\n"
        threads = sorted({value for _, function, value in rates if function == "threads"}, key=int)
        rows = [[group] + [rate(rates.get((group, "threads", value))) for value in threads] for group in groups]
        text += rows_of(["", *(f"{count} thread{'s' * (count != '1')}" for count in threads)], rows) + "\n"
    return text.rstrip()


def goals(report):
    rows = []
    for row in report["rows"]:
        goal = row["goal"] or {}
        sign = {"at_most": "≤", "at_least": "≥"}
        wanted = "".join(f"{sign[kind]} {value:g}" for kind, value in goal.items())
        rows.append([row["name"], beside(row["measured"], *goal.values()), wanted, row["verdict"]])
    return "## The goals\n\n`cargo bench --bench ratios`:\n\n" + rows_of(["", "measured", "goal", ""], rows)


def criterion():
    rates = {}
    for file in sorted((TARGET / "criterion").glob("**/new/benchmark.json")):
        about = json.loads(file.read_text())
        estimates = json.loads((file.parent / "estimates.json").read_text())
        median = estimates["median"]["point_estimate"]
        elements = (about["throughput"] or {}).get("Elements", 1)
        key = (about["group_id"], about["function_id"] or "", about["value_str"] or "")
        rates[key] = elements * 1e9 / median
    return rates


def number(text):
    return int(text) if text.isdigit() else 0


def rate(value):
    return "" if value is None else f"{float(f'{value:.3g}'):,.0f}".replace(",", " ")


def digits(value, count=3):
    """So many that count."""
    if value == 0:
        return "0"
    return f"{value:,.{max(0, count - 1 - math.floor(math.log10(abs(value))))}f}".replace(",", " ")


def beside(value, goal=0):
    """What is just above a goal, or just below, should look so."""
    texts = [digits(value, count) for count in range(4, 9)]
    return next((text for text in texts if value == goal or float(text.replace(" ", "")) != goal), texts[-1])


def rows_of(titles, rows):
    lines = [titles, ["---"] + ["---:"] * (len(titles) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


# The plot.


def svg(report):
    peers = {name: peer for name, peer in report["peers"].items() if "cold" in peer}
    ours = peers.pop(OURS)
    raw = ours["cold"]["raw_ns"]
    # By ratio, so that programs that ran one after the other can stand in one plot.
    bars = [("tower-bearer, 1 token", ours["warm_1"]["ratio"] * raw, True)]
    bars += [("tower-bearer, 10 000 tokens", ours["warm_10000"]["ratio"] * raw, True)]
    others = [(name, peer["warm_10000"]["ratio"] * raw, False) for name, peer in peers.items()]
    bars += sorted(others, key=lambda bar: bar[1])
    slowest = max(time for _, time, _ in bars + [("", raw, False)])
    low, high = math.floor(math.log10(min(time for _, time, _ in bars))), math.log10(slowest * 2)
    left, width, top, height = 250, 560, 86, 34

    def across(time):
        return left + width * (math.log10(time) - low) / (high - low)

    bottom = top + height * len(bars)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {bottom + 64}" role="img" '
        'font-family="system-ui, sans-serif" font-size="14" fill="#222">',
        "<title>What it costs to let a request with a known token pass</title>",
        f'<rect width="900" height="{bottom + 64}" fill="#fff"/>',
        '<text x="20" y="32" font-size="20" font-weight="600">What it costs to let a request with a known token pass</text>',
        '<text x="20" y="54" fill="#666">RS256, one scope asked for, one thread; shorter is better; each line is ten times the one before</text>',
    ]
    for power in range(low, math.floor(high) + 1):
        x = across(10**power)
        out.append(f'<line x1="{x:.1f}" y1="{top - 8}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#666">{time_text(10**power)}</text>')
    for place, (name, time, is_ours) in enumerate(bars):
        y = top + height * place
        color, weight = ("#0a7d4f", "600") if is_ours else ("#9aa5b1", "400")
        end = across(time)
        out.append(f'<text x="{left - 10}" y="{y + 19}" text-anchor="end" font-weight="{weight}">{escape(name)}</text>')
        out.append(f'<rect x="{left}" y="{y + 3}" width="{end - left:.1f}" height="{height - 10}" rx="2" fill="{color}"/>')
        out.append(f'<text x="{end + 6:.1f}" y="{y + 19}" font-weight="{weight}">{time_text(time)}</text>')
    x = across(raw)
    out.append(f'<line x1="{x:.1f}" y1="{top - 8}" x2="{x:.1f}" y2="{bottom + 28}" stroke="#c0392b" stroke-width="2" stroke-dasharray="5 4"/>')
    out.append(f'<text x="{x:.1f}" y="{bottom + 44}" text-anchor="middle" fill="#c0392b">the bare signature, {time_text(raw)}</text>')
    return "\n".join([*out, "</svg>\n"])


def time_text(nanoseconds):
    unit, size = next(pair for pair in (("ms", 1e6), ("µs", 1e3), ("ns", 1)) if nanoseconds >= pair[1])
    value = nanoseconds / size
    return f"{value:.0f} {unit}" if value in (1, 10, 100) else f"{digits(value)} {unit}"


if __name__ == "__main__":
    main()

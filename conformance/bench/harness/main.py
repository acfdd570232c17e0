"""The command line, and what is kept of each run."""

import argparse
import json
import os
import subprocess
import sys
import time

from . import process, report, scale
from .build import ARTEFACTS, BENCH, PEERS, ROOT, build
from .measure import measure, say
from .rows import COLUMNS, LIMITS, ROWS

KEPT = """# Results

What `conformance/bench/run` found at last; [README.md](README.md) tells how to read it, [TRIED.md](TRIED.md) what came before. The
rows of a part that was measured later are of that run.

"""


def main(words):
    options = read(words)
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit('two processor cores are needed: one for the server, one for the generator')
    peers = options.peers or [*PEERS, 'uwebsockets', 'node-ws', 'socket.io']
    if not options.no_build:
        build([] if options.what == 'scale' else peers)
    counting = options.counting
    if counting == 'auto':
        counting = 'hardware' if process.hardware() else 'callgrind'
    results = load(options)
    results['machine'] = machine(counting)
    if options.what == 'scale':
        keep = lambda: save(results)
        failed = scale.run(options.only, counting, options.quick, results.setdefault('scale', {}), keep)
    else:
        failed = rows(options, counting, results)
    save(results)
    if options.keep:
        (BENCH / 'RESULTS.md').write_text(KEPT + report.markdown(results))
    print(report.markdown(results))
    print(f'written: {ARTEFACTS.relative_to(ROOT)}/index.html, results.md, results.json', file=sys.stderr)
    return 1 if failed else 0


def read(words):
    parser = argparse.ArgumentParser(prog='conformance/bench/run', description='See conformance/bench/README.md.')
    parser.add_argument('what', nargs='?', choices=['rows', 'scale'], default='rows')
    commas = lambda text: [word for word in text.split(',') if word]
    parser.add_argument('--only', type=commas, default=[], help=f'{",".join(row.id for row in ROWS)}; '
                        f'of scale: {",".join(scale.PARTS)}')
    parser.add_argument('--peers', type=commas, default=[], help=f'columns: {",".join(name for name in COLUMNS if name not in LIMITS.values())}')
    parser.add_argument('--quick', action='store_true', help='once, for a second each')
    parser.add_argument('--counting', choices=['auto', 'hardware', 'callgrind', 'nothing'], default='auto',
                        help='of instructions; auto takes the processor\'s counters where there are any, else callgrind')
    parser.add_argument('--keep', action='store_true', help='writes the tables to RESULTS.md as well, which is committed')
    parser.add_argument('--no-build', action='store_true', help='takes the programs as they are')
    options = parser.parse_args(words)
    known = scale.PARTS if options.what == 'scale' else [row.id for row in ROWS]
    for name in options.only:
        if name not in known:
            parser.error(f'no {name} to measure: {", ".join(known)}')
    columns = {name for row in ROWS for name in row.only} | set(COLUMNS) - set(LIMITS.values())
    for name in options.peers:
        if name not in columns:
            parser.error(f'no {name} to measure: {", ".join(sorted(columns))}')
    return options


def rows(options, counting, results):
    failed = False
    for row in ROWS:
        if options.only and row.id not in options.only:
            continue
        say(f'{row.id} ')
        started = time.monotonic()
        repeats, seconds = (1, 0.5) if options.quick else (3, 1)
        cells = measure(row, options.peers, counting, repeats, seconds)
        say(f' {time.monotonic() - started:.0f} s\n')
        for column, cell in cells.items():
            if 'error' in cell:
                failed = True
                say(f'  {column} failed: {cell["error"]}\n')
        results.setdefault('rows', {}).setdefault(row.id, {}).update(cells)
        save(results)
    return failed


def load(options):
    """What earlier runs of a part have left; a run of everything begins anew."""
    whole = not options.only and not options.peers and options.what == 'rows'
    file = ARTEFACTS / 'results.json'
    results = json.loads(file.read_text()) if file.exists() else {}
    if whole:
        results.pop('rows', None)
    return results


def save(results):
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    (ARTEFACTS / 'results.json').write_text(json.dumps(results, indent=1))
    (ARTEFACTS / 'results.md').write_text(report.markdown(results))
    (ARTEFACTS / 'index.html').write_text(report.page(results))


def machine(counting):
    def said(*command):
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        return done.stdout.strip() if done.returncode == 0 else '?'

    with open('/proc/cpuinfo') as file:
        model = next((line.split(':')[1].strip() for line in file if line.startswith('model name')), '?')
    return {
        'at': process.now(),
        'processor': f'{model}, {os.cpu_count()} cores',
        'kernel': os.uname().release,
        'rustc': said('rustc', '--version'),
        'node': said('node', '--version'),
        'revision': said('git', 'describe', '--always', '--dirty', '--abbrev=10'),
        'load': f'{os.getloadavg()[0]:.1f}',
        'counting': {'hardware': 'hardware counters', 'callgrind': f'{said("valgrind", "--version")}, callgrind',
                     'nothing': 'not counted'}[counting],
        'versions': versions(),
    }


def versions():
    """Of the peers, from the lock files."""
    found, name = {}, None
    for line in (BENCH / 'Cargo.lock').read_text().splitlines():
        if line.startswith('name = '):
            name = line.split('"')[1]
        elif line.startswith('version = ') and name in ('axum', 'fastwebsockets', 'socketioxide', 'yawc', 'tokio',
                                                        'libuwebsockets-sys'):
            found[name] = line.split('"')[1]
        elif line.startswith('version = ') and name == 'tokio-tungstenite':
            found[name] = max(found.get(name, ''), line.split('"')[1])
    packages = json.loads((BENCH / 'peers' / 'node' / 'package-lock.json').read_text())['packages']
    for name in ('ws', 'socket.io'):
        found[name] = packages[f'node_modules/{name}']['version']
    return found

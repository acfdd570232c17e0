"""Measures one row: each server by itself, in turns with the limit, so that all see the same machine."""

import statistics
import sys

from . import process
from .build import binary
from .rows import BINARY, COLUMNS, LIMITS, Server, servers

MEDIANS = ['cpu_us', 'user_us', 'kernel_us', 'p50_us', 'p99_us', 'rate', 'rss', 'peak_rss', 'rss_before', 'instructions',
           'kernel_instructions', 'bytes', 'server_busy', 'generator_busy', 'polls_rate', 'messages_per_answer',
           'connect_seconds']


def contenders(row, wanted):
    """Columns and servers that this row is measured of."""
    named = {server.name: server for server in servers()}
    if row.only:
        return [(name, named[name]) for name in row.only if not wanted or name in wanted]
    found = []
    for mode in row.limit:
        column = LIMITS[mode.split('-')[0]]
        protocol = 'plain' if row.command == 'handshake' else 'raw'
        found.append((column, Server(mode, [binary('limit'), mode], protocol)))
    names = [column for column in COLUMNS if column in named and (not wanted or column in wanted)]
    return found + [(name, named[name]) for name in names]


def arguments(row, column, server):
    protocol = server.protocol
    if row.id == 'echo16k':
        protocol = BINARY.get(column, protocol)
    # Its handlers are tasks that run in whatever order.
    unordered = ['--unordered'] if column == 'socketioxide' and row.command == 'traffic' else []
    return [row.command, '--protocol', protocol, '--path', row.path, *row.arguments, *unordered]


def measure(row, wanted, counting, repeats, seconds):
    """A cell for each column."""
    found = contenders(row, wanted)
    runs = {column: [] for column, _ in found}
    errors = {}
    for _ in range(1 if row.command == 'idle' else repeats):
        for column, server in found:
            timed = ['--secs', row.seconds * seconds, '--warm', 0.4]
            if server.native and row.command == 'traffic':
                timed.append('--cut')
            try:
                with process.server(server.command, 'hardware' if counting == 'hardware' else 'nothing') as one:
                    runs[column].append(process.load(one, arguments(row, column, server) + timed))
            except process.Failed as error:
                errors[column] = str(error)
            say('.')
    counts = {}
    if counting == 'callgrind' and row.command != 'idle':
        for column, server in found:
            if server.countable and column not in errors:
                try:
                    counts[column] = counted(row, column, server)
                except process.Failed as error:
                    errors[column] = str(error)
                say('c')
    cells = {column: cell(runs[column], counts.get(column), errors.get(column)) for column, _ in found}
    for column, one in cells.items():
        one['at'] = process.now()
        one.update(ratio(one, cells.get('limit', {}), list(zip(runs[column], runs.get('limit', [])))))
    return cells


def counted(row, column, server):
    warm, count = row.steady if server.native and row.steady else row.counted
    with process.server(server.command, 'callgrind') as one:
        more = ['--warm-count', warm, '--count-messages', count]
        return process.load(one, arguments(row, column, server) + more, limit=900)['instructions']


def cell(runs, instructions, error):
    if error:
        return {'error': error}
    medians = {}
    for name in MEDIANS:
        values = [run[name] for run in runs if run.get(name) is not None]
        if values:
            medians[name] = statistics.median(values)
    if instructions is not None:
        medians['instructions'] = instructions
    medians['resumed'] = sum(run.get('resumed', 0) for run in runs)
    medians['replayed'] = sum(run.get('replayed', 0) for run in runs)
    return medians


def ratio(cell, limit, rounds):
    """The total of user and kernel, to the limit's: by instructions where both are counted, else by CPU time.

    CPU time drifts from one round to the next by more than servers differ: so each run is compared with the limit's of its round."""
    names = ('instructions', 'kernel_instructions')
    if all(cell.get(name) is not None and limit.get(name) is not None for name in names):
        return {'ratio': sum(cell[name] for name in names) / sum(limit[name] for name in names), 'ratio_by': 'instructions'}
    pairs = [(run.get('cpu_us'), of.get('cpu_us')) for run, of in rounds]
    if 'error' in cell or not all(run and of for run, of in pairs) or not pairs:
        return {}
    return {'ratio': statistics.median(run / of for run, of in pairs), 'ratio_by': 'CPU time'}


def say(text):
    print(text, end='', file=sys.stderr, flush=True)

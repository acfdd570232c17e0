"""Whether the cost of one stays the same when there are many."""

import json
import subprocess
import time
from contextlib import ExitStack

from . import charts, process
from .build import binary
from .charts import figure
from .measure import say

PARTS = ['delivery', 'idle', 'many', 'return']
RECIPIENTS = [10, 30, 100, 300, 1000, 3000, 10000]
SESSIONS = [1000, 2000, 5000, 10000, 15000]
MANY = 100_000
# Descriptors of one process, some of them its own.
AT_MOST = 14_500


def run(only, counting, quick, results, keep):
    """Whether something failed. Each part is kept when it is there."""
    failed = False
    for part, measure in (('delivery', delivery), ('idle', idle), ('many', many), ('return', returns)):
        if only and part not in only:
            continue
        say(f'{part} ')
        started = time.monotonic()
        try:
            results[part] = measure(counting, quick)
        except process.Failed as error:
            results[part] = {'error': str(error)}
            failed = True
            say(f'failed: {error}')
        else:
            failed |= not results[part].get('kept', True)
        say(f' {time.monotonic() - started:.0f} s\n')
        keep()
    return failed


def bench(*words):
    return [binary('bench-server'), *words]


def delivery(counting, quick):
    """A broadcast of 128 bytes: what each recipient costs, natively."""
    points = []
    for clients in RECIPIENTS:
        common = ['traffic', '--protocol', 'json', '--path', '/broadcast', '--groups', 1, '--clients', clients, '--size', 128]
        with process.server(bench(), 'hardware' if counting == 'hardware' else 'nothing') as one:
            timed = process.load(one, [*common, '--secs', 1 if quick else 2])
        instructions = timed['instructions']
        if counting == 'callgrind':
            with process.server(bench(), 'callgrind') as one:
                count = max(20 * clients, 40_000)
                more = ['--warm-count', 5 * clients, '--count-messages', count]
                instructions = process.load(one, [*common, *more], limit=900)['instructions']
        points.append({'clients': clients, 'instructions': instructions, 'cpu_us': timed['cpu_us'],
                       'p50_us': timed['p50_us'], 'p99_us': timed['p99_us']})
        say('.')
    return {'points': points}


def idle(counting, quick):
    """Sessions that have exchanged a message: their memory, and the CPU time of their heartbeats."""
    points, beat, seconds = [], 5, 10 if quick else 20
    for clients in SESSIONS:
        with process.server(bench(f'heartbeat={beat}')) as one:
            arguments = ['idle', '--protocol', 'json', '--path', '/echo', '--clients', clients, '--hold']
            with process.held(one, arguments) as generator:
                said = first_line(generator, 120)
                # One round, so that what follows is heartbeats alone.
                time.sleep(beat)
                before, at = process.cpu_seconds(one.pid), time.monotonic()
                time.sleep(seconds)
                used, took = process.cpu_seconds(one.pid) - before, time.monotonic() - at
                pings = end(generator)['pings']
        beats = clients * took / beat
        points.append({'clients': clients, 'bytes': said['bytes'], 'cpu_us_per_heartbeat': used / beats * 1e6, 'pings': pings})
        say('.')
    return {'points': points, 'heartbeat': beat}


def many(counting, quick):
    """100,000 idle sessions over several processes and source addresses, heartbeats on."""
    total, seconds = (20_000, 30) if quick else (MANY, 60)
    processes = -(-total // AT_MOST)
    each = -(-total // processes)
    with ExitStack() as stack:
        ones, generators, said = [], [], []
        started = time.monotonic()
        for number in range(processes):
            one = stack.enter_context(process.server(bench()))
            arguments = ['idle', '--protocol', 'json', '--path', '/echo', '--hold', '--source', f'127.0.0.{number + 2}',
                         '--clients', min(each, total - number * each)]
            generators.append(stack.enter_context(process.held(one, arguments)))
            ones.append(one)
            # One after the other: all at once would measure how they share a core.
            said.append(first_line(generators[-1], 400))
        connecting = time.monotonic() - started
        cpu = lambda: sum(process.cpu_seconds(one.pid) for one in ones)
        before, at = cpu(), time.monotonic()
        time.sleep(seconds)
        used, took = cpu() - before, time.monotonic() - at
        memory = sum(process.resident(one.pid) for one in ones)
        pings = sum(end(generator)['pings'] for generator in generators)
        available = available_memory()
    sessions = sum(line['count'] for line in said)
    base = sum(line['rss_before'] for line in said)
    return {'sessions': sessions, 'processes': processes, 'connect_seconds': connecting, 'seconds': took,
            'cpu_seconds_per_minute': used / took * 60, 'memory': memory, 'bytes': (memory - base) / sessions,
            'pings': pings, 'heartbeat': 25, 'available': available}


def returns(counting, quick):
    """10,000 clients that come back all at once."""
    clients, found = (2000 if quick else 10_000), {}
    common = ['return', '--protocol', 'json', '--path', '/echo', '--clients', clients]
    with process.server(bench()) as one:
        found['cut'] = process.load(one, [*common, '--after', 'cut'])
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        one = first.enter_context(process.server(bench()))
        generator = stack.enter_context(process.held(one, [*common, '--after', 'restart']))
        first_line(generator, 120)
        # Killed, not told to end: nothing of the sessions is left.
        first.close()
        stack.enter_context(process.server(bench(), addr=one.addr))
        found['restart'] = end(generator)
    found['kept'] = all(one['within_limit'] for one in found.values())
    found['kept'] &= found['cut']['resumed'] == clients and found['restart']['reset'] == clients
    return found


def first_line(generator, seconds):
    line = process.line_of(generator, seconds)
    if line is None:
        try:
            status = f'ended with {generator.wait(5)}'
        except subprocess.TimeoutExpired:
            status = f'says nothing for {seconds} s'
            generator.kill()
        raise process.Failed(generator.stderr.read().strip()[-400:] or f'the generator {status}')
    return json.loads(line)


def end(generator):
    """Ends its standard input; its last line."""
    out, err = generator.communicate(timeout=120)
    if generator.returncode != 0:
        raise process.Failed(err.strip()[-400:])
    return json.loads(out.splitlines()[-1])


def available_memory():
    with open('/proc/meminfo') as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith('MemAvailable:'))


def tables(results):
    good = {part: result for part, result in results.items() if 'error' not in result}
    for part, result in results.items():
        if 'error' in result:
            yield (f'Scale: {part}', f'Failed: {result["error"]}', [], [])
    if 'delivery' in good:
        yield ('Scale: a delivery of a broadcast of 128 B, native, one in flight', '',
               ['recipients', 'user instructions', 'CPU, µs', 'p50 / p99, µs'],
               [[f'{p["clients"]:,}', figure(p['instructions']), figure(p['cpu_us']),
                 f'{figure(p["p50_us"])} / {figure(p["p99_us"])}'] for p in good['delivery']['points']])
    if 'idle' in good:
        yield ('Scale: an idle native session that has exchanged a message', f'A heartbeat each {good["idle"]["heartbeat"]} s.',
               ['sessions', 'bytes of user space per session', 'CPU per heartbeat, µs', 'heartbeats answered'],
               [[f'{p["clients"]:,}', figure(p['bytes']), figure(p['cpu_us_per_heartbeat']), f'{p["pings"]:,}']
                for p in good['idle']['points']])
    if 'many' in good:
        m = good['many']
        yield (f'Scale: {m["sessions"]:,} idle sessions', f'Over {m["processes"]} server processes on one core, a heartbeat each '
               f'{m["heartbeat"]} s, for {m["seconds"]:.0f} s.',
               ['sessions', 'CPU seconds per minute', 'resident memory, MiB', 'bytes per session', 'heartbeats answered',
                'connected in, s'],
               [[f'{m["sessions"]:,}', figure(m['cpu_seconds_per_minute']), figure(m['memory'] / 2**20), figure(m['bytes']),
                 f'{m["pings"]:,}', figure(m['connect_seconds'])]])
    if 'return' in good:
        lines = []
        for after, title in (('cut', 'a cut of the network: all resume'), ('restart', 'a restart: reset, and open anew')):
            r = good['return'][after]
            lines.append([title, f'{r["count"]:,}', f'{r["resumed"]:,}', f'{r["reset"]:,}', f'{r["attempts"]:,}',
                          figure(r['p50_us'] / 1e3), figure(r['p99_us'] / 1e3), figure(r['max_us'] / 1e3)])
        yield ('Scale: clients that come back all at once', 'Nobody may wait longer than 10 s: '
               + ('kept.' if good['return']['kept'] else 'NOT kept.'),
               ['after', 'clients', 'resumed', 'reset', 'connections', 'p50, ms', 'p99, ms', 'longest, ms'], lines)


def pictures(results):
    if 'points' in results.get('delivery', {}):
        points = results['delivery']['points']
        if points[0]['instructions'] is not None:
            line = [(p['clients'], p['instructions']) for p in points]
            yield 'Cost of a delivery', charts.lines([('user instructions', line)], 'recipients', 'per delivery')
        line = [(p['clients'], p['cpu_us']) for p in points]
        yield 'CPU time of a delivery', charts.lines([('user and kernel', line)], 'recipients', 'µs per delivery')
    if 'points' in results.get('idle', {}):
        points = results['idle']['points']
        line = [(p['clients'], p['bytes']) for p in points]
        yield 'Memory of an idle session', charts.lines([('user space', line)], 'sessions', 'bytes per session')
        line = [(p['clients'], p['cpu_us_per_heartbeat']) for p in points]
        yield 'CPU time of a heartbeat', charts.lines([('user and kernel', line)], 'sessions', 'µs per heartbeat')

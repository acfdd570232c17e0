"""Starts a server on one core and the generator on another, and ends what it started."""

import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from .build import binary

SERVER_CORE, GENERATOR_CORE = '0', '1'
# glibc clears and copies by `rep stosb` and `rep movsb` from 2 KiB on, which callgrind counts byte by byte, and the processor
# as one instruction. With vector instructions both count the same.
COUNTABLE = 'glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000'

# A server is some thirty times slower under callgrind, and its clock is not: with its default of 25 s, it would have thirty times
# the heartbeats for each message.
RARE_HEARTBEATS = str(30 * 25_000)


class Failed(Exception):
    pass


class Server:
    def __init__(self, process, url, count):
        self.process, self.pid, self.url, self.count = process, process.pid, url, count
        self.addr = url.split('//')[1]


@contextmanager
def server(command, counting='nothing', addr='127.0.0.1:0'):
    """A server that listens. `counting` is `hardware`, `callgrind` or `nothing`."""
    with tempfile.TemporaryDirectory(prefix='nosphere-bench-') as folder:
        # For the example `echo`, which has one core here, and a runtime that has a task for each session unless it is told otherwise.
        environment = {'ECHO_SCHEDULING': 'event-loops', **os.environ}
        count, prefix = counting, []
        if counting == 'callgrind':
            count = str(Path(folder) / 'profile')
            prefix = ['valgrind', '--tool=callgrind', f'--callgrind-out-file={count}', f'--vgdb-prefix={folder}/vgdb']
            environment['GLIBC_TUNABLES'] = COUNTABLE
            environment['ECHO_HEARTBEAT'] = RARE_HEARTBEATS
        errors = open(Path(folder) / 'stderr', 'w+')
        process = subprocess.Popen(
            ['taskset', '-c', SERVER_CORE, *prefix, *command, '--addr', addr],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            yield Server(process, url_of(process, errors), count)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            errors.close()


def url_of(process, errors):
    line = line_of(process, 60)
    if line is None:
        errors.seek(0)
        raise Failed(f'the server did not start: {errors.read()[-400:]}')
    return json.loads(line)['url']


def line_of(process, seconds):
    """The next line of its output, or `None` if there is none in time."""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(seconds):
            return None
    return process.stdout.readline() or None


def generator(server, arguments):
    """Its command line."""
    return ['taskset', '-c', GENERATOR_CORE, binary('lg'), *map(str, arguments),
            '--addr', server.addr, '--pid', str(server.pid), '--count', server.count]


def load(server, arguments, limit=300):
    """Runs the generator; its result."""
    with subprocess.Popen(generator(server, arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Failed(f'not done after {limit} s')
    if process.returncode != 0:
        raise Failed(err.strip()[-400:] or f'exit status {process.returncode}')
    return json.loads(out.splitlines()[-1])


@contextmanager
def held(server, arguments):
    """The generator, while it goes on; its first line is the value's `said`."""
    process = subprocess.Popen(generator(server, arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def cpu_seconds(pid):
    total = 0
    for task in Path(f'/proc/{pid}/task').iterdir():
        total += int((task / 'schedstat').read_text().split()[0])
    return total / 1e9


def resident(pid):
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) << 10
    raise Failed('no resident memory')


def hardware():
    """Whether the processor counts instructions here."""
    done = subprocess.run([binary('lg'), 'probe'], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)['hardware']


def now():
    return time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())

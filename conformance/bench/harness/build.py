"""Builds everything that is measured, each program by itself: features of one must not change another."""

import json
import os
import subprocess
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent.parent
TARGET = BENCH / 'target'
ARTEFACTS = ROOT / 'conformance' / 'artefacts' / 'bench'
PEERS = ['fastwebsockets', 'yawc', 'axum', 'tungstenite', 'socketioxide']


def binary(name):
    return str(TARGET / 'release' / name)


def echo():
    target = Path(os.environ.get('CARGO_TARGET_DIR', ROOT / 'target'))
    return str((ROOT / target / 'release' / 'examples' / 'echo').resolve())


def build(peers):
    """What is needed to measure these."""
    packages = ['lg', 'limit', 'bench-server'] + [f'peer-{name}' for name in PEERS if name in peers]
    for package in packages:
        cargo('build', '--release', '-p', package)
    command('cargo', 'build', '--release', '--locked', '-p', 'nosphere', '--example', 'echo', cwd=ROOT)
    if 'uwebsockets' in peers:
        uwebsockets()
    if {'node-ws', 'socket.io'} & set(peers):
        command('npm', 'ci', '--no-audit', '--no-fund', '--silent', cwd=BENCH / 'peers' / 'node')


def uwebsockets():
    """Against the sources in a crate of bindings; the bindings themselves would need libclang."""
    metadata = json.loads(cargo('metadata', '--format-version', '1', '--all-features', capture=True))
    manifest = next(p['manifest_path'] for p in metadata['packages'] if p['name'] == 'libuwebsockets-sys')
    sources = Path(manifest).parent / 'uWebSockets'
    sockets, objects = sources / 'uSockets' / 'src', TARGET / 'uwebsockets.o'
    objects.mkdir(parents=True, exist_ok=True)
    files = ['bsd.c', 'context.c', 'loop.c', 'socket.c', 'udp.c', 'eventing/epoll_kqueue.c']
    flags = ['-O3', '-flto=auto', '-DLIBUS_NO_SSL', f'-I{sockets}']
    made = []
    for file in files:
        made.append(str(objects / (Path(file).stem + '.o')))
        command('gcc', *flags, '-c', str(sockets / file), '-o', made[-1], cwd=BENCH)
    main = str(BENCH / 'peers' / 'uwebsockets' / 'main.cpp')
    flags += ['-std=c++20', '-DUWS_NO_ZLIB', f'-I{sources / "src"}']
    command('g++', *flags, main, *made, '-o', binary('uwebsockets'), cwd=BENCH)


def cargo(*arguments, capture=False):
    # Not --locked: the lock file holds the peers where they are, and what the project has begun to need since is added. Its own
    # target folder, wherever the project's is: the programs are found there.
    target = ['--target-dir', str(TARGET)] if arguments[0] == 'build' else []
    return command('cargo', *arguments, *target, cwd=BENCH, capture=capture)


def command(*arguments, cwd, capture=False):
    done = subprocess.run(['nice', *arguments], cwd=cwd, text=True, stdout=subprocess.PIPE if capture else None)
    if done.returncode != 0:
        raise SystemExit(f'failed: {" ".join(arguments)}')
    return done.stdout

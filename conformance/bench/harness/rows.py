"""What is measured, and of whom."""

from dataclasses import dataclass, field

from .build import BENCH, PEERS, binary, echo


@dataclass
class Row:
    """A kind of work. `arguments` are the generator's; `counted` says how many messages are counted under callgrind."""
    id: str
    title: str
    arguments: list
    goal: str = ''
    command: str = 'traffic'
    fan: bool = False
    counted: tuple = (2000, 20000)
    limit: tuple = ()               # modes of the limit, the first one is what ratios are to
    unit: str = 'message'
    steady: tuple = ()              # the same for the native protocol: queues have grown, and acknowledgements are in it
    only: tuple = ()                # servers; empty: all that the row can be measured with
    path: str = ''
    main: bool = True
    number: float = 0               # the goal, for charts
    seconds: float = 2
    protocols: dict = field(default_factory=dict)


@dataclass
class Server:
    name: str
    command: list
    protocol: str = 'plain'
    countable: bool = True          # under callgrind
    native: bool = False


def echo_row(id, title, arguments, **more):
    return Row(id, title, arguments, path='/echo', **more)


def fan_row(id, title, clients, arguments, **more):
    arguments = ['--clients', clients, '--groups', 1, *arguments]
    return Row(id, title, arguments, path='/broadcast', fan=True, **more)


SMALL = ['--size', 128]
ECHOES = ('epoll-echo', 'own-epoll-echo', 'tokio-echo')
ROWS = [
    echo_row('echo100', 'echo 100 B, 64 connections', ['--size', 100], limit=ECHOES,
             goal='≤ 2,000', number=2000),
    echo_row('echo16k', 'echo 16 KiB binary, 64 connections', ['--size', 16384, '--kind', 'binary'],
             limit=ECHOES, goal='≤ 6,000', number=6000, counted=(500, 5000)),
    echo_row('d16', 'echo 100 B, 16 messages in one segment', ['--size', 100, '--window', 16, '--batch'],
             limit=ECHOES, goal='≤ 900 [≤ 2.0]', number=900, counted=(5000, 50000)),
    fan_row('fan1k', 'fan-out 128 B to 1,000, one in flight', 1000, SMALL, limit=('epoll-fan', 'tokio-fan'),
            goal='≤ 500', number=500, counted=(2000, 60000), steady=(300000, 256000)),
    fan_row('fan1kw16', 'fan-out 128 B to 1,000, 16 in flight', 1000, [*SMALL, '--window', 16],
            limit=('epoll-fan-gathered',), goal='≤ 300 [≤ 1.6]', number=300, counted=(32000, 160000),
            steady=(320000, 256000)),
    fan_row('fan10k', 'fan-out 128 B to 10,000', 10000, SMALL, limit=('epoll-fan', 'tokio-fan'), goal='≤ 500',
            number=500, counted=(10000, 60000), steady=(1400000, 1280000)),
    echo_row('hs', 'handshake, to the first byte of a session', [], command='handshake', limit=('epoll-handshake',),
             goal='≤ 30,000', number=30000, counted=(200, 1500), unit='handshake'),
    echo_row('idle', 'idle connection after a message', ['--clients', 10000], command='idle',
             limit=('tokio-echo',), goal='≤ 2,000', number=2000, unit='connection'),

    # Of nosphere alone. `only` names the servers, and `protocols` how they are spoken to.
    Row('echo100-json', 'echo 100 B, a JSON message', ['--size', 100, '--kind', 'json'], path='/echo', main=False,
        only=('nosphere', 'nosphere-plain')),
    Row('echo16k-base64', 'echo 16 KiB binary in the format json (base64)', ['--size', 16384, '--kind', 'binary'],
        path='/echo', main=False, only=('nosphere',), counted=(500, 3000)),
    Row('echo100-msgpack', 'echo 100 B, MessagePack', ['--size', 100], path='/echo', main=False,
        only=('nosphere-msgpack',)),
    Row('fan1k-msgpack', 'fan-out 128 B to 1,000, MessagePack', ['--clients', 1000, '--groups', 1, *SMALL], fan=True,
        path='/broadcast', main=False, only=('nosphere-msgpack',), counted=(2000, 60000)),
    Row('sse', 'SSE fan-out 128 B to 1,000', ['--clients', 1000, *SMALL], command='sse', path='/broadcast', main=False,
        only=('nosphere', 'nosphere-plain'), counted=(2000, 60000)),
    Row('sse-w16', 'SSE fan-out 128 B to 1,000, 16 in flight', ['--clients', 1000, *SMALL, '--window', 16],
        command='sse', path='/broadcast', main=False, only=('nosphere', 'nosphere-plain'), counted=(32000, 160000)),
    Row('poll', 'long-polling fan-out 128 B to 1,000', ['--clients', 1000, *SMALL], command='poll', path='/broadcast',
        main=False, only=('nosphere',), counted=(1000, 10000)),
    Row('poll-w16', 'long-polling fan-out 128 B to 1,000, 16 in flight', ['--clients', 1000, *SMALL, '--window', 16],
        command='poll', path='/broadcast', main=False, only=('nosphere',), counted=(16000, 80000)),
    Row('paths', '1,000 endpoints with 10 members each', ['--clients', 10000, '--groups', 1000, *SMALL], fan=True,
        path='/rooms/{group}', main=False, only=('bench', 'bench-plain'), counted=(10000, 60000)),
    Row('tags', 'audience by tag: 10 tags of 100 of 1,000', ['--clients', 1000, '--groups', 10, *SMALL], fan=True,
        path='/tagged?group={group}', main=False, only=('bench', 'bench-plain'), counted=(2000, 60000)),
    Row('predicate', 'audience by predicate: 100 of 1,000', ['--clients', 1000, '--groups', 10, *SMALL], fan=True,
        path='/matching?group={group}', main=False, only=('bench', 'bench-plain'), counted=(2000, 30000)),
    Row('publishers', '8 publishers at once, to 1,000', ['--clients', 1000, '--groups', 1, '--publishers', 8, *SMALL],
        fan=True, path='/broadcast', main=False, only=('nosphere', 'nosphere-plain'), counted=(8000, 80000)),
    Row('tls-echo', 'echo 100 B over TLS', ['--size', 100, '--tls'], path='/echo', main=False,
        only=('bench-tls', 'bench-tls-plain')),
    Row('tls-fan1k', 'fan-out 128 B to 1,000 over TLS', ['--clients', 1000, '--groups', 1, *SMALL, '--tls'], fan=True,
        path='/broadcast', main=False, only=('bench-tls', 'bench-tls-plain'), counted=(2000, 30000)),
    Row('h2-echo', 'echo 100 B over HTTP/2, 8 × 8 streams', ['--size', 100, '--connections', 8, '--streams', 8],
        command='h2', path='/echo', main=False, only=('nosphere', 'nosphere-plain')),
    Row('h2-fan1k', 'fan-out 128 B over HTTP/2, 10 × 100 streams',
        ['--connections', 10, '--streams', 100, '--groups', 1, *SMALL], command='h2', path='/broadcast', main=False,
        only=('nosphere', 'nosphere-plain'), counted=(2000, 30000)),
    Row('all-fast', 'fan-out 4 KiB to 198 who all read', ['--clients', 198, '--groups', 1, '--size', 4096, '--window', 4],
        fan=True, path='/broadcast', main=False, only=('bench', 'bench-plain'), seconds=5, counted=(4000, 40000)),
    Row('stalled', 'the same, and 2 who do not read',
        ['--clients', 200, '--stalled', 2, '--groups', 1, '--size', 4096, '--window', 4],
        fan=True, path='/broadcast', main=False, only=('bench', 'bench-plain'), seconds=5, counted=(4000, 40000)),
]


def servers():
    bench = binary('bench-server')
    node = BENCH / 'peers' / 'node'
    named = {
        'uwebsockets': [binary('uwebsockets')],
        **{name: [binary(f'peer-{name}')] for name in PEERS},
        'node-ws': ['node', str(node / 'ws.js')],
        'socket.io': ['node', str(node / 'socketio.js')],
    }
    others = [Server(name, command) for name, command in named.items()]
    for other in others:
        other.countable = other.command[0] != 'node'
        if other.name in ('socketioxide', 'socket.io'):
            other.protocol = 'socketio'
    return others + [
        Server('nosphere', [echo()], 'json', native=True),
        Server('nosphere-plain', [echo()]),
        Server('nosphere-msgpack', [echo()], 'messagepack', native=True),
        Server('bench', [bench], 'json', native=True),
        Server('bench-plain', [bench]),
        Server('bench-tls', [bench, 'tls'], 'json', native=True),
        Server('bench-tls-plain', [bench, 'tls']),
    ]


# The columns of the limit's modes, by how these begin.
LIMITS = {'epoll': 'limit', 'own': 'own-epoll', 'tokio': 'tokio'}
# Columns of the main table.
COLUMNS = ['nosphere', 'nosphere-plain', 'limit', 'own-epoll', 'tokio', 'uwebsockets', 'fastwebsockets', 'yawc', 'axum', 'tungstenite',
           'socketioxide', 'node-ws', 'socket.io']
# What carries 16 KiB of bytes natively is MessagePack; the format json has base64, and a row of its own.
BINARY = {'nosphere': 'messagepack'}

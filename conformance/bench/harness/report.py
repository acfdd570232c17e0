"""Tables and the page."""

from html import escape

from . import charts, scale
from .charts import figure
from .rows import COLUMNS, ROWS

NAMES = {'limit': 'limit', 'own-epoll': 'epoll in tokio', 'tokio': 'bare tokio', 'node-ws': 'Node ws', 'uwebsockets': 'uWebSockets',
         'nosphere': 'nosphere native', 'nosphere-plain': 'nosphere plain', 'nosphere-msgpack': 'native, MessagePack',
         'bench': 'nosphere native', 'bench-plain': 'nosphere plain', 'bench-tls': 'nosphere native',
         'bench-tls-plain': 'nosphere plain'}
OURS = {'nosphere', 'nosphere-plain'}


def name(column):
    return NAMES.get(column, column)


def tables(results):
    """Title, explanation, head and lines of each table."""
    measured = results.get('rows', {})
    main = [row for row in ROWS if row.main and row.id in measured]
    by = {cell['ratio_by'] for row in main for cell in measured[row.id].values() if 'ratio_by' in cell}
    if main:
        columns = [column for column in COLUMNS if any(column in measured[row.id] for row in main)]
        head = ['work', 'goal', *map(name, columns)]
        yield ('User instructions per message, total ÷ limit',
               f'Instructions by {results["machine"]["counting"]}; the total of user and kernel as a ratio to the limit\'s '
               f'loop of the same run, by {" and ".join(sorted(by)) or "nothing"}. The 16 KiB go natively as MessagePack.',
               head, [[row.title, row.goal, *(main_cell(row, measured[row.id].get(column)) for column in columns)]
                      for row in main])
        timed = [row for row in main if row.command != 'idle']
        for title, show in (
                ('CPU time per message, µs (of which user)', cpu_cell),
                ('Latency, µs: p50 / p99', latency_cell),
                ('The server\'s memory after the run, MiB (of which before it)', memory_cell)):
            yield (title, '', ['work', *map(name, columns)],
                   [[row.title, *(show(measured[row.id].get(column)) for column in columns)] for row in timed])
        native = [measured[row.id]['nosphere'] for row in main if 'nosphere' in measured[row.id]]
        resumed, replayed = (sum(cell.get(what, 0) for cell in native) for what in ('resumed', 'replayed'))
        if resumed:
            yield ('Resumption', f'In the runs above connections of native clients were cut {resumed} times and the sessions '
                   f'resumed; clients sent {replayed} messages again. Every message of every client was checked: none was '
                   f'lost, doubled or out of order.', [], [])
    others = [row for row in ROWS if not row.main and row.id in measured]
    if others:
        head = ['work', 'server', 'instructions', 'CPU, µs (user)', 'messages/s', 'polls/s', 'p50 / p99, µs', 'memory, MiB']
        yield ('Further work, of nosphere alone', '', head,
               [other_line(row, column, cell) for row in others for column, cell in measured[row.id].items()])
    yield from scale.tables(results.get('scale', {}))


def main_cell(row, cell):
    if cell is None:
        return '–'
    if 'error' in cell:
        return 'failed'
    if row.command == 'idle':
        return f'{figure(cell["bytes"])} bytes'
    text = figure(cell['instructions']) if cell.get('instructions') is not None else '–'
    return f'{text} [{cell["ratio"]:.2f}]' if 'ratio' in cell else text


def cpu_cell(cell):
    if not cell or 'error' in cell:
        return '–'
    return f'{figure(cell["cpu_us"])} ({figure(cell["user_us"])})'


def latency_cell(cell):
    if not cell or 'p50_us' not in cell:
        return '–'
    return f'{figure(cell["p50_us"])} / {figure(cell["p99_us"])}'


def memory_cell(cell):
    if not cell or 'rss' not in cell:
        return '–'
    before = f' ({cell["rss_before"] / 2**20:.1f})' if 'rss_before' in cell else ''
    return f'{cell["rss"] / 2**20:.1f}{before}'


def other_line(row, column, cell):
    if 'error' in cell:
        return [row.title, name(column), 'failed', '', '', '', '', '']
    polls = figure(cell['polls_rate']) if row.command == 'poll' else ''
    return [row.title, name(column), figure(cell.get('instructions')), cpu_cell(cell), figure(cell['rate']), polls,
            latency_cell(cell), memory_cell(cell)]


def conditions(results):
    about = results['machine']
    versions = ', '.join(f'{key} {value}' for key, value in about['versions'].items())
    return (f'{about["at"]}, revision {about["revision"]}; {about["processor"]}, Linux {about["kernel"]}, load average '
            f'{about["load"]} at the start; {about["rustc"]}, Node {about["node"]}; {versions}. Server on one core, '
            f'generator on another.')


def markdown(results):
    parts = [conditions(results)]
    for title, text, head, lines in tables(results):
        parts.append(f'**{title}**' + (f'\n\n{text}' if text else ''))
        if head:
            rows = [head, ['---'] * len(head), *lines]
            parts.append('\n'.join('| ' + ' | '.join(str(cell) for cell in row) + ' |' for row in rows))
    return '\n\n'.join(parts) + '\n'


def pictures(results):
    measured = results.get('rows', {})
    for row in ROWS:
        cells = measured.get(row.id, {})
        if not row.main or not cells:
            continue
        what = 'bytes' if row.command == 'idle' else 'instructions'
        values = [(name(column), cells.get(column, {}).get(what), column in OURS) for column in COLUMNS]
        unit = 'bytes of user space per connection' if row.command == 'idle' else f'user instructions per {row.unit}'
        chart = charts.bars(values, row.number, unit)
        if chart:
            yield f'{row.title}: {unit}', chart
    yield from scale.pictures(results.get('scale', {}))


def page(results):
    parts = []
    for title, chart in pictures(results):
        parts.append(f'<figure><figcaption>{escape(title)}</figcaption>{chart}</figure>')
    body = [f'<section class="charts">{"".join(parts)}</section>']
    for title, text, head, lines in tables(results):
        body.append(f'<h2>{escape(title)}</h2>' + (f'<p>{escape(text)}</p>' if text else ''))
        if head:
            cells = ''.join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
            rows = ''.join('<tr>' + ''.join(
                f'<{"th scope=row" if index == 0 else "td"}>{escape(str(cell))}</{"th" if index == 0 else "td"}>'
                for index, cell in enumerate(line)) + '</tr>' for line in lines)
            body.append(f'<div class="wide"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>')
    return PAGE.replace('{conditions}', escape(conditions(results))).replace('{body}', '\n'.join(body))


PAGE = '''<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>nosphere: benchmarks</title>
<style>
:root { --paper: #fff; --ink: #1c2430; --soft: #5b6675; --line: #dde2e8; --bar: #a9b4c2; --ours: #0f6fde; --goal: #c2410c;
  --second: #0d8a5f; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --ink: #e6eaf0; --soft: #98a3b3; --line: #2b333e;
  --bar: #566273; --ours: #5aa9ff; --goal: #ff9d5c; --second: #4fd1a1; } }
* { box-sizing: border-box }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1500px;
  padding: 1.5rem }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .3rem }
p { color: var(--soft); margin: .3rem 0 1rem; max-width: 70rem }
.charts { display: grid; gap: 1.5rem 2.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)) }
figure { margin: 0 } figcaption { font-weight: 600; margin-bottom: .4rem }
svg { display: block; height: auto; width: 100% } svg text { fill: var(--ink); font-size: 13px }
.number { fill: var(--soft); paint-order: stroke; stroke: var(--paper); stroke-width: 4px } .bar { fill: var(--bar) } .ours { fill: var(--ours) }
.torn { stroke: var(--paper); stroke-width: 3 } .grid { stroke: var(--line) }
.goal { stroke: var(--goal); stroke-dasharray: 4 3; stroke-width: 1.5 } svg .goal-text { fill: var(--goal); font-size: 12px }
.line { fill: none; stroke-width: 2 } .line0 { stroke: var(--ours) } .line1 { stroke: var(--second) }
.dot0 { fill: var(--ours) } .dot1 { fill: var(--second) }
.legend { margin: 0 0 .3rem } .key::before { content: "■ " } .key0::before { color: var(--ours) }
.key1::before { color: var(--second) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 12.5px; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .55rem; text-align: right }
th:first-child { background: var(--paper); left: 0; position: sticky; text-align: left } thead th { color: var(--soft); font-weight: 600 } tbody th { font-weight: 500 }
tbody tr:hover { background: color-mix(in srgb, var(--ours) 8%, transparent) }
</style>
<h1>nosphere: benchmarks</h1>
<p>{conditions} How to read them: conformance/bench/README.md.</p>
{body}
</html>
'''

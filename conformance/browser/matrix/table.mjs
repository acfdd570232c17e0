// The matrix for people: as this run counted it, and what of it is the same in every run.

/** Ways to use the client, and how a page is told of them. */
export const WAYS = { '': {}, messagepack: { format: 'messagepack' }, 'for await': { iterate: true } };

const COLUMNS = ['websocket', 'sse', 'long-polling', 'auto'];

/** One line for each cell. */
export function printed(results) {
  const head = ['browser', 'fault', 'transport', 'way', 'sent', 'received', 'doubled', 'lost', 'faults', 'failures', 'links', 'ended on', 'ms'];
  const lines = results.map(({ browser, fault, column, way, report, faults, links, transport, milliseconds }) => [
    browser, fault.name, column, way, report.sent, report.received, report.doubled, report.lost, faults.count,
    report.counts.transportfailure, links, transport, milliseconds,
  ]);
  const rows = [head, ...lines.sort((a, b) => key(a).localeCompare(key(b)))];
  const widths = head.map((_, index) => Math.max(...rows.map((row) => String(row[index]).length)));
  return rows.map((row) => row.map((cell, index) => String(cell)[typeof cell === 'number' ? 'padStart' : 'padEnd'](widths[index])).join('  ')).join('\n');
}

export function markdown(faults, results, { total, tries }) {
  const browsers = [...new Set(results.map(({ browser }) => browser))].sort();
  const lines = [
    '# Faults, transports, browsers', '',
    'Written by `UPDATE=1 npm run matrix`; that test fails when this is not what it saw.', '',
    `In each cell a page in a real browser sends ${total.toLocaleString('en')} numbered messages — text, JSON and binary by turns — through a proxy to the`,
    '`echo` example, and gets them back. A proxy between them commits the fault, and counts. A cell reads',
    '*sent / received / doubled / lost*, then how often the fault happened (`+`: at least, since it is always there).',
    '`auto` has all three transports to choose from.', '',
    `**kept**: the fault leaves this transport no way. All ${total.toLocaleString('en')} messages were kept through at least ${tries} failures, each reported as`,
    '`transportfailure`; they arrived, as everywhere, once the fault was lifted. **–**: the fault has nothing to hit there.', '',
  ];
  const table = (way, columns) => {
    lines.push(`| fault | browser | ${columns.join(' | ')} |`, `|---|---|${columns.map(() => '---|').join('')}`);
    const those = results.filter((result) => result.way === way);
    for (const fault of faults.filter((one) => those.some((result) => result.fault === one))) {
      for (const browser of browsers) {
        const row = columns.map((column) => cell(fault, those.find((one) => one.browser === browser && one.fault === fault && one.column === column)));
        lines.push(`| ${fault.name} | ${browser} | ${row.join(' | ')} |`);
      }
    }
  };
  table('', COLUMNS);
  lines.push('', '| fault | what happens |', '|---|---|');
  for (const { name, what, without } of faults) {
    lines.push(`| ${name} | ${what}${without?.length ? `. In \`auto\`, ${without.join(' and ')} ${without.length > 1 ? 'are' : 'is'} refused as well` : ''} |`);
  }
  lines.push('', 'In MessagePack:', '');
  table('messagepack', COLUMNS.slice(0, 3));
  lines.push('', 'Read by `for await`, slower than it comes:', '');
  table('for await', COLUMNS.slice(0, 3));
  return `${lines.join('\n')}\n`;
}

function cell(fault, result) {
  if (!result) return '–';
  const { report: { sent, received, doubled, lost }, faults, outcome, column } = result;
  const happened = faults.exact ? faults.wanted : `${faults.wanted}+`;
  const ends = column === 'auto' && fault.ends ? `, ends on ${fault.ends}` : '';
  return `${sent} / ${received} / ${doubled} / ${lost}, ${happened}${outcome === 'stops' ? ', **kept**' : ''}${ends}`;
}

const key = ([browser, fault, column, way]) => `${fault} ${COLUMNS.indexOf(column)} ${way} ${browser}`;

// The matrix for people: as this run counted it, and what of it is the same in every run.

const COLUMNS = ['websocket', 'sse', 'long-polling', 'auto'];

/** One line for each cell. */
export function printed(results) {
  const head = ['browser', 'fault', 'transport', 'format', 'sent', 'received', 'doubled', 'lost', 'faults', 'failures', 'links', 'ended on', 'ms'];
  const lines = results.map(({ browser, fault, column, format, report, faults, links, transport, milliseconds }) => [
    browser, fault.name, column, format, report.sent, report.received, report.doubled, report.lost, faults.count,
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
    `| fault | browser | ${COLUMNS.join(' | ')} |`,
    `|---|---|${COLUMNS.map(() => '---|').join('')}`,
  ];
  for (const fault of faults) {
    for (const browser of browsers) {
      const cells = COLUMNS.map((column) => cell(fault, results.find((one) => one.browser === browser && one.fault === fault && one.column === column && one.format === 'json')));
      lines.push(`| ${fault.name} | ${browser} | ${cells.join(' | ')} |`);
    }
  }
  lines.push('', '| fault | what happens |', '|---|---|');
  for (const { name, what, without } of faults) {
    lines.push(`| ${name} | ${what}${without?.length ? `. In \`auto\`, ${without.join(' and ')} ${without.length > 1 ? 'are' : 'is'} refused as well` : ''} |`);
  }
  lines.push('', 'In MessagePack:', '', `| fault | browser | ${COLUMNS.slice(0, 3).join(' | ')} |`, '|---|---|---|---|---|');
  const packed = results.filter(({ format }) => format === 'messagepack');
  for (const fault of faults.filter((one) => packed.some((result) => result.fault === one))) {
    for (const browser of browsers) {
      const cells = COLUMNS.slice(0, 3).map((column) => cell(fault, packed.find((one) => one.browser === browser && one.fault === fault && one.column === column)));
      lines.push(`| ${fault.name} | ${browser} | ${cells.join(' | ')} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function cell(fault, result) {
  if (!result) return '–';
  const { report: { sent, received, doubled, lost }, faults, outcome, column } = result;
  const happened = faults.exact ? faults.wanted : `${faults.wanted}+`;
  const ends = column === 'auto' && fault.ends ? `, ends on ${fault.ends}` : '';
  return `${sent} / ${received} / ${doubled} / ${lost}, ${happened}${outcome === 'stops' ? ', **kept**' : ''}${ends}`;
}

const key = ([browser, fault, column, format]) => `${fault} ${COLUMNS.indexOf(column)} ${format} ${browser}`;

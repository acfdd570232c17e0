// The table of what came out, as a page of the guide. The same results give the same page, byte by byte.

import { ROWS } from './clients.mjs';
import { SCENARIOS } from './scenarios.mjs';

const COLUMNS = {
  open: 'open', echo: 'push, receive', room: 'one room', burst: 'burst', cut: 'cut, reopen', restart: 'new server',
  fallback: 'fallback', close: 'close', unload: 'page closed',
};
const NOTES = {
  boundaries: 'Without length tracking, what is sent over one stream has no boundaries: messages that are written close together may '
    + 'arrive as one. All of it arrives, once and in order.',
  reconnects: '`close()` of version 5 closes the WebSocket and then opens another by itself, unless it was told `reconnect: false`. '
    + 'It is the same session, which goes on.',
  stays: 'After a refused upgrade, 3.0.6 tries once more and then does nothing; 2.3.8 falls back twice at once, the second time to '
    + 'nothing. Both fall back when the WebSocket is accepted and ends before the handshake.',
  complete: 'In Node, where these versions bring an XMLHttpRequest of their own, a stream that breaks in the middle makes them open several '
    + 'at once and lose their way. Here the stream ended after a whole message, as it does when a proxy ends it.',
  shown: 'If the server is replaced just between two polls, version 5 shows the handshake of the next one as a message, once: the server '
    + 'can not know whether it is awaited. It goes on all the same.',
  silent: 'Version 5 does not say that it leaves: the session ends when the resume window does.',
};
const exists = (row, scenario) => SCENARIOS[scenario]?.exists?.(row) ?? true;

export class Results {
  #outcomes = new Map();
  #also = new Map();

  /** `outcome` is true, false or the key of a note. */
  add(row, scenario, tracking, outcome) {
    const key = keyOf(row, scenario);
    if (!this.#outcomes.has(key)) this.#outcomes.set(key, {});
    this.#outcomes.get(key)[tracking] = outcome;
  }

  /** Something beside the table that is there or not. */
  also(name, outcome) {
    this.#also.set(name, outcome);
  }

  get complete() {
    return [...this.#also.values()].every(Boolean) && ROWS.every((row) => Object.keys(COLUMNS).every((scenario) => !exists(row, scenario) || [true, false].every((tracking) => this.#outcomes.get(keyOf(row, scenario))?.[tracking])));
  }

  page() {
    const used = new Set(['boundaries']);
    const cell = (row, scenario) => {
      if (!exists(row, scenario)) return '–';
      const { true: on, false: off } = this.#outcomes.get(keyOf(row, scenario)) ?? {};
      if (!on || !off) return `${on ? '✓' : '✗'} ${off ? '✓' : '✗'}`;
      const notes = [...new Set([off, on])].filter((outcome) => outcome !== true);
      notes.forEach((note) => used.add(note));
      return `✓${notes.map((note) => `[^${note}]`).join('')}`;
    };
    const rows = ROWS.map((row) => [row.version, row.where, row.transport + (row.transport === 'streaming' ? '[^boundaries]' : ''), ...Object.keys(COLUMNS).map((scenario) => cell(row, scenario))]);
    const table = [['atmosphere.js', 'in', 'transport', ...Object.values(COLUMNS)], Array(3 + Object.keys(COLUMNS).length).fill('---'), ...rows];
    return `${HEAD}
${table.map((line) => `| ${line.join(' | ')} |`).join('\n')}

| also | |
|---|---|
${[...this.#also].map(([name, outcome]) => `| ${name} | ${outcome ? '✓' : '✗'} |`).join('\n')}

${Object.entries(NOTES).filter(([note]) => used.has(note)).map(([note, text]) => `[^${note}]: ${text}`).join('\n\n')}
`;
  }
}

const keyOf = ({ version, where, transport }, scenario) => [version, where, transport, scenario].join(' ');

const HEAD = `Which atmosphere.js clients were seen to work, and how.

Written by \`UPDATE=1 npm test\` in \`conformance/atmosphere\`, and held against every run of it: the packages from npm, unmodified,
against the \`echo\` and \`chat\` examples. Each mark stands for two runs, with length tracking (\`trackMessageLength\`) and without.

| column | what was seen |
|---|---|
| open | the client opens on the transport that it was told; the handshake is nothing that it shows |
| push, receive | what is pushed comes back as it was: the delimiter, quotes, line breaks, characters beyond 16 bits, JSON, 40,000 characters; bytes on WebSocket |
| one room | all clients of the table in a room with a native client and a plain WebSocket: all hear all, once and in the same order |
| burst | hundreds of messages in a row, to clients that poll while they do not: all arrive, once and in order; what is pushed in a row arrives once |
| cut, reopen | the network takes the link away, twice: what was broadcast meanwhile arrives, once and in order |
| new server | another process, which knows nothing of the client: the client goes on, and hears what is sent from then on |
| fallback | the WebSocket is refused: the client arrives on each other transport |
| close | the client closes: the others are told, once, and no stray poll brings it back |
| page closed | the same when its tab is closed |
`;

// Every fault of the network that a browser must survive, as data: where it can hit, what becomes of the messages, and how
// the proxy is told to commit it. Each counts what it did, so that a test which passed because nothing happened fails.
//
// on        for each column what is to be expected:
//             passes  all messages arrive while the fault is there
//             stops   none can; they are kept, and arrive once the fault is lifted
//           A column that is missing is one where the fault has nothing to hit.
// without   transports that the column `auto` has to do without, so that it ends up where the fault is
// ends      the transport that `auto` has to end up with
// commit    arms it. Returns { count, wanted, exact }: how often it has happened, how often it must, and whether it stops then

import { response } from '../proxy.mjs';
import { label } from './page/trial.js';

export const TRANSPORTS = ['websocket', 'sse', 'long-polling'];
const SORT = { websocket: 'websocket', sse: 'stream', 'long-polling': 'poll' };
const NEVER = new Promise(() => {});
const everywhere = { websocket: 'passes', sse: 'passes', 'long-polling': 'passes', auto: 'passes' };

export const FAULTS = [
  {
    name: 'none', what: 'nothing is done to the traffic', on: everywhere, ends: 'websocket',
    commit: () => ({ count: 0, wanted: 0, exact: true }),
  },
  {
    name: 'cut', what: 'connections are reset at six messages: at three before the server read them, at three after it had written them',
    on: everywhere,
    commit: (proxy, { random }) => atPlaces(proxy, [...places(random, 'up', 3), ...places(random, 'down', 3)], () => 'kill'),
  },
  {
    name: 'no network', what: 'all connections are reset at one message, and new ones until three were tried', on: everywhere,
    commit(proxy, { random }) {
      return atPlaces(proxy, places(random, 'up', 1), () => {
        proxy.cut();
        const until = proxy.refused + 3;
        const watch = setInterval(() => {
          if (proxy.refused < until) return;
          clearInterval(watch);
          proxy.restore();
        }, 5).unref();
        return 'kill';
      });
    },
  },
  {
    name: 'stall', what: 'twice the connection that a message is on passes nothing any more, either way, and stays open', on: everywhere,
    commit(proxy, { random }) {
      const frozen = new Set();
      const fault = atPlaces(proxy, [...places(random, 'up', 1), ...places(random, 'down', 1)], ({ connection }) => {
        frozen.add(connection);
        return NEVER;
      });
      layer(proxy, fault, ({ connection }) => frozen.has(connection) && NEVER);
      return fault;
    },
  },
  {
    name: 'buffer', what: 'responses are held until they have ended, as by a buffering proxy, and WebSockets open and pass nothing',
    on: { websocket: 'stops', sse: 'stops', 'long-polling': 'passes', auto: 'passes' }, ends: 'long-polling',
    commit(proxy) {
      const fault = lasting(1);
      layer(proxy, fault, ({ kind, request, connection }) => {
        if (kind === 'answer' && request.sort === 'poll') fault.count += 1; // the proxy reads answers whole before it passes them
        const held = request.sort === 'stream' ? kind === 'opening' : kind === 'message';
        if (!held) return null;
        if (connection.held !== fault) fault.count += 1;
        connection.held = fault;
        return connection.over.then(() => 'pass');
      });
      return fault;
    },
  },
  {
    name: 'mute WebSocket', what: 'WebSockets open and pass nothing; responses are not touched',
    on: { websocket: 'stops', auto: 'passes' }, ends: 'sse',
    commit(proxy) {
      const fault = lasting(1);
      layer(proxy, fault, ({ kind, connection }) => {
        if (kind !== 'message') return null;
        if (connection.held !== fault) fault.count += 1;
        connection.held = fault;
        return NEVER;
      });
      return fault;
    },
  },
  refused('upgrade 403', 'websocket', '403 Forbidden', 'sse'),
  refused('upgrade 501', 'websocket', '501 Not Implemented', 'sse'),
  {
    name: 'upgrade closed', what: 'a request for a WebSocket is answered by the end of the connection',
    on: { websocket: 'stops', auto: 'passes' }, ends: 'sse',
    commit: (proxy) => answering(proxy, 'websocket', { answer: Buffer.alloc(0), end: true }),
  },
  {
    name: 'POST answer reset', what: 'four times the connection is reset in place of the answer to a POST that the server has processed',
    on: { sse: 'passes', 'long-polling': 'passes', auto: 'passes' }, without: ['websocket'],
    commit: (proxy) => answersOfPosts(proxy, 4, 'kill'),
  },
  {
    name: 'POST answer lost', what: 'twice the answer to a POST that the server has processed never comes, and the connection stays open',
    on: { sse: 'passes', 'long-polling': 'passes', auto: 'passes' }, without: ['websocket'],
    commit: (proxy) => answersOfPosts(proxy, 2, NEVER),
  },
  {
    name: 'poll answer reset', what: 'four times the connection is reset in place of the answer to a poll, with messages in it',
    on: { 'long-polling': 'passes', auto: 'passes' }, without: ['websocket', 'sse'],
    commit: (proxy, { random }) => atPlaces(proxy, places(random, 'down', 4), () => 'kill'),
  },
  {
    name: 'poll answer lost', what: 'once the answer to a poll, with messages in it, never comes, and the connection stays open',
    on: { 'long-polling': 'passes', auto: 'passes' }, without: ['websocket', 'sse'],
    commit: (proxy, { random }) => atPlaces(proxy, places(random, 'down', 1), () => NEVER),
  },
  {
    name: 'reset after N bytes', what: 'twelve connections are reset after 300 to 6,000 bytes, wherever in a message that is', on: everywhere,
    commit(proxy, { random }) {
      const fault = { count: 0, wanted: 12, exact: true };
      layer(proxy, fault, ({ connection, raw }) => {
        if (fault.count >= fault.wanted || connection.reset) return null;
        connection.lasts ??= 300 + Math.floor(random() * 5_700);
        if (connection.bytes + raw.length < connection.lasts) return null;
        connection.reset = true;
        fault.count += 1;
        return { cut: Math.max(0, connection.lasts - connection.bytes) };
      });
      return fault;
    },
  },
  {
    name: 'short life', what: 'four times a WebSocket or an event stream is reset when it has been open for 60 ms',
    on: { websocket: 'passes', sse: 'passes', auto: 'passes' },
    commit(proxy) {
      const fault = { count: 0, wanted: 4, exact: true };
      layer(proxy, fault, ({ kind, connection }) => {
        if (kind === 'opening') {
          setTimeout(() => {
            if (fault.count >= fault.wanted || !proxy.connections.has(connection)) return;
            fault.count += 1;
            connection.kill();
          }, 60);
        }
        return null;
      });
      return fault;
    },
  },
  {
    name: 'HTTP/1.0', what: 'the connection is closed behind each response, none is chunked, and an upgrade is passed on as a plain GET',
    on: { websocket: 'stops', sse: 'passes', 'long-polling': 'passes', auto: 'passes' }, ends: 'sse',
    commit(proxy) {
      const fault = lasting(2);
      layer(proxy, fault, (item) => oldHttp(item, fault));
      return fault;
    },
  },
  refused('no WebSocket', 'websocket', '404 Not Found', 'sse'),
  refused('no event stream', 'sse', '405 Method Not Allowed', 'long-polling', ['websocket']),
  { ...refused('no polls', 'long-polling', '404 Not Found'), on: { 'long-polling': 'stops' } },
];

/** Has `transport` refused for as long as `fault` lasts. */
export function answering(proxy, sort, verdict, fault = lasting(1)) {
  layer(proxy, fault, ({ kind, request }) => {
    if (kind !== 'request' || request.sort !== sort) return null;
    fault.count += 1;
    return verdict;
  });
  return fault;
}

export function block(proxy, transport) {
  return answering(proxy, SORT[transport], { answer: response('404 Not Found') });
}

/** Random numbers that come again with the same seed: mulberry32. */
export function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function refused(name, transport, status, ends, without = []) {
  return {
    name, what: `a request for ${{ websocket: 'a WebSocket', sse: 'an event stream', 'long-polling': 'a poll' }[transport]} is answered with ${status}`,
    on: { [transport]: 'stops', auto: 'passes' }, ends, without,
    commit: (proxy) => answering(proxy, SORT[transport], { answer: response(status, status, { Allow: 'POST' }) }),
  };
}

/** A fault that is there until it is lifted, and must have been met `wanted` times. */
function lasting(wanted) {
  return { count: 0, wanted, exact: false };
}

/** Asks `judge` before whoever was asked up to here, until the fault is lifted. */
function layer(proxy, fault, judge) {
  const before = proxy.judge;
  proxy.judge = (item) => (!fault.lifted && judge(item)) || before(item);
}

/** Numbers of text messages, well before the last ones, which are sent when all faults have happened. */
function places(random, direction, count) {
  const numbers = new Set();
  while (numbers.size < count) numbers.add(10 * (2 + Math.floor(random() * 85)));
  return [...numbers].map((number) => ({ direction, number }));
}

/** The first item that carries the message of a place gets the verdict; what else it carries comes again in a later one. */
function atPlaces(proxy, open, verdict) {
  const fault = { count: 0, wanted: open.length, exact: true };
  layer(proxy, fault, (item) => {
    const place = open.find(({ direction, number }) => item.direction === direction && carries(item, number));
    if (!place) return null;
    open.splice(open.indexOf(place), 1);
    fault.count += 1;
    return verdict(item);
  });
  return fault;
}

/**
 * The first POSTs that bring messages, up to `wanted` of them, are processed by the server, and the answer gets the verdict. They are
 * not told by a message: where the server's count comes over the other way, no one repeats what else was in that body.
 */
function answersOfPosts(proxy, wanted, verdict) {
  const fault = { count: 0, wanted, exact: true };
  const bringing = new Set();
  layer(proxy, fault, ({ kind, connection, request, status, text }) => {
    if (request.sort !== 'post') return null;
    if (kind === 'request') bringing[text.includes('m-') ? 'add' : 'delete'](connection);
    if (kind !== 'answer' || !bringing.has(connection) || fault.count >= wanted) return null;
    if (status !== '204') throw new Error(`the server did not process it: ${status}`);
    fault.count += 1;
    return verdict;
  });
  return fault;
}

/** Whether a message of the trial is in an item, in whichever format. */
function carries({ kind, text }, number) {
  const wanted = label(number);
  if (text.includes(wanted)) return true;
  if (kind !== 'event') return false;
  return [...text.matchAll(/^data: ([A-Za-z0-9+/=]+)$/gm)].some(([, base64]) => Buffer.from(base64, 'base64').includes(wanted));
}

const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade'];

function oldHttp({ kind, request, headers, status, raw, data = '' }, fault) {
  const rest = (extra) => Object.entries({ ...headers, ...extra }).filter(([name]) => !HOP_BY_HOP.includes(name))
    .map(([name, value]) => `${name}: ${value}\r\n`).join('');
  if (kind === 'request') {
    const body = raw.subarray(raw.indexOf('\r\n\r\n') + 4);
    return { as: Buffer.concat([Buffer.from(`${request.method} ${request.path} HTTP/1.1\r\n${rest()}\r\n`, 'latin1'), body]) };
  }
  if (kind === 'event') return data.length ? { as: Buffer.from(data) } : { as: Buffer.alloc(0), end: true };
  fault.count += 1;
  const head = `HTTP/1.0 ${status} -\r\n${rest()}Connection: close\r\n\r\n`;
  if (kind === 'opening') return { as: Buffer.from(head, 'latin1') };
  return { as: Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(data)]), end: true };
}

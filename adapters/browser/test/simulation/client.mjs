// A client of the made-up server, which does at random what applications, pages and networks do; and what must hold, whatever
// that was: every message once and in order, each reply to its question, and a session that is open again when nothing fails.
// Time is virtual, and a seed decides everything: it gives the same run each time.

import { createHash } from 'node:crypto';
import { mock } from 'node:test';
import { internals } from '../internals.mjs';
import { clock, page as pageOf, tick } from '../support.mjs';
import { createServer } from './server.mjs';

const CALM = { least: 70, most: 150 }; // seconds in which everything has to come right when nothing fails any more
const CLOSING = 8; // seconds, more than `closeTimeout`

/** Numbers from 0 to 1 (mulberry32). */
function chance(seed) {
  let state = Math.imul(seed, 2654435761);
  return () => {
    state = (state + 0x6D2B79F5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `forget`: the server forgets sessions. `core`: the client has no parts. Gives what went wrong, what happened, and a digest of that. */
export async function simulate(seed, { forget = false, core = false, connect = core ? internals.connector() : internals.connect } = {}) {
  const problems = [];
  const trace = [];
  const undo = [];
  const uncaught = (error) => problems.push(`uncaught: ${error?.stack ?? error}`);
  for (const type of ['uncaughtException', 'unhandledRejection']) {
    process.on(type, uncaught);
    undo.push(() => process.off(type, uncaught));
  }
  clock();
  const began = Date.now();
  const random = chance(seed);
  mock.method(Math, 'random', random);
  try {
    await walk({
      connect, forget, core,
      dice: (sides) => Math.floor(random() * sides),
      record: (...what) => trace.push(`${Date.now() - began} ${what.join(' ')}`),
      problem: (what) => problems.push(what),
      page: pageOf({ after: (work) => undo.push(work) }),
    });
  } catch (error) {
    uncaught(error);
  }
  await new Promise(setImmediate); // the platform tells now of errors that nobody caught
  mock.timers.reset();
  mock.restoreAll();
  for (const work of undo) work();
  return { problems, trace, digest: createHash('sha256').update(trace.join('\n')).digest('hex') };
}

async function walk({ connect, forget, core, dice, record, problem, page }) {
  const server = createServer({ dice, record, problem });
  const soon = () => new Promise((resolve) => server.later(resolve));
  const socket = connect('http://chat.test/simulated', {
    WebSocket: server.WebSocket, window: { messages: 2 + dice(6) }, queue: { messages: 1e5 },
    token: dice(2) ? () => soon().then(() => 'me') : undefined,
    ...(!core && { fetch: server.fetch, remember: false, tabs: false, requestTimeout: 1e9 }),
  });
  const sent = []; // all that the client sent
  const pushed = []; // all that the server sent, beside replies
  const heard = []; // of that, what the application got
  const unknown = new Set(); // what `lost` handed back
  let lost = false;
  let questions = 0;
  let replies = 0;

  for (const type of ['statechange', 'open', 'reopen', 'move', 'reconnect', 'transportfailure', 'clienttimeout', 'lost', 'close']) {
    socket.addEventListener(type, ({ state = '', transport = '', reason = '' }) => record('event', type, state, transport, reason));
  }
  socket.addEventListener('error', ({ error }) => problem(`error: ${error}`));
  socket.addEventListener('transportfailure', ({ reason }) => {
    if (reason.startsWith('protocol fault')) problem(`${reason}, and the server keeps to the protocol`);
  });
  socket.addEventListener('lost', (event) => {
    lost = true;
    if (!forget && event.code !== internals.Code.Expired) problem(`a session is lost: ${event.reason}`);
    for (const { data } of event.unknown) unknown.add(data);
  });

  // It has listeners, or loops, each of which takes some messages.
  const iterates = dice(2) > 0 && !core;
  let looping = false;
  const loop = async () => {
    if (!iterates || looping) return;
    looping = true;
    let left = 1 + dice(5);
    for await (const data of socket) {
      heard.push(data);
      if (dice(3) === 0) await soon();
      if (!--left) break;
    }
    looping = false;
  };
  if (!iterates) socket.onmessage = ({ data }) => heard.push(data);

  const say = () => {
    const text = `c${sent.length}`;
    sent.push(text);
    return text;
  };
  const some = (work) => { for (let times = 1 + dice(4); times; times -= 1) work(); };
  const live = () => server.session(socket.session);

  const send = () => some(() => socket.send(say()));
  const push = () => live() && some(() => {
    pushed.push(`s${pushed.length}`);
    server.send(live(), pushed.at(-1));
  });
  const ask = () => {
    questions += 1;
    const text = say();
    socket.request(text).then((reply) => {
      replies += 1;
      if (reply !== text) problem(`${reply} is the reply to ${text}`);
    }, (error) => lost || problem(`a request failed: ${error}`));
  };
  const freeze = async () => { // as a page does that the browser keeps for its back button
    if (dice(3)) return;
    page('pagehide', true);
    await tick(1);
    page('pageshow', true);
  };
  const acts = [
    send, send, send, push, push, push, core ? send : ask, freeze, server.breaks, server.filter, core ? push : socket.climb, socket.ping,
    () => page('online'), () => dice(2) && page('offline'),
    () => forget && dice(15) === 0 && live() && server.forget(live()),
  ];

  for (let steps = 30 + dice(120); steps; steps -= 1) {
    const act = acts[dice(acts.length)];
    record('act', acts.indexOf(act));
    const done = act();
    if (act === freeze) await done;
    void loop();
    for (let ticks = 1 + dice(3); ticks; ticks -= 1) await tick(dice(5) ? 1 + dice(100) : dice(6000));
  }

  server.heal();
  const settled = () => !socket.waiting && live()?.acknowledged === live()?.messages.length;
  for (let time = 0; time < 10 * CALM.most && !(time > 10 * CALM.least && settled()); time += 1) {
    await tick(100);
    void loop();
  }
  if (socket.state !== 'open') problem(`it is ${socket.state} when nothing fails`);
  if (socket.waiting) problem(`${socket.waiting} messages wait when nothing fails`);
  const arrived = [...server.sessions.values()].flatMap((session) => session.arrived);
  if (lost) {
    inOrder('to the client', heard);
    inOrder('to the server', arrived);
    for (const text of sent) if (!arrived.includes(text) && !unknown.has(text)) problem(`${text} vanished`);
  } else {
    same('to the client', heard, pushed);
    same('to the server', arrived, sent);
    if (replies !== questions) problem(`${replies} replies to ${questions} questions`);
  }
  socket.close();
  for (let time = 0; time < 10 * CLOSING; time += 1) await tick(100);
  if (socket.state !== 'closed') problem(`it is ${socket.state} after close()`);
  server.end();

  function same(where, got, expected) {
    const index = expected.findIndex((text, at) => text !== got[at]);
    if (index >= 0) problem(`${where}: ${got[index]} instead of ${expected[index]}`);
    else if (got.length > expected.length) problem(`${where}: ${got[expected.length]} more than was sent`);
  }

  /** With gaps, since a session was lost; but nothing twice. */
  function inOrder(where, got) {
    const numbers = got.map((text) => Number(text.slice(1)));
    numbers.forEach((number, at) => number > (numbers[at - 1] ?? -1) || problem(`${where}: ${got[at]} after ${got[at - 1]}`));
  }
}

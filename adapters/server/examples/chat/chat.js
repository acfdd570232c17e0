// The chat page. It knows the client's events and the document; the protocol is in nosphere.js.

import { Client } from './nosphere.js';

const TRANSPORTS = [
  { name: 'websocket', title: 'WebSocket', supported: 'WebSocket' in window },
  { name: 'sse', title: 'SSE', long: 'Server-sent events', supported: 'ReadableStream' in window && 'TextDecoder' in window },
  { name: 'long-polling', title: 'Long-polling', supported: 'fetch' in window },
];
const LINES = 1000; // what the list keeps

const query = new URLSearchParams(location.search);
const forced = TRANSPORTS.find(({ name }) => name === query.get('transport'))?.name;
const client = new Client('/the-chat', {
  transport: forced,
  ...(query.has('climb') && { climbAfter: Number(query.get('climb')) }), // milliseconds until WebSocket is tried again
});

/** For tests and the console: the client, every message that arrived, and what happened to the connection, in order. */
window.chat = { client, received: [], events: [] };
for (const type of ['connected', 'suspended', 'resumed', 'moved', 'failed', 'disconnected', 'refused']) {
  client.addEventListener(type, ({ detail }) => window.chat.events.push({ type, ...detail }));
}

let name = null;
let pinned = true; // the list shows its end
let scrolling;
let failed = new Set();
const deliveries = new Map(); // our messages that wait for the server, and the marks that show it

const $ = (id) => document.getElementById(id);
const titleOf = (transport) => TRANSPORTS.find(({ name }) => name === transport)?.title ?? transport;

// --- what the client reports -----------------------------------------------------------------------------------------

const on = (type, listener) => client.addEventListener(type, ({ detail }) => listener(detail));

on('message', ({ kind, value }) => {
  window.chat.received.push(kind === 'json' ? value : { [kind]: value });
  if (kind === 'binary') return notice(`${value.length} bytes of binary data`);
  if (kind === 'text') return notice(value);
  const { author, message, time } = value ?? {};
  if (author === undefined || message === undefined) return notice(JSON.stringify(value));
  if (author === 'system') return notice(message, time);
  if (['joined the room', 'has left the room'].includes(message)) return notice(`${author} ${message}`, time);
  say({ author, message, time });
});
on('error', ({ error }) => notice(`A message could not be read: ${error}`));

on('connected', ({ transport }) => {
  failed.delete(transport);
  notice(`Connected using ${titleOf(transport)}`);
});
on('moved', ({ transport }) => {
  failed.delete(transport);
  notice(`Moved to ${titleOf(transport)}, in the same session`);
});
on('suspended', () => notice('Connection lost. What you write now is sent later.'));
on('resumed', ({ transport }) => {
  failed.delete(transport);
  notice(`Back again using ${titleOf(transport)}. Nothing was lost.`);
});
on('failed', ({ transport }) => {
  if (client.state !== 'open') failed.add(transport);
  show();
});
on('disconnected', ({ by, reason, unknown, unsent, reopens }) => {
  for (const message of unknown) mark(message, 'unknown', 'may not have arrived');
  if (reopens) {
    notice('The server has forgotten this session. A new one begins.');
    for (const message of unsent) resend(message);
  } else {
    for (const message of unsent) mark(message, 'unknown', 'not sent');
    notice(by === 'client' ? 'You have left the room.' : `The ${by} ended the session${reason && `: ${reason}`}`);
  }
});
on('refused', ({ reason }) => notice(`The server refuses: ${reason}`));
on('acknowledged', ({ messages }) => messages.forEach((message) => mark(message, 'taken', 'delivered')));
on('state', show);

// --- what the user does ----------------------------------------------------------------------------------------------

$('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $('input').value.trim();
  if (!text) return;
  try {
    if (name === null) introduce(text);
    else send({ author: name, message: text });
    $('input').value = '';
  } catch (error) {
    notice(`Not sent: ${error.message}`);
  }
});

$('leave').addEventListener('click', () => {
  if (client.state !== 'closed') return client.close();
  client.open();
  $('input').focus();
});

$('newer').addEventListener('click', () => scrollToEnd());
let last = 0;
$('messages').addEventListener('scroll', () => {
  const { scrollHeight, scrollTop, clientHeight } = $('messages');
  const atEnd = scrollHeight - scrollTop - clientHeight < 60;
  if (atEnd || scrollTop < last) pinned = atEnd; // only who scrolls up leaves the end: lines are added before it moves
  if (pinned) $('newer').hidden = true;
  last = scrollTop;
}, { passive: true });
new ResizeObserver(() => pinned && scrollToEnd()).observe($('messages')); // a keyboard on the screen, for one

addEventListener('pagehide', () => client.close({ now: true }));
addEventListener('pageshow', ({ persisted }) => persisted && client.open());

function introduce(text) {
  client.json({ author: text, message: text });
  askLater();
  name = text;
  notice(`You are now known as: ${name}`);
  $('label').textContent = `Message as ${name}`;
  $('input').placeholder = 'Write a message';
  $('input').maxLength = 4000;
  $('send').setAttribute('aria-label', 'Send');
}

function send(content) {
  const message = client.json(content);
  deliveries.set(message, say({ ...content, time: Date.now(), own: true }));
  mark(message, 'queued', 'waiting');
  askLater();
}

function resend(message) {
  const line = deliveries.get(message);
  deliveries.delete(message);
  deliveries.set(client.json(message.data), line);
}

/** The server acknowledges now and then; pings ask for it, so that the marks of the last messages settle too. */
let asking;
function askLater(delay = 300) {
  asking ??= setTimeout(() => {
    asking = undefined;
    if (!client.waiting) return;
    if (client.state === 'open') client.ping();
    askLater(Math.min(2 * delay, 5000)); // the handler may not have taken all of them yet
  }, delay);
}

// --- the document ----------------------------------------------------------------------------------------------------

function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text; // never markup: what others write is text
  return node;
}

function clock(time) {
  const date = new Date(Number(time ?? Date.now()));
  const node = element('time', '', '');
  if (Number.isNaN(date.valueOf())) return node;
  node.dateTime = date.toISOString();
  node.textContent = [date.getHours(), date.getMinutes()].map((part) => String(part).padStart(2, '0')).join(':');
  return node;
}

function notice(text, time) {
  const line = element('li', 'notice', `${text} `);
  line.append(clock(time));
  add(line);
}

function say({ author, message, time, own = author === name }) {
  const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value));
  const line = element('li', own ? 'message own' : 'message');
  const previous = $('messages').lastElementChild;
  if (previous?.dataset.author === text(author) && previous.classList.contains('own') === own) line.classList.add('follows');
  line.dataset.author = text(author);
  line.style.setProperty('--hue', hue(text(author)));
  const meta = element('span', 'meta');
  meta.append(clock(time));
  const bubble = element('div', 'bubble');
  const body = element('div', 'body');
  body.append(element('span', 'text', text(message)), meta);
  bubble.append(element('div', 'author', text(author)), body);
  line.append(bubble);
  add(line);
  return line;
}

function mark(message, state, label) {
  const line = deliveries.get(message);
  if (state !== 'queued') deliveries.delete(message);
  if (!line) return;
  let sign = line.querySelector('.delivery');
  if (!sign) line.querySelector('.meta').append((sign = element('span', 'delivery')));
  sign.setAttribute('role', 'img');
  sign.dataset.state = state;
  sign.textContent = { queued: '…', taken: '✓', unknown: label }[state];
  sign.setAttribute('aria-label', label);
  if (state !== 'unknown') return;
  const again = element('button', 'again', 'Send again');
  again.type = 'button';
  again.addEventListener('click', () => {
    again.remove();
    line.querySelector('.delivery').remove();
    deliveries.set(client.json(message.data), line);
    askLater();
  });
  line.querySelector('.bubble').append(again);
}

function add(line) {
  const list = $('messages');
  list.append(line);
  while (list.childElementCount > LINES) list.firstElementChild.remove();
  if (line.classList.contains('own')) pinned = true;
  scrolling ??= requestAnimationFrame(() => { // once for many lines
    scrolling = undefined;
    if (pinned) scrollToEnd();
    else $('newer').hidden = false;
  });
}

function scrollToEnd() {
  pinned = true;
  $('messages').scrollTop = $('messages').scrollHeight;
  $('newer').hidden = true;
}

/** A colour of its own for each author. */
function hue(author) {
  let hash = 7;
  for (const character of author) hash = (hash * 31 + character.codePointAt(0)) % 3600;
  return String(hash / 10);
}

function show() {
  const { state, transport } = client;
  const title = titleOf(transport);
  $('status').dataset.state = state;
  $('status-text').textContent = {
    idle: 'Starting', connecting: `Connecting · ${title}`, open: `Connected · ${title}`,
    suspended: navigator.onLine ? `Reconnecting · ${title}` : 'Offline, waiting',
    closing: 'Leaving…', closed: 'Not connected',
  }[state];
  $('leave').textContent = state === 'closed' ? 'Join again' : 'Leave';
  $('leave').disabled = state === 'closing';
  for (const part of [$('input'), $('send')]) part.disabled = state === 'closed' || state === 'closing';
  $('transports').replaceChildren(...TRANSPORTS.map(({ name, title, long = title, supported }) => {
    const item = element('li');
    const link = element('a');
    link.append(element('span', 'long', long), element('span', 'short', title));
    const used = name === transport && ['open', 'closing'].includes(state);
    const tried = name === transport && ['connecting', 'suspended'].includes(state);
    item.dataset.transport = name;
    item.dataset.state = !supported ? 'unsupported' : used ? 'used' : tried ? 'tried' : failed.has(name) ? 'failed' : 'ready';
    link.href = `?transport=${name}`;
    if (name === forced) link.setAttribute('aria-current', 'true');
    link.append(element('span', 'note', {
      used: 'in use', tried: 'trying', failed: 'failed', ready: 'supported', unsupported: 'not supported',
    }[item.dataset.state]));
    item.append(link);
    return item;
  }));
  $('hint').replaceChildren();
  if (forced) {
    const automatic = element('a', '', 'Choose automatically');
    automatic.href = '/';
    $('hint').append(`Only ${titleOf(forced)} is used here. `, automatic);
  } else $('hint').append('The best one that works is chosen. Pick one to use nothing else.');
}

show();
client.open();
if (matchMedia('(hover: hover)').matches) $('input').focus();

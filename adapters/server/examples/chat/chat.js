// The chat page. It knows the events of a nosphere socket and the document; the protocol is in /nosphere.js.

const { connect } = window.nosphere;
const TRANSPORTS = [
  { name: 'websocket', title: 'WebSocket' },
  { name: 'sse', title: 'SSE', long: 'Server-sent events' },
  { name: 'long-polling', title: 'Long-polling' },
];
const LINES = 1000; // what the list keeps

const query = new URLSearchParams(location.search);
const only = (query.get('transport') ?? '').split(',').filter((wanted) => TRANSPORTS.some(({ name }) => name === wanted));
const forced = only.length === 1 ? only[0] : undefined;
const options = {
  ...(only.length && { transports: only }),
  ...(query.has('climb') && { climbAfter: Number(query.get('climb')) }), // milliseconds until a better transport is tried
};

let socket;
let name = null;
let pinned = true; // the list shows its end
let scrolling;
const deliveries = new Map(); // our messages that wait for the server, and the marks that show it

/** For tests and the console: the socket, every message that arrived, and what happened to the connection, in order. */
window.chat = { get client() { return socket; }, received: [], events: [], local: [] };

const $ = (id) => document.getElementById(id);
const titleOf = (transport) => TRANSPORTS.find(({ name }) => name === transport)?.title ?? transport;

// --- what the socket reports -----------------------------------------------------------------------------------------

function join() {
  socket = connect('/the-chat', options);
  const logged = (type, { state, session, transport, reason, code, by, unknown, unsent }) => {
    window.chat.events.push({ type, state, session, transport, reason, code, by, unknown, unsent });
  };
  for (const type of ['open', 'reconnect', 'reopen', 'move', 'transportfailure', 'lost', 'close']) {
    socket.addEventListener(type, (event) => logged(type, event));
  }

  socket.onmessage = ({ data, kind }) => {
    window.chat.received.push(kind === 'json' ? data : { [kind]: data });
    if (kind === 'binary') return notice(`${data.length} bytes of binary data`);
    if (kind === 'text') return notice(data);
    const { author, message, time } = data ?? {};
    if (author === undefined || message === undefined) return notice(JSON.stringify(data));
    if (author === 'system') return notice(message, time);
    if (['joined the room', 'has left the room'].includes(message)) return notice(`${author} ${message}`, time);
    say({ author, message, time });
  };
  socket.onerror = ({ error, message }) => {
    if (message) mark(message, 'unknown', 'not sent');
    notice(`A message could not be ${message ? 'sent' : 'read'}: ${error.message}`);
  };
  socket.onopen = ({ transport }) => {
    notice(`Connected using ${titleOf(transport)}`);
    askLater(); // for what was sent before
  };
  socket.onmove = ({ transport }) => notice(`Moved to ${titleOf(transport)}, in the same session`);
  socket.onreopen = ({ transport }) => notice(`Back again using ${titleOf(transport)}. Nothing was lost.`);
  socket.ontransportfailure = ({ transport, reason }) => {
    if (socket.state === 'connecting') notice(`${titleOf(transport)} failed: ${reason}`);
    show();
  };
  socket.onlost = ({ unknown }) => {
    for (const message of unknown) mark(message, 'unknown', 'may not have arrived');
    notice('The server has forgotten this session. A new one begins.');
  };
  socket.onclose = ({ by, reason, unknown, unsent }) => {
    for (const message of unknown) mark(message, 'unknown', 'may not have arrived');
    for (const message of unsent) mark(message, 'unknown', 'not sent');
    notice(by === 'client' ? 'You have left the room.' : `The ${by} ended the session${reason && `: ${reason}`}`);
    show();
  };
  socket.onacknowledged = ({ messages }) => messages.forEach((message) => mark(message, 'taken', 'delivered'));
  socket.onstatechange = ({ state, transport }) => {
    if (state === 'suspended') {
      logged('suspended', { transport });
      notice('Connection lost. What you write now is sent later.');
    }
    show();
  };
  // The other tabs of this browser say who they are.
  socket.onlocalmessage = ({ data }) => {
    window.chat.local.push(data);
    if (typeof data?.name === 'string') notice(`In another tab you are known as: ${data.name}`);
  };
}

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
  if (socket.state !== 'closed') return socket.close();
  join();
  show();
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


function introduce(text) {
  socket.send({ author: text, message: text });
  askLater();
  name = text;
  notice(`You are now known as: ${name}`);
  socket.local({ name });
  $('label').textContent = `Message as ${name}`;
  $('input').placeholder = 'Write a message';
  $('input').maxLength = 4000;
  $('send').setAttribute('aria-label', 'Send');
}

function send(content) {
  const message = socket.send(content);
  deliveries.set(message, say({ ...content, time: Date.now(), own: true }));
  mark(message, 'queued', 'waiting');
  askLater();
}

/** The server acknowledges now and then; pings ask for it, so that the marks of the last messages settle too. */
let asking;
function askLater(delay = 300) {
  asking ??= setTimeout(() => {
    asking = undefined;
    if (!socket.waiting) return;
    if (socket.state === 'open') socket.ping();
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
    try {
      const sent = socket.send(message.data);
      deliveries.set(sent, line);
      again.remove();
      mark(sent, 'queued', 'waiting');
      askLater();
    } catch (error) {
      notice(`Not sent: ${error.message}`);
    }
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
  const { state, transport } = socket;
  const title = titleOf(transport);
  $('status').dataset.state = state;
  $('status-text').textContent = {
    connecting: `Connecting · ${title}`, open: `Connected · ${title}`,
    suspended: navigator.onLine ? `Reconnecting · ${title}` : 'Offline, waiting',
    closing: 'Leaving…', closed: 'Not connected',
  }[state];
  $('leave').textContent = state === 'closed' ? 'Join again' : 'Leave';
  $('leave').disabled = state === 'closing';
  for (const part of [$('input'), $('send')]) part.disabled = state === 'closed' || state === 'closing';
  $('transports').replaceChildren(...TRANSPORTS.map(({ name, title, long = title }) => {
    const known = socket.transports.find((one) => one.transport === name);
    const item = element('li');
    const link = element('a');
    link.append(element('span', 'long', long), element('span', 'short', title));
    const current = name === transport;
    const used = current && ['open', 'closing'].includes(state);
    const tried = current && ['connecting', 'suspended'].includes(state);
    item.dataset.transport = name;
    item.dataset.state = known && !known.browser ? 'unsupported' : used ? 'used' : tried ? 'tried' : known?.state === 'failed' ? 'failed' : 'ready';
    link.href = `?transport=${name}`;
    if (name === forced) link.setAttribute('aria-current', 'true');
    link.append(element('span', 'note', {
      used: 'in use', tried: 'trying', failed: 'failed', unsupported: 'not supported',
      ready: known?.state === 'works' ? 'works' : 'supported',
    }[item.dataset.state]));
    if (item.dataset.state === 'failed' && known.reason) link.append(element('span', 'reason', known.reason));
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

join();
show();
addEventListener('online', show);
addEventListener('offline', show);
if (matchMedia('(hover: hover)').matches) $('input').focus();

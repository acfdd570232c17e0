// What parts do beside each other and without each other, in virtual time.

import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { internals, load } from './internals.mjs';
import { FakeSocket, GRANT, clock, fakeFetch, page, storage, tick, turn, until } from './support.mjs';

const URL = 'http://chat.test/the-chat';

beforeEach(clock);

test('a part that is named twice does its work once', async () => {
  const { connector, http, iteration, requests } = internals;
  const { fetch } = fakeFetch();
  const socket = connector(requests, iteration, http, requests, iteration, http)(URL, { WebSocket: FakeSocket, fetch });
  let asked = 0;
  socket.onrequest = () => `answer ${asked += 1}`;
  await turn();
  FakeSocket.last.grants();
  FakeSocket.last.brings({ request: 1, text: 'q' });
  await turn();
  assert.deepEqual(FakeSocket.last.sent.filter(({ reply }) => reply), [{ reply: 1, text: 'answer 1' }]);
  socket.close();
});

test('without climbing, what failed once is tried again with each connection and on each page: there is no other way back', async (t) => {
  const store = storage(t, 'localStorage');
  for (const parts of [['http'], ['http', 'climbing'], ['climbing', 'http']]) {
    const tried = [];
    for (let visit = 0; visit < 3; visit += 1) {
      const { connector, ...all } = await load();
      const { fetch, requests } = fakeFetch();
      const before = FakeSocket.all.length;
      const socket = connector(...parts.map((part) => all[part]))(URL, {
        WebSocket: FakeSocket, fetch, transports: ['websocket', 'long-polling'],
      });
      await turn();
      tried.push(FakeSocket.all.length - before);
      if (tried.at(-1)) FakeSocket.last.fails();
      await turn();
      requests[0].answer(200, {}, JSON.stringify({ opened: GRANT }));
      await until(() => socket.state === 'open');
      assert.deepEqual([socket.state, socket.transport], ['open', 'long-polling']);
      socket.close();
    }
    assert.deepEqual(tried, parts.length === 1 ? [1, 1, 1] : [1, 0, 0], `${parts}`);
    for (const name of Object.keys(store)) delete store[name];
  }
  const { connector, http } = internals;
  assert.throws(() => connector(http)(URL, { fetch: null, WebSocket: FakeSocket, remember: true }), { message: 'no part has the option remember' });
});

test('a socket that was refused for an option leaves the session that its page kept to the next one', async (t) => {
  const happens = page(t);
  const store = storage(t, 'sessionStorage');
  const { connector, reloading } = await load();
  const kept = connector(reloading)(URL, { WebSocket: FakeSocket, resume: true });
  await turn();
  FakeSocket.last.grants();
  const { session } = kept;
  happens('pagehide');
  assert.equal(Object.keys(store).length, 1);
  const next = await load();
  const sockets = FakeSocket.all.length;
  const connect = next.connector(next.reloading);
  const misspelt = { WebSocket: FakeSocket, resume: true, climbAfter: 0 };
  assert.throws(() => connect(URL, misspelt), { name: 'TypeError', message: 'no part has the option climbAfter' });
  await tick(10_000);
  assert.deepEqual([FakeSocket.all.length, Object.keys(store).length], [sockets, 1]);
  assert.equal(connect(URL, { WebSocket: FakeSocket, resume: true }).session, session);
});

test('a server that says of a session that somebody else has it gets a new one, with reloading and without', async () => {
  const { connector, reloading } = internals;
  for (const connect of [connector(), connector(reloading)]) {
    const socket = connect(URL, { WebSocket: FakeSocket });
    const ends = [];
    for (const type of ['lost', 'close']) socket.addEventListener(type, ({ code }) => ends.push([type, code]));
    await turn();
    FakeSocket.last.grants();
    FakeSocket.last.brings({ close: { code: 4409, reason: '', received: 0 } });
    await turn();
    assert.deepEqual(ends, [['lost', 4409]]);
    socket.close();
  }
});

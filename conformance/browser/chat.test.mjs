// The chat example as people use it: three transports, lost networks, phones, hostile messages.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Visitor, assertAllHeardAll, lines, startBrowser, startChat, startProxy } from './harness.mjs';

const TRANSPORTS = ['websocket', 'sse', 'long-polling'];
const PHONE = { viewport: { width: 375, height: 667 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

let browser;
before(async () => { browser = await startBrowser(); });
after(() => browser?.close());

const enter = (t, url, name, options) => Visitor.enter(t, browser, url, name, options);

test('three pages on three transports: every message of each reaches the two others once and in order', async (t) => {
  const { url } = await startChat(t);
  const visitors = [];
  for (const transport of TRANSPORTS) visitors.push(await enter(t, url, transport, { transport }));
  await visitors[0].screenshot('three-transports-start');
  await Promise.all(visitors.map((visitor) => visitor.say(...lines(visitor.name, 1, 300)))); // more than a window
  await assertAllHeardAll(...visitors);
  for (const [index, visitor] of visitors.entries()) {
    assert.equal(await visitor.transport, TRANSPORTS[index]);
    assert.equal(await visitor.count('suspended'), 0);
    await visitor.screenshot(`three-transports-${TRANSPORTS[index]}`);
  }
});

for (const transport of TRANSPORTS) {
  test(`${transport}: nothing is lost or doubled over offline mode and killed connections, and the page says where it is`, async (t) => {
    const server = await startChat(t);
    const proxy = await startProxy(t, server);
    const ada = await enter(t, proxy.url, 'Ada', { transport });
    const others = [await enter(t, server.url, 'Bela'), await enter(t, server.url, 'Cy', { transport: 'sse' })];

    await ada.say(...lines('a', 1, 10));
    await ada.context.setOffline(true);
    await ada.reaches('suspended');
    for (const other of others) await other.say(...lines(other.name, 1, 20));
    await ada.say(...lines('a', 11, 20));
    assert.match(await ada.page.textContent('#status'), /offline/i);
    assert.equal(await ada.page.locator('.delivery[data-state=queued]').count() >= 10, true, 'what waits is marked');
    await ada.screenshot(`offline-${transport}`);
    await ada.context.setOffline(false);
    await ada.reaches('open');

    assert.ok(proxy.cut() > 0, 'a TCP connection was killed');
    await ada.reaches('suspended');
    await Promise.all([ada.say(...lines('a', 21, 30)), ...others.map((other) => other.say(...lines(other.name, 21, 40)))]);
    proxy.restore();
    await ada.reaches('open');
    assert.match(await ada.page.textContent('#status'), /^Connected/);

    await assertAllHeardAll(ada, ...others);
    assert.equal(await ada.count('open'), 1, 'one session all along');
    assert.equal(await ada.count('reopen'), await ada.count('suspended'));
    assert.ok(await ada.count('reopen') >= 2);
    await ada.page.waitForFunction(() => !document.querySelector('.delivery:not([data-state=taken])'));
    await ada.screenshot(`restored-${transport}`);
  });
}

test('a transport that cannot be opened is replaced by the next: SSE where WebSocket fails, polls where both fail', async (t) => {
  const server = await startChat(t);
  for (const [blocked, expected] of [[['websocket'], 'sse'], [['websocket', 'stream'], 'long-polling']]) {
    const proxy = await startProxy(t, server);
    let refused = 0;
    proxy.judge = ({ request }) => (blocked.includes(request.sort) ? (refused += 1, 'kill') : 'pass');
    const ada = await enter(t, proxy.url, 'Ada', { query: { climb: 0 } });
    assert.equal(await ada.transport, expected);
    assert.ok(refused >= blocked.length, 'the proxy was asked for what it refuses');
    assert.equal(await ada.page.getAttribute('[data-transport=websocket]', 'data-state'), 'failed');
    await ada.screenshot(`fallback-${expected}`);
  }
});

test('a page that fell back climbs to WebSocket by itself, in the same session', async (t) => {
  const server = await startChat(t);
  const proxy = await startProxy(t, server);
  let blocked = true;
  proxy.judge = ({ request }) => (blocked && request.sort === 'websocket' ? 'kill' : 'pass');
  const ada = await enter(t, proxy.url, 'Ada', { query: { climb: 200 } });
  const bela = await enter(t, server.url, 'Bela');
  const session = await ada.page.evaluate(() => window.chat.client.session);
  assert.equal(await ada.transport, 'sse');
  await Promise.all([ada.say(...lines('a', 1, 50)), bela.say(...lines('b', 1, 50))]);
  blocked = false;
  await ada.uses('websocket');
  assert.equal(await ada.page.evaluate(() => window.chat.client.session), session);
  assert.equal(await ada.count('suspended'), 0, 'the old link served until the new one was there');
  assert.equal(await ada.count('move'), 1);
  await assertAllHeardAll(ada, bela);
});

test('a forced transport is the only one ever used', async (t) => {
  const server = await startChat(t);
  const sorts = { websocket: ['websocket'], sse: ['stream', 'post'], 'long-polling': ['poll', 'post'] };
  for (const transport of TRANSPORTS) {
    const proxy = await startProxy(t, server);
    const seen = new Set();
    proxy.judge = ({ request }) => (seen.add(request.sort), 'pass');
    const ada = await enter(t, proxy.url, 'Ada', { transport, query: { climb: 1 } });
    const bela = await enter(t, server.url, 'Bela');
    proxy.kill();
    await assertAllHeardAll(ada, bela);
    assert.equal(await ada.page.getAttribute(`[data-transport=${transport}]`, 'data-state'), 'used');
    seen.delete('page');
    assert.deepEqual([...seen].sort(), [...sorts[transport]].sort());
    await ada.context.close();
    await bela.context.close();
  }
});

test('the other tabs of a browser hear the name that one of them got, and nobody else does', async (t) => {
  const { url } = await startChat(t);
  const ada = await enter(t, url, null);
  const tab = await ada.context.newPage();
  await tab.goto(url);
  await tab.waitForFunction(() => window.chat?.client.state === 'open');
  const bela = await enter(t, url, null);
  await ada.say('Ada');
  await tab.waitForFunction(() => document.getElementById('messages').textContent.includes('In another tab you are known as: Ada'));
  assert.deepEqual(await tab.evaluate(() => window.chat.local), [{ name: 'Ada' }]);
  await bela.sees('Ada'); // what it said to the room came
  for (const { page } of [ada, bela]) assert.deepEqual(await page.evaluate(() => window.chat.local), []);
});

test('markup in names and messages stays text', async (t) => {
  const { url } = await startChat(t);
  const evil = '<img src=x onerror="window.owned = 1"><script>window.owned = 1</script>';
  const ada = await enter(t, url, '<b>Ada</b>');
  const bela = await enter(t, url, 'Bela');
  await ada.say(evil, '&lt;b&gt;', '"\'`</li>');
  await bela.say('</script><script>window.owned = 1</script>');
  await assertAllHeardAll(ada, bela);
  for (const { page } of [ada, bela]) {
    assert.equal(await page.evaluate(() => window.owned), undefined);
    assert.equal(await page.locator('#messages :is(img, script, b)').count(), 0);
  }
  assert.ok((await bela.page.locator('.message:not(.own) .text').allTextContents()).includes(evil));
  assert.ok((await ada.page.locator('.message.own .text').allTextContents()).includes(evil));
  assert.equal(await bela.page.locator('.message:not(.own) .author').first().textContent(), '<b>Ada</b>');
  await bela.screenshot('markup');
});

test('the first Enter gives the name, and messages before it are shown; a text that is no JSON is refused by the server', async (t) => {
  const { url } = await startChat(t);
  const ada = await enter(t, url, 'Ada');
  const bela = await enter(t, url, null);
  await ada.sees('Someone joined the room');
  await ada.say('before the name');
  await bela.sees('before the name');
  const { page } = bela;
  assert.equal(await page.getByLabel('What is your name?').count(), 1);
  await page.getByLabel('What is your name?').fill('Bela');
  await page.keyboard.press('Enter');
  await bela.sees('You are now known as: Bela');
  assert.equal(await page.getByLabel('Message as Bela').inputValue(), '');
  await page.keyboard.type('hello');
  await page.keyboard.press('Enter');
  await ada.sees('hello');
  const own = page.locator('.message.own', { hasText: 'hello' });
  assert.equal(await own.count(), 1, 'shown once, though the server does not echo');
  assert.match(await own.locator('time').textContent(), /^\d\d:\d\d$/);
  await page.evaluate(() => window.chat.client.send('no json'));
  await bela.sees('Only json is allowed');
  const [first] = await page.evaluate(() => window.chat.received.filter(({ author }) => author === 'Ada'));
  assert.match(first.time, /^\d{13}$/);
});

for (const transport of TRANSPORTS) {
  test(`${transport}: the others are told when someone leaves, by the button or by closing the page, and only then`, async (t) => {
    const { url } = await startChat(t);
    const ada = await enter(t, url, 'Ada');
    const left = (times) => ada.page.waitForFunction(
      (wanted) => window.chat.received.filter(({ message }) => message === 'has left the room').length === wanted, times,
    );
    const bela = await enter(t, url, 'Bela', { transport });
    await bela.say('bye');
    await bela.page.getByRole('button', { name: 'Leave' }).click();
    await bela.reaches('closed');
    await left(1);
    assert.deepEqual((await ada.heard('Bela')).received, ['bye']);
    assert.match(await bela.page.textContent('#status'), /not connected/i);
    await bela.page.getByRole('button', { name: 'Join again' }).click();
    await bela.reaches('open');
    assert.equal(await bela.count('open'), 2);

    await bela.say('closing the tab');
    await bela.page.close({ runBeforeUnload: true });
    await left(2);
    assert.deepEqual((await ada.heard('Bela')).received, ['bye', 'closing the tab']);
  });
}

test('a server that lost the session: the page reports what may not have arrived, opens a new one, and sends what was not sent', async (t) => {
  const first = await startChat(t);
  const proxy = await startProxy(t, first);
  const ada = await enter(t, proxy.url, 'Ada', { transport: 'websocket' });
  await ada.settles();
  const swallowed = proxy.fault(({ direction, text }) => direction === 'up' && text.includes('perhaps'), 'drop');
  await ada.say('perhaps');
  await swallowed;
  proxy.cut();
  await ada.reaches('suspended');
  await ada.say('later');
  await first.stop('SIGKILL');

  const second = await startChat(t);
  const bela = await enter(t, second.url, 'Bela');
  proxy.target(second.url);
  proxy.restore();
  await ada.page.waitForFunction(() => window.chat.events.filter(({ type }) => type === 'open').length === 2);
  await bela.sees('later');
  assert.deepEqual(await ada.page.evaluate(() => window.chat.events.filter(({ type }) => ['lost', 'close'].includes(type))
    .map(({ type, code, unknown }) => ({ type, code, unknown: unknown.map(({ data }) => data.message) }))), [{ type: 'lost', code: 4410, unknown: ['perhaps'] }]);
  await ada.sees('may not have arrived');
  await ada.screenshot('new-session');
  await ada.page.getByRole('button', { name: 'Send again' }).click();
  await bela.sees('perhaps');
});

test('what could not be sent keeps its mark and its button until it is sent, also by who has left the room', async (t) => {
  const server = await startChat(t);
  const proxy = await startProxy(t, server);
  const ada = await enter(t, proxy.url, 'Ada', { transport: 'websocket' });
  const bela = await enter(t, server.url, 'Bela');
  await ada.settles();
  proxy.cut();
  await ada.reaches('suspended');
  await ada.say('while there is no network');
  await ada.page.getByRole('button', { name: 'Leave' }).click();
  await ada.reaches('closed'); // after the close timeout
  const line = ada.page.locator('.message.own', { hasText: 'while there is no network' });
  const again = line.getByRole('button', { name: 'Send again' });
  await again.click();
  await ada.sees('Not sent: closed');
  assert.deepEqual([await line.locator('.delivery').textContent(), await again.count()], ['not sent', 1]);
  proxy.restore();
  await ada.page.getByRole('button', { name: 'Join again' }).click();
  await ada.reaches('open');
  await again.click();
  await bela.sees('while there is no network');
  await line.locator('.delivery[data-state=taken]').waitFor();
  assert.equal(await again.count(), 0);
  assert.deepEqual(ada.errors, []);
});

test('a server that is told to end says so to every page, and ends cleanly', async (t) => {
  const server = await startChat(t);
  const visitors = [];
  for (const transport of TRANSPORTS) visitors.push(await enter(t, server.url, transport, { transport }));
  assert.deepEqual(await server.stop('SIGTERM'), { code: 0, signal: null });
  for (const visitor of visitors) {
    await visitor.page.waitForFunction(() => window.chat.events.some(({ type }) => type === 'lost'));
    const ends = await visitor.page.evaluate(() => window.chat.events.filter(({ type }) => ['lost', 'close'].includes(type)));
    assert.deepEqual(ends.map(({ type, code }) => ({ type, code })), [{ type: 'lost', code: 1001 }], visitor.name);
    await visitor.reaches('connecting'); // to the next server
  }
});

for (const colorScheme of ['light', 'dark']) {
  test(`on a phone everything fits and can be reached (${colorScheme})`, async (t) => {
    const { url } = await startChat(t);
    const ada = await enter(t, url, 'Ada', { ...PHONE, colorScheme });
    const bela = await enter(t, url, 'Bela', { viewport: { width: 1280, height: 800 }, colorScheme });
    await bela.say('Does the train still go through the tunnel?');
    await ada.sees('tunnel');
    await ada.say('It does. I lost the network for a minute, and nothing is missing.', `and one long word: ${'long'.repeat(40)}`);
    await bela.say('Neither twice?');
    await assertAllHeardAll(ada, bela);
    for (const { page } of [ada, bela]) {
      const { wide, high } = await page.evaluate(() => ({
        wide: document.documentElement.scrollWidth - innerWidth, high: document.documentElement.scrollHeight - innerHeight,
      }));
      assert.deepEqual({ wide, high }, { wide: 0, high: 0 }, 'the page itself does not scroll');
    }
    for (const selector of ['#input', '#send', '#leave', '#status']) {
      const box = await ada.page.locator(selector).boundingBox();
      assert.ok(box.x >= 0 && box.x + box.width <= 375 && box.y >= 0 && box.y + box.height <= 667, `${selector} is in view`);
      assert.ok(selector === '#status' || box.height >= 32, `${selector} can be hit with a thumb`);
    }
    await ada.page.waitForFunction(() => {
      const { scrollHeight, scrollTop, clientHeight } = document.getElementById('messages');
      return scrollHeight - scrollTop - clientHeight < 2;
    });
    await ada.screenshot(`phone-${colorScheme}`);
    await bela.screenshot(`desktop-${colorScheme}`);
  });
}

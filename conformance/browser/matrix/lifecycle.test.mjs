// What happens to a page, and not to the network: it is reloaded, left and returned to, frozen, hidden, cut off by its own
// browser, and not alone.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { TRANSPORTS, block } from './faults.mjs';
import { BROWSERS, PATIENCE, Visit, assertComplete, launch, startEcho, startProxy, within } from './stage.mjs';

// A machine that is busy is not to blame: only who is frozen is silent for too long.
const LIMITS = { heartbeat: 700, timeout: 15_000 };
const IMPATIENT = { heartbeat: 700, timeout: 1_500 };
const PATIENT = { connectTimeout: 30_000 };

for (const name of Object.keys(BROWSERS)) {
  describe(name, { concurrency: 4 }, () => {
    let browser;
    let echo;
    before(async () => {
      echo = await startEcho(LIMITS);
      browser = await launch(name);
    });
    after(async () => {
      await browser?.close();
      assert.deepEqual(await echo?.stop(), [0, null], echo?.said());
    });

    async function scene(t, options, server = echo) {
      const proxy = await startProxy(server);
      t.after(() => proxy.stop());
      return { proxy, visit: await Visit.open(t, browser, proxy, options) };
    }

    for (const transport of TRANSPORTS) {
      test(`${name}: a page on ${transport} is reloaded three times in mid-stream: the session goes on, and nothing is lost or doubled`, async (t) => {
        const options = { transports: [transport], resume: true };
        const { proxy, visit } = await scene(t, options);
        await visit.do('the session is open', () => window.trial.when(() => window.trial.counts.open > 0));
        const { session } = await visit.report();
        for (const last of [250, 500, 750]) {
          await visit.do('half of it has come back', (until) => {
            window.trial.send(until);
            return window.trial.when(() => window.trial.received.length > until - 125);
          }, last);
          await visit.load(proxy);
          await visit.begin(options);
          await visit.do('the session goes on', () => window.trial.when(() => window.trial.counts.reopen > 0));
          const report = await visit.report();
          assert.equal(report.session, session);
          assert.equal(report.counts.open, 0, 'no new session');
        }
        await visit.do('all messages have come back', async () => {
          await window.trial.send(1_000);
          await window.trial.settled();
          await window.trial.close();
        });
        assertComplete(await visit.report(), 1_000);
      });
    }

    for (const transport of TRANSPORTS) {
      // Firefox closes the connections of a page before the page hears that it goes: there, a POST has to say so.
      test(`${name}: without resume, a reloaded page on ${transport} has a new session, and tells the server to end the old one`, async (t) => {
        const { proxy, visit } = await scene(t, { transports: [transport] });
        await visit.do('a message came back', () => window.trial.send(1).then(() => window.trial.settled()));
        const { session } = await visit.report();
        const told = proxy.fault(({ direction, text }) => direction === 'up' && text.includes('{"close":{"code":1000'), 'pass');
        await visit.load(proxy);
        await within(told, 'the close');
        await visit.begin({});
        await visit.do('the session is open', () => window.trial.when(() => window.trial.counts.open > 0));
        assert.notEqual((await visit.report()).session, session);
      });
    }

    test(`${name}: a window that a page with a kept session opens does not take that session`, async (t) => {
      const options = { resume: true };
      const { proxy, visit } = await scene(t, options);
      await visit.do('the session is open', () => window.trial.when(() => window.trial.counts.open > 0));
      await visit.load(proxy);
      await visit.begin(options);
      await visit.do('the session goes on', () => window.trial.when(() => window.trial.counts.reopen > 0));
      const [popup] = await Promise.all([
        new Promise((resolve) => visit.page.once('popup', resolve)), visit.page.evaluate(() => void window.open('/')),
      ]);
      t.after(() => popup.close());
      const copy = Object.assign(new Visit(), { page: popup });
      await popup.waitForFunction(() => document.title === 'ready', { polling: 20, timeout: PATIENCE });
      await copy.begin(options);
      await copy.do('the session is open', () => window.trial.when(() => window.trial.counts.open > 0));
      await visit.do('all messages have come back', () => window.trial.send(100).then(() => window.trial.settled()));
      assert.notEqual((await copy.report()).session, (await visit.report()).session);
      assert.equal((await visit.report()).counts.lost, 0);
    });

    // Firefox caches no page with a connection, and loads it anew: there, going on is for who asked to resume.
    const cached = name !== 'firefox';
    test(`${name}: a page that is left and returned to, ${cached ? 'from the back/forward cache' : 'loaded anew'}, goes on with its session`, async (t) => {
      const options = { resume: !cached };
      const { proxy, visit } = await scene(t, options);
      await visit.do('the first messages have come back', () => window.trial.send(100).then(() => window.trial.settled()));
      const { session } = await visit.report();
      await visit.page.goto(`${proxy.url}/away.html`);
      await visit.page.goBack();
      assert.deepEqual(await visit.page.evaluate(() => window.shown), cached ? [false, true] : [false]);
      if (!cached) await visit.begin(options);
      await visit.do('the last messages have come back', () => window.trial.send(200).then(() => window.trial.settled()));
      const report = await visit.report();
      assertComplete(report, 200);
      assert.equal(report.session, session);
      assert.equal(report.counts.reopen, 1);
    });

    if (cached) {
      test(`${name}: two pages of one tab that kept their session never have it both: who comes back from the cache gives up what the other took`, async (t) => {
        const options = { resume: true, transports: ['websocket'] };
        const { proxy, visit } = await scene(t, options);
        const open = () => visit.do('there is a link', () => window.trial.when(() => window.trial.socket.state === 'open'));
        const echoed = (last) => visit.do('all have come back', (until) => window.trial.send(until).then(() => window.trial.settled()), last);
        await echoed(100);
        const { session } = await visit.report();
        await visit.page.setOfflineMode(true);
        await visit.do('what is sent now waits', () => window.trial.when(() => window.trial.socket.state === 'suspended').then(() => window.trial.send(110)));
        await visit.page.setOfflineMode(false);
        await visit.page.goto(`${proxy.url}/index.html`); // another page, which takes the session, and what waits in it
        await visit.page.waitForFunction(() => document.title === 'ready', { polling: 20, timeout: PATIENCE });
        await visit.begin(options);
        await open();
        await echoed(200);
        const second = await visit.report();
        assert.equal(second.session, session);
        assertComplete(second, 200);
        for (const [page, last] of [['first', 300], ['second', 400], ['first', 500]]) {
          await (page === 'first' ? visit.page.goBack() : visit.page.goForward());
          assert.equal(await visit.page.evaluate(() => window.shown.at(-1)), true, 'out of the cache');
          // Whether it goes on with what the other one left is up to the browser: that may say that it goes only after this one is shown.
          if (last === 300) await visit.do('it lost the session', () => window.trial.when(() => window.trial.counts.lost === 1));
          await open();
          await visit.page.evaluate(() => window.trial.goOn(JSON.parse(sessionStorage.getItem('trial')))); // the account of the other one
          await echoed(last);
          const report = await visit.report();
          const story = JSON.stringify(report);
          const { sent, received, doubled, lost, wrong, counts } = report;
          assert.deepEqual({ sent, received, doubled, lost, wrong, errors: counts.error }, { sent: last, received: last, doubled: 0, lost: 0, wrong: [], errors: 0 }, story);
          assert.doesNotMatch(story, /protocol fault|fenced/);
          if (last === 300) assert.equal(report.log.find(({ type }) => type === 'lost').unknown, 10, story);
        }
      });
    }

    for (const transport of TRANSPORTS) {
      test(`${name}: offline, messages over ${transport} wait; online, they arrive`, async (t) => {
        const { visit } = await scene(t, { transports: [transport] });
        await visit.do('the first messages have come back', () => window.trial.send(300).then(() => window.trial.settled()));
        await visit.page.setOfflineMode(true);
        await visit.do('there is no link', () => window.trial.when(() => window.trial.socket.state === 'suspended'));
        assert.equal(await visit.page.evaluate(() => navigator.onLine), false);
        await visit.do('more is sent', () => window.trial.send(700));
        const offline = await visit.report();
        assert.deepEqual({ received: offline.received, waiting: offline.waiting }, { received: 300, waiting: 400 });
        await visit.page.setOfflineMode(false);
        await visit.do('all messages have come back', () => window.trial.send(1_000).then(() => window.trial.settled()));
        assertComplete(await visit.report(), 1_000);
      });
    }

    test(`${name}: a hidden page whose timers are throttled keeps its link, and hears everything`, async (t) => {
      const throttling = await launch(name, name === 'firefox' ? { extraPrefsFirefox: {} } : {
        ignoreDefaultArgs: ['--disable-background-timer-throttling', '--disable-backgrounding-occluded-windows', '--disable-renderer-backgrounding'],
      });
      t.after(() => throttling.close());
      const proxy = await startProxy(echo);
      t.after(() => proxy.stop());
      const visit = await Visit.open(t, throttling, proxy, { transports: ['websocket'] });
      await visit.do('the session is open', () => window.trial.when(() => window.trial.counts.open > 0));
      const front = await throttling.newPage();
      await front.bringToFront();
      assert.equal(await visit.page.evaluate(() => document.visibilityState), 'hidden');
      // Several rounds of the server's heartbeat.
      const pongs = new Promise((resolve) => {
        let count = 0;
        proxy.judge = ({ direction, text }) => {
          if (direction === 'up' && text.includes('"pong"') && (count += 1) === 4) resolve();
          return 'pass';
        };
      });
      await visit.do('all messages have come back', () => window.trial.send(90).then(() => window.trial.settled()));
      await within(pongs, 'four answers to heartbeats');
      const report = await visit.report();
      assertComplete(report, 90);
      assert.deepEqual([report.counts.open, report.counts.reopen, report.counts.reconnect], [1, 0, 0]);
    });

    test(`${name}: tabs hear each other's local messages, their own not, and not those about another address`, async (t) => {
      const { proxy, visit: one } = await scene(t);
      const other = await Visit.open(t, browser, proxy);
      const { visit: stranger } = await scene(t);
      for (const visit of [one, other, stranger]) {
        await visit.page.evaluate(() => {
          window.heard = [];
          window.trial.socket.onlocalmessage = ({ data }) => window.heard.push(data);
        });
      }
      await one.page.evaluate(() => [{ from: 'one', bytes: new Uint8Array([1, 2]) }, 'last'].forEach((data) => window.trial.socket.local(data)));
      await other.do('it heard both', () => window.trial.when(() => window.heard.length === 2));
      assert.deepEqual(await other.page.evaluate(() => [window.heard[0].from, [...window.heard[0].bytes], window.heard[1]]), ['one', [1, 2], 'last']);
      await other.page.evaluate(() => window.trial.socket.local('answer'));
      await one.do('it heard the answer', () => window.trial.when(() => window.heard.length > 0));
      assert.deepEqual(await one.page.evaluate(() => window.heard), ['answer']);
      assert.deepEqual(await stranger.page.evaluate(() => window.heard), []);
      assert.equal((await other.report()).received, 0, 'nothing of it went through the server');
    });

    test(`${name}: the transport that worked is the first one that the next page tries`, async (t) => {
      const { proxy, visit } = await scene(t, { begin: false });
      const refusing = block(proxy, 'websocket');
      await visit.begin({ climbAfter: 0, ...PATIENT });
      await visit.do('a message came back', () => window.trial.send(1).then(() => window.trial.settled()));
      assert.deepEqual([(await visit.report()).transport, refusing.count > 0], ['sse', true]);
      const met = refusing.count;
      const next = await Visit.open(t, browser, proxy, { climbAfter: 0, ...PATIENT });
      await next.do('a message came back', () => window.trial.send(1).then(() => window.trial.settled()));
      const report = await next.report();
      assert.deepEqual([report.transport, report.counts.transportfailure, refusing.count], ['sse', 0, met]);
      assert.ok(report.transports.some(({ transport, state }) => transport === 'sse' && state === 'works'), JSON.stringify(report.transports));
      const forgetful = await Visit.open(t, browser, proxy, { climbAfter: 0, remember: false, ...PATIENT });
      await forgetful.do('a message came back', () => window.trial.send(1).then(() => window.trial.settled()));
      assert.ok(refusing.count > met, 'with remember: false it begins with the best one');
    });

    test(`${name}: a server that forgot the session: what may have arrived is handed over, what was never sent arrives in the next`, async (t) => {
      const first = await startEcho(LIMITS);
      t.after(() => first.stop('SIGKILL'));
      const proxy = await startProxy(first);
      t.after(() => proxy.stop());
      const visit = await Visit.open(t, browser, proxy, { transports: ['websocket'] });
      await visit.do('the first messages have come back', () => window.trial.send(100).then(() => window.trial.settled()));
      const { session } = await visit.report();
      // Message 110 gets as far as the proxy, which has no one to pass it to.
      const lost = proxy.fault(({ direction, text }) => direction === 'up' && text.includes('m-00110'), () => {
        proxy.cut();
        return first.stop('SIGKILL').then(() => 'kill');
      });
      await visit.do('it is sent', () => window.trial.send(120));
      await within(lost, 'the message');
      await visit.do('there is no link', () => window.trial.when(() => window.trial.socket.state === 'suspended'));
      const unknown = visit.do('the loss is told', () => new Promise((resolve) => {
        window.trial.socket.onlost = ({ session: id, unknown: messages }) => resolve({
          session: id, states: messages.map(({ state }) => state),
          numbers: messages.map(({ data, kind }) => Number((kind === 'text' ? data : data.label ?? new TextDecoder().decode(data)).slice(2))),
        });
      }));
      await visit.do('more is sent', () => window.trial.send(200));
      proxy.target(echo.url);
      proxy.restore();
      const told = await unknown;
      await visit.do('the rest has come back', () => window.trial.when(() => window.trial.received.includes(200)));
      assert.equal(told.session, session);
      assert.ok(told.numbers.includes(110), JSON.stringify(told));
      assert.ok(told.states.every((state) => state === 'unknown'));
      const report = await visit.report();
      assert.equal(report.counts.open, 2);
      assert.notEqual(report.session, session);
      const received = await visit.page.evaluate(() => window.trial.received);
      assert.deepEqual(received, [...new Set(received)].sort((a, b) => a - b), 'once and in order');
      const missing = Array.from({ length: 200 }, (_, index) => index + 1).filter((number) => !received.includes(number));
      assert.deepEqual(missing.filter((number) => !told.numbers.includes(number)), [], 'only what was handed over is missing');
      assert.deepEqual(missing.filter((number) => number > 120), [], 'what was sent without a link is not');
    });

    if (name === 'chromium') {
      test('chromium: a page is frozen until the server gives its link up; when it goes on, it misses nothing', async (t) => {
        const impatient = await startEcho(IMPATIENT);
        t.after(() => impatient.stop());
        const { proxy, visit } = await scene(t, { transports: ['websocket'] }, impatient);
        await visit.do('the first messages have come back', () => window.trial.send(100).then(() => window.trial.settled()));
        const client = await visit.page.createCDPSession();
        const [link] = [...proxy.connections].filter(({ request }) => request?.sort === 'websocket');
        await visit.page.evaluate(() => void window.trial.send(400));
        await client.send('Page.setWebLifecycleState', { state: 'frozen' });
        await within(link.over, 'the server to give the link up');
        await client.send('Page.setWebLifecycleState', { state: 'active' });
        await visit.do('all messages have come back', async () => {
          await window.trial.when(() => window.trial.sent === 400);
          await window.trial.settled();
        });
        const report = await visit.report();
        assertComplete(report, 400);
        assert.equal(report.counts.open, 1);
        assert.ok(report.counts.reopen > 0, 'on a new link');
      });
    }
  });
}

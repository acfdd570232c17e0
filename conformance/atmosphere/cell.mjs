// One client on one transport, with the server and the proxy that it has to itself.

import { isModern } from './clients.mjs';
import { PageClient, PlainPeer, ProcessClient, startServer } from './harness.mjs';
import { Proxy } from './proxy.mjs';

export class Cell {
  constructor(t, row, tracking, browser) {
    Object.assign(this, { t, row, tracking, browser, clients: [], peers: [] });
  }

  async start(example = 'echo') {
    this.server = await startServer(this.t, example);
    this.proxy = await Proxy.start(this.t, this.server.url);
    return this;
  }

  async client({ version, where } = this.row) {
    const client = where === 'Node' ? await ProcessClient.start(this.t, version) : await PageClient.start(this.t, this.browser, version, this.proxy);
    this.clients.push(client);
    return client;
  }

  /** A client that is open on `path`, through the proxy. */
  async open(path, options = {}) {
    const client = await this.client();
    await client.open(this.request(path, options));
    await attached(this.proxy, { ...this.row, transport: client.of('open')[0].transport });
    return client;
  }

  request(path, options) {
    return { url: this.proxy.url + path, transport: this.row.transport, ...(this.tracking && { trackMessageLength: true }), ...options };
  }

  async plain(path) {
    const peer = await PlainPeer.start(this.t, this.server.url + path);
    this.peers.push(peer);
    return peer;
  }

  /** A plain WebSocket in the room, and what it has said: each time it waits until everyone was sent it. */
  async speaker() {
    const peer = await this.plain('/broadcast');
    const heard = [];
    const say = async (...texts) => {
      peer.say(...texts);
      heard.push(...texts);
      await peer.hears(texts.at(-1));
    };
    return { peer, heard, say };
  }

  get modern() {
    return isModern(this.row.version);
  }

  /** What a failed test should show. */
  report() {
    const lines = this.clients.flatMap((client) => [
      `--- ${client.name}`, ...client.events.map((event) => JSON.stringify(event).slice(0, 300)), ...client.log.slice(-20),
    ]);
    return [
      ...lines, ...this.peers.flatMap(({ messages }) => ['--- plain WebSocket', ...messages.slice(-20).map((text) => String(text).slice(0, 200))]), '--- requests', ...(this.proxy?.requests ?? []).filter(({ path }) => !path.startsWith('/client/')).slice(-30).map(String),
      '--- server', ...(this.server?.log ?? []).slice(-10),
    ].join('\n');
  }
}

/** A client that polls is a member of the room from its second poll on, but version 5 is open at the first. */
export async function attached(proxy, { transport }, mine = () => true) {
  if (transport !== 'long-polling') return;
  await proxy.until(() => proxy.requests.some((request) => mine(request) && request.links), 'the second poll');
}

export const lines = (prefix, count) => Array.from({ length: count }, (_, index) => `${prefix}-${index + 1}`);

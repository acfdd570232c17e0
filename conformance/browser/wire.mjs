// Just enough of HTTP/1.1 and WebSocket to see where one piece of traffic ends and the next begins.

/** Reads from a socket what one parse step needs, and remembers the bytes as they were. */
export class Reader {
  #buffer = Buffer.alloc(0);
  #wake = () => {};
  #over = false;

  constructor(socket) {
    socket.on('data', (data) => {
      this.#buffer = Buffer.concat([this.#buffer, data]);
      this.#wake();
    });
    /** Resolves when the peer sends no more, however much is still to be read here. */
    this.ended = new Promise((resolve) => socket.on('close', resolve).on('end', resolve)).then(() => {
      this.#over = true;
      this.#wake();
    });
  }

  async #more() {
    if (this.#over) throw new Ended();
    await new Promise((resolve) => (this.#wake = resolve));
  }

  async take(length) {
    while (this.#buffer.length < length) await this.#more();
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return taken;
  }

  async until(mark) {
    let at;
    while ((at = this.#buffer.indexOf(mark)) < 0) await this.#more();
    return this.take(at + mark.length);
  }
}

export class Ended extends Error {}

export async function readHead(reader) {
  const raw = await reader.until('\r\n\r\n');
  const [first, ...lines] = raw.toString('latin1').trimEnd().split('\r\n');
  const headers = Object.fromEntries(lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
  return { raw, first: first.split(' '), headers };
}

/** The body behind a head, a part at a time: { raw, data }. */
export async function* readBody(reader, headers) {
  if (headers['transfer-encoding'] === 'chunked') {
    for (;;) {
      const size = await reader.until('\r\n');
      const length = parseInt(size.toString('latin1'), 16);
      const data = await reader.take(length);
      yield { raw: Buffer.concat([size, data, await reader.take(2)]), data };
      if (length === 0) return;
    }
  }
  const length = Number(headers['content-length'] ?? 0);
  if (length) {
    const data = await reader.take(length);
    yield { raw: data, data };
  }
}

/** One WebSocket message, or control frame: { raw, opcode, data }. */
export async function readMessage(reader) {
  const raws = [];
  const parts = [];
  for (let opcode = 0; ; ) {
    const head = await reader.take(2);
    const masked = head[1] & 0x80;
    let length = head[1] & 0x7f;
    const extended = length < 126 ? Buffer.alloc(0) : await reader.take(length === 126 ? 2 : 8);
    if (length === 126) length = extended.readUInt16BE();
    else if (length === 127) length = Number(extended.readBigUInt64BE());
    const mask = masked ? await reader.take(4) : Buffer.alloc(0);
    const payload = await reader.take(length);
    raws.push(head, extended, mask, payload);
    parts.push(masked ? payload.map((byte, index) => byte ^ mask[index & 3]) : payload);
    opcode ||= head[0] & 0x0f;
    if (head[0] & 0x80) return { raw: Buffer.concat(raws), opcode, data: Buffer.concat(parts) };
  }
}

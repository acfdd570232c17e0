import { KINDS, sizeOf } from './frames.js';
import type { Format, Frame, Kind, Unit } from './frames.js';

/**
 * - `waiting`: no link has carried it yet
 * - `sent`: handed to a link; the server has not acknowledged it
 * - `taken`: the server's application has it
 * - `unknown`: the session ended before it was acknowledged; it may have arrived
 * - `unsent`: the socket was closed before it was sent, or the server takes none so long
 */
export type MessageState = 'waiting' | 'sent' | 'taken' | 'unknown' | 'unsent';

/** A message of the application, on its way to the server. */
export interface Message<T = unknown> {
  readonly data: T;
  readonly kind: Kind;
  readonly state: MessageState;
}

/** The same, as the session sees it. */
export interface Outgoing extends Message {
  state: MessageState;
  exchange: Frame['exchange'];
  id: number | undefined;
  unit: Unit;
  bytes: number;
  /** How many bytes there are up to its end, from the first message of its session. */
  end: number;
}

/** Writes a message in its format, or throws. */
export function outgoing(format: Format, data: any, kind?: Kind, exchange?: Frame['exchange'], id?: number): Outgoing {
  const buffer = data?.buffer ?? data;
  const binary = buffer instanceof ArrayBuffer;
  kind ??= typeof data == 'string' ? 'text' : binary ? 'binary' : 'json';
  if (!KINDS.includes(kind)) throw new TypeError(`no such kind: ${kind}`);
  let value = data;
  if (kind == 'text') value = `${data}`.replace(/\p{Cs}/gu, '\ufffd'); // what is no Unicode cannot be sent
  if (kind == 'binary') {
    if (!binary) throw new TypeError('no bytes');
    value = new Uint8Array(buffer, data.byteOffset, data.byteLength);
  }
  const unit = format.encode({ kind, value, exchange, id });
  return { data, kind, exchange, id, unit, bytes: sizeOf(unit), end: 0, state: 'waiting' };
}

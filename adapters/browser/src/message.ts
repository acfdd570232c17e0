import { wellFormed } from './frames.js';
import type { Format, Kind, Unit } from './frames.js';
import { bytesOf, sizeOf } from './frames.js';

/**
 * - `waiting`: no link has carried it yet
 * - `sent`: handed to a link; the server has not acknowledged it
 * - `taken`: the server's application has it
 * - `unknown`: the session ended before it was acknowledged; it may have arrived
 * - `unsent`: the socket was closed before it was sent
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
  exchange?: 'request' | 'reply';
  id?: number;
  unit: Unit;
  bytes: number;
}

/** The kind that `data` has if nobody says otherwise. */
export const kindOf = (data: unknown): Kind =>
  typeof data == 'string' ? 'text' : data instanceof ArrayBuffer || ArrayBuffer.isView(data) ? 'binary' : 'json';

/** Writes a message in its format, or throws. */
export function outgoing(format: Format, data: any, kind: Kind = kindOf(data), exchange?: Outgoing['exchange'], id?: number): Outgoing {
  const value = kind == 'text' ? wellFormed(`${data}`) : kind == 'binary' ? bytesOf(data) : data;
  const unit = format.encode({ kind, value, exchange, id });
  return { data, kind, exchange, id, unit, bytes: sizeOf(unit), state: 'waiting' };
}

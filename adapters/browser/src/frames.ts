// Frames, whatever the wire format, and what every format has to check in them.

import { Code, fault } from './codes.js';

export type Kind = 'text' | 'json' | 'binary';

/** A unit of a carrier: text in a text format, bytes in a binary one. */
export type Unit = string | Uint8Array;

/** A frame of SPEC §2. */
export interface Frame {
  kind: string;
  /** The fields of a control frame, or the content of a message. */
  value?: any;
  /** What a message is beside being one, and the number that goes with it [REQ-1]. */
  exchange?: 'request' | 'reply';
  id?: number;
  /** Why a message could not be read. It counts all the same [FRM-3]. */
  error?: string;
}

/** A wire format: one frame is one unit. Stateless. */
export interface Format {
  /** As in the name of the protocol, `nosphere.v1.<name>`. */
  readonly name: string;
  /** Throws a `TypeError` or `RangeError` for a message that it cannot express. */
  encode(frame: Frame): Unit;
  /** Throws a {@link Fault} for what is no frame. */
  decode(unit: Unit): Frame;
  /** Several units in one body (SPEC §3.3). */
  join(units: Unit[]): BodyInit;
  /** The units of a body. */
  read(response: Response): Promise<Unit[]>;
  /** The unit that the data of an event is (SSE-1). */
  event(data: string): Unit;
}

export const KINDS = ['text', 'json', 'binary'];
export const DEPTH = 64; // [JSN-3, MSP-3]

const utf8 = new TextEncoder();

export const sizeOf = (unit: Unit): number => (typeof unit == 'string' ? utf8.encode(unit) : unit).length;

export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0; // [TRM-1]

/** A control frame whose fields are of their types, or a fault. What a client sends is not looked at. */
export function control(kind: string, value: any): Frame {
  const counts = ({
    ack: [value], ping: [value], pong: [value],
    resumed: [value?.received],
    close: [value?.received, value?.code],
    reset: [],
    opened: [value?.heartbeat, value?.timeout, value?.proof, value?.resume, value?.window?.messages, value?.window?.bytes],
    open: [], resume: [],
  } as Record<string, unknown[]>)[kind];
  const ok = counts?.every(isCount)
    && (kind != 'close' || (typeof value.reason == 'string' && value.code < 65536))
    && (kind != 'reset' || typeof value == 'string')
    && (kind != 'opened' || (UUID.test(value.session) && TOKEN.test(value.token) && value.window.messages > 0 && value.window.bytes > 0));
  if (!ok) fault(Code.Malformed, 'not a frame');
  return { kind, value };
}

/** How deep arrays and objects nest. */
export function depth(value: unknown): number {
  let level = 0;
  for (let values = [value]; (values = values.filter((item) => item && typeof item == 'object')).length; level += 1) {
    if (level > DEPTH) break;
    values = values.flatMap((item) => Object.values(item as object));
  }
  return level;
}

export const tooDeep = (): never => {
  throw new RangeError('nested too deeply');
};

export function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

export const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** The bytes of a view or buffer. */
export const bytesOf = (data: ArrayBuffer | ArrayBufferView): Uint8Array =>
  ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);

/** What is no Unicode cannot be sent: lone surrogates become U+FFFD. */
export const wellFormed = (text: string): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(utf8.encode(text));

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;
const TOKEN = /^[\da-f]{32}$/;

// Frames, whatever the wire format, and what every format has to check in them.

export type Kind = 'text' | 'json' | 'binary';

/** A unit of a carrier: text in a text format, bytes in a binary one. */
export type Unit = string | Uint8Array;

/** A frame of SPEC §2. */
export interface Frame {
  kind: string;
  /** The fields of a control frame, or the content of a message. */
  value?: any;
  /** What a message is beside being one, and the number that goes with it [REQ-1]. */
  exchange?: 'request' | 'reply' | undefined;
  id?: number | undefined;
  /** Why a message could not be read. It counts all the same [FRM-3]. */
  error?: string;
}

export interface Size {
  messages: number;
  bytes: number;
}

/** What `opened` says. */
export interface Grant {
  session: string;
  token: string;
  heartbeat: number;
  timeout: number;
  proof: number;
  resume: number;
  window: Size;
}

/** A wire format: one frame is one unit. Stateless. */
export interface Format {
  /** As in the name of the protocol, `nosphere.v1.<name>`. */
  readonly name: string;
  /** Throws for a message that it cannot express. */
  encode(frame: Frame): Unit;
  /** Throws for what is no frame. */
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

// What the fields of control frames are: at least this number, a text, or of this form. A server does not send the last two.
const ID = /^[\da-f-]{32,36}$/i;
const FORMS: Record<string, unknown> = {
  __proto__: null, // nothing else is a kind of frame
  ack: 0,
  ping: 0,
  pong: 0,
  reset: '',
  resumed: { received: 0 },
  close: { code: 0, reason: '', received: 0 },
  opened: { session: ID, token: ID, heartbeat: 0, timeout: 0, proof: 0, resume: 0, window: { messages: 1, bytes: 1 } },
  open: {},
  resume: {},
};

const fits = (value: any, form: any): boolean =>
  typeof form == 'number' ? isCount(value) && value >= form
    : form.big ? typeof value == 'string'
      : form.test ? form.test(value)
        : Object.keys(form).every((name) => fits(value[name], form[name]));

/** A control frame whose fields are of their types; throws for another one. */
export function control(kind: string, value: any): Frame {
  if (!fits(value, FORMS[kind]) || (kind == 'close' && sizeOf(value.reason) > 123)) throw kind;
  return { kind, value };
}

/** Throws if arrays and objects nest deeper than they may. */
export function shallow(value: unknown, room = DEPTH): void {
  if (value && typeof value == 'object') {
    if (!room) throw new RangeError('too deep');
    for (const item of Object.values(value)) shallow(item, room - 1);
  }
}

/** A value as JSON, in which a lone surrogate, which is no Unicode, becomes U+FFFD; throws for what is no value of JSON. */
export function stringify(value: unknown): string {
  const text = JSON.stringify(value);
  // Of what is no plain object, as a Blob, a Map or a promise, nothing would be left.
  if (!text || (text == '{}' && ({}).toString.call(value) != '[object Object]')) throw new TypeError('not a JSON value');
  return text.replace(/\\(ud[89a-f]..|.)/g, (escape, { length }) => (length > 1 ? '\\ufffd' : escape)); // pairs are not escaped
}

export function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

export const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

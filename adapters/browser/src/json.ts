// The wire format `json`, SPEC §3.1.

import { Code, fault } from './codes.js';
import { DEPTH, KINDS, control, depth, fromBase64, isCount, toBase64, tooDeep } from './frames.js';
import type { Format, Frame } from './frames.js';

export const json: Format = {
  name: 'json',

  encode({ kind, value, exchange, id }) {
    let text;
    if (kind == 'text') text = JSON.stringify(value);
    else if (kind == 'binary') text = `"${toBase64(value)}"`;
    else text = JSON.stringify(value);
    if (text === undefined) throw new TypeError('not a JSON value');
    if (kind == 'json' && text.length > 2 * DEPTH && depth(JSON.parse(text)) > DEPTH) tooDeep();
    return `{${exchange ? `"${exchange}":${id},` : ''}"${kind}":${text}}`; // [JSN-4]
  },

  decode(unit) {
    let [, kind, text] = match(ENVELOPE, unit as string);
    kind = unescaped(kind);
    let exchange: Frame['exchange'];
    let id: number | undefined;
    if (kind == 'request' || kind == 'reply') {
      exchange = kind;
      const [, digits, name, rest] = match(EXCHANGE, text);
      kind = unescaped(name);
      text = rest;
      id = Number(digits);
      if (!KINDS.includes(kind) || !isCount(id)) malformed();
    }
    let value;
    let error;
    try {
      value = JSON.parse(text);
    } catch {
      error = 'not JSON';
    }
    if (!KINDS.includes(kind)) return error ? malformed() : control(kind, value);
    if (kind == 'binary' && typeof value == 'string' && BASE64.test(value)) value = fromBase64(value);
    else if (kind == 'json' ? text.length > 2 * DEPTH && depth(value) > DEPTH : kind == 'binary' || typeof value != 'string') {
      error = `not ${kind}`;
    }
    return { kind, exchange, id, ...(error ? { error } : { value }) };
  },

  join: (units) => units.join('\n'),

  read: async (response) => {
    const body = (await response.text()).replace(/\n$/, '');
    return body ? body.split('\n') : [];
  },

  event: (data) => data,
};

const malformed = () => fault(Code.Malformed, 'not a frame');
const match = (pattern: RegExp, text: string) => (pattern.exec(text) ?? malformed()) as unknown as [string, string, string, string];
const unescaped = (name: string): string => {
  try {
    return JSON.parse(name);
  } catch {
    return malformed();
  }
};

// An envelope stands around a payload that may be anything [FRM-3].
const ENVELOPE = /^[ \t\n\r]*\{[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:(.*)\}[ \t\n\r]*$/s;
const EXCHANGE = /^[ \t\n\r]*(0|[1-9]\d*)[ \t\n\r]*,[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:(.*)$/s;
const BASE64 = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/; // [JSN-2]

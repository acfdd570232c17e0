// The wire format `json`, SPEC §3.1.

import { KINDS, control, fromBase64, isCount, shallow, stringify, toBase64 } from './frames.js';
import type { Format } from './frames.js';

// An envelope stands around a payload that may be anything [FRM-3].
const ENVELOPE = /^[ \t\n\r]*\{[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:(.*)\}[ \t\n\r]*$/s;
const EXCHANGE = /^[ \t\n\r]*(0|[1-9]\d*)[ \t\n\r]*,[ \t\n\r]*("(?:[^"\\]|\\.)*")[ \t\n\r]*:(.*)$/s;
const BASE64 = /^(?:[A-Za-z\d+/]{4})*(?:[A-Za-z\d+/]{2}==|[A-Za-z\d+/]{3}=)?$/; // [JSN-2]

export const json: Format = {
  name: 'json',

  encode({ kind, value, exchange, id }) {
    const text = stringify(kind == 'binary' ? toBase64(value) : value);
    if (kind == 'json' && text.length > 128) shallow(JSON.parse(text)); // as it is written, which is not always as it was given
    return `{${exchange ? `"${exchange}":${id},` : ''}"${kind}":${text}}`; // [JSN-4]
  },

  decode(unit): any {
    let [, name, text] = ENVELOPE.exec(unit as string) as any;
    let kind = JSON.parse(name);
    let exchange;
    let id;
    if (kind == 'request' || kind == 'reply') {
      exchange = kind;
      [, id, name, text] = EXCHANGE.exec(text) as any;
      kind = JSON.parse(name);
      if (!isCount((id = +id)) || !KINDS.includes(kind)) throw kind;
    }
    if (!KINDS.includes(kind)) return control(kind, JSON.parse(text));
    try {
      let value = JSON.parse(text);
      if (kind == 'json') shallow(value);
      else value = value.match(kind == 'text' ? /.*/s : BASE64)[0]; // only a string has it
      return { kind, exchange, id, value: kind == 'binary' ? fromBase64(value) : value };
    } catch (error) {
      return { kind, exchange, id, error: `${error}` };
    }
  },

  join: (units) => units.join('\n'),

  read: async (response) => {
    const body = (await response.text()).replace(/\n$/, '');
    return body ? body.split('\n') : [];
  },

  event: (data) => data,
};

// The client's session and its wire formats, without any network: what the vectors say.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FORMATS, bytesOf, cases, frameOf, play, unitOf } from './vectors.mjs';

for (const script of cases('session').filter(({ role }) => role === 'client')) {
  for (const name of script.formats ?? Object.keys(FORMATS)) {
    test(`${script.id}, ${name} [${[script.requirement].flat().join(', ')}]: ${script.sentence}`, () => play(script, FORMATS[name]));
  }
}

// What JavaScript's numbers cannot hold: it arrives as the nearest one that they can.
const BEYOND_NUMBERS = ['frame-json-beyond-floats', 'frame-json-largest-integer', 'frame-json-smallest-integer'];
const OF_CLIENTS = ['open', 'resume']; // a server does not send these, so that nobody here looks into them

for (const one of cases('wire').filter(({ about }) => about === 'units')) {
  for (const [name, format] of Object.entries(FORMATS)) {
    const units = [one.units[name] ?? []].flat();
    if (!units.length) continue;
    test(`${one.id}, ${name} [${[one.requirement].flat().join(', ')}]: ${one.sentence}`, () => {
      for (const unit of units) check(one, format, unitOf(unit), JSON.stringify(unit));
    });
  }
}

function check({ id, verdict, error, frame: notation, canonical }, format, unit, label) {
  let frame;
  try {
    frame = format.decode(unit);
  } catch {
    // no frame
  }
  if (verdict === 'either') return;
  if (verdict === 'valid') {
    assert.ok(frame && !frame.error, `${label} is a frame, ${frame?.error}`);
    const { error: _, ...expected } = { exchange: undefined, id: undefined, ...frameOf(notation) };
    assert.deepEqual({ exchange: undefined, id: undefined, ...frame, value: known(frame.value, expected.value) }, expected, label);
    if (canonical && !BEYOND_NUMBERS.includes(id)) assert.deepEqual(format.encode(expected), unit, label);
  } else if (error === 'payload') assert.ok(frame?.error, `${label} is a message that cannot be read`);
  else assert.ok(!frame || OF_CLIENTS.includes(frame.kind), `${label} is no frame: ${JSON.stringify(frame)}`);
}

/** Fields that are not known are ignored [FRM-1], so they may be there. */
function known(value, expected) {
  if (!expected || typeof expected !== 'object' || expected instanceof Uint8Array || Array.isArray(expected) || !value) return value;
  return Object.fromEntries(Object.keys(expected).map((name) => [name, known(value[name], expected[name])]));
}

for (const { id, requirement, sentence, format, verdict, body, units, limit, canonical } of cases('wire').filter(({ about }) => about === 'batches')) {
  if (limit !== undefined || id === 'batch-json-not-utf-8') continue; // what is only the server's: it reads bodies that anybody posts
  test(`${id} [${[requirement].flat().join(', ')}]: ${sentence}`, async () => {
    const read = FORMATS[format].read(new Response(body.text ?? bytesOf(body)));
    if (verdict === 'invalid') return assert.rejects(read, RangeError);
    assert.deepEqual(await read, units.map(unitOf));
    if (canonical) assert.deepEqual(new Uint8Array(await new Response(FORMATS[format].join(units.map(unitOf))).arrayBuffer()), new Uint8Array(await new Response(body.text ?? bytesOf(body)).arrayBuffer()));
  });
}

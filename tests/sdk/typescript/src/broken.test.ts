// An answer that breaks after its first words is never taken for a whole one, and never asked for again.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { APIError } from '#sdk';
import { error_of } from './errors.js';
import { House, IMPATIENT, SONNET } from './stand.js';
import { CALL, client_of, Heard, STREAMS } from './ways.js';

const TEXT = 'One two three four.';
const PLACES: Record<string, [at: Record<string, unknown>, heard: string]> = {
  'in the middle': [{ after_deltas: 2 }, 'One two '],
  'before its end': [{ at: 'before_stop' }, TEXT],
};
const FAULTS = {
  cut: 'api_error',
  close: 'api_error',
  end: 'api_error',
  stall: 'timeout_error',
  overloaded: 'overloaded_error',
  api_error: 'api_error',
};

for (const way of STREAMS) {
  for (const [fault, kind] of Object.entries(FAULTS)) {
    for (const [place, [at, text]] of Object.entries(PLACES)) {
      test(`a stream that breaks throws: ${fault} ${place}, ${way.name}`, async (t) => {
        const settings = fault === 'stall' ? IMPATIENT : {};
        const up = await House.for(t, { [SONNET]: { text: TEXT, fail: { ...at, with: fault } } }, { settings });
        const heard = new Heard();
        const error = await error_of(way.ask(up, {}, {}, heard));
        // The answer began with a 200, so this is all that the SDK makes of it.
        assert.deepEqual([error.constructor, error.status], [APIError, undefined]);
        assert.equal(error.error?.error.type, kind);
        if (way.hears) assert.equal(heard.text, text);
        assert.deepEqual(await up.attempts(), [SONNET]);
      });
    }
  }

  test(`a stream that breaks while a tool is called throws: ${way.name}`, async (t) => {
    const use = { name: 'weather', input: { city: 'Zürich' } };
    const fail = { after_deltas: 5, with: 'cut' };
    const up = await House.for(t, { [SONNET]: { text: TEXT, tool_use: use, fail } });
    await error_of(way.ask(up));
    assert.deepEqual(await up.attempts(), [SONNET]);
  });
}

for (const fault of ['close', 'end', 'stall']) {
  // Past 1 MiB it is sent on as it comes, so what breaks off can only be broken off.
  test(`a long answer that is no stream throws: ${fault}`, async (t) => {
    const reply = { text: 'x'.repeat(3_000_000), fail: { after_deltas: 1, with: fault } };
    const up = await House.for(t, { [SONNET]: reply }, { settings: { 'timeouts.idle': '300ms' } });
    // The SDK leaves it to the runtime to say so.
    await assert.rejects(client_of(up).messages.create(CALL));
    assert.deepEqual(await up.attempts(), [SONNET]);
  });
}

// A 429 is waited for if the wait is short, else the next model answers, and the SDK never multiplies it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, error_of } from './errors.js';
import { HAIKU, House, SONNET } from './stand.js';
import { ALL, CALL, client_of, SOME } from './ways.js';

type RetryAfter = Record<string, number | string> | undefined;

/** How a 429 may say when to come back, and the least wait in ms that it means. A date has whole seconds. */
const SHORT: Record<string, [retry_after: RetryAfter, wait: number]> = {
  'in seconds': [{ seconds: 1 }, 1000],
  'in parts of a second': [{ fraction: 0.25 }, 250],
  'in milliseconds': [{ millis: 250 }, 250],
  'as a date': [{ date_in: 2 }, 900],
  'as a date that is past': [{ date_ago: 5 }, 0],
  'as zero': [{ text: '0' }, 0],
  'as less than zero': [{ text: '-5' }, 0],
  'in words': [{ text: 'soon' }, 0],
  'not at all': [undefined, 0],
};
const LONG: Record<string, RetryAfter> = {
  'in seconds': { seconds: 61 },
  'in milliseconds': { millis: 61_000 },
  'as a date': { date_in: 3600 },
  'for years': { text: '99999999' },
  'for longer than there is time': { text: '9'.repeat(35) },
};

function limited(retry_after: RetryAfter) {
  return { is: 'rate_limited', ...(retry_after && { retry_after }) };
}

for (const way of SOME) {
  for (const [how, [retry_after, wait]] of Object.entries(SHORT)) {
    test(`a short wait is waited for: ${how}, ${way.name}`, async (t) => {
      const at = await House.for(t, { [SONNET]: [limited(retry_after), 'ok'] });
      const start = performance.now();
      const answer = await way.ask(at);
      assert(performance.now() - start >= wait);
      assert.equal(answer.outcome, 'retried');
      assert.deepEqual(await at.attempts(), [SONNET, SONNET]);
    });
  }

  for (const [how, retry_after] of Object.entries(LONG)) {
    test(`the next model answers where the wait is long: ${how}, ${way.name}`, async (t) => {
      const at = await House.for(t, { [SONNET]: limited(retry_after) });
      const answer = await way.ask(at);
      assert.deepEqual([answer.model, answer.outcome], [HAIKU, 'fallback']);
      assert.deepEqual(await at.attempts(), [SONNET, HAIKU]);
    });

    test(`where all waits are long, the error says one that can be waited: ${how}, ${way.name}`, async (t) => {
      const claude = { [SONNET]: limited(retry_after), [HAIKU]: limited(retry_after) };
      const at = await House.for(t, claude, { settings: { 'features.default.degrade': 'error' } });
      const error = await error_of(way.ask(at));
      check(error, 429, 'rate_limit_error');
      assert.equal(error.headers!.get('retry-after'), '30');
      assert.equal(error.headers!.get('retry-after-ms'), null);
      assert.deepEqual(await at.attempts(), [SONNET, HAIKU]);
    });
  }
}

for (const way of ALL) {
  test(`a full compartment is a 429 that may be tried again: ${way.name}`, async (t) => {
    const settings = {
      'features.default.in_flight': 1,
      'features.default.queue': 0,
      'features.default.fallback': false,
    };
    const at = await House.for(t, { [SONNET]: { tokens: 200, every_ms: 20 } }, { settings });
    const stream = await client_of(at).messages.create({ ...CALL, stream: true });
    for await (const _ of stream) {
      const error = await error_of(way.ask(at, {}, { maxRetries: 0 }));
      check(error, 429, 'rate_limit_error');
      assert.equal(error.headers!.get('retry-after'), '1');
      assert.equal(error.headers!.get('x-should-retry'), null);
      break;
    }
    assert.deepEqual(await at.attempts(), [SONNET]);
  });
}

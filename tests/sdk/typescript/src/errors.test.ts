// What is the caller's to mend, the caller is told at once, in the words of Claude.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, error_of, IS_NEW, VERSION } from './errors.js';
import { HAIKU, House, SONNET, times } from './stand.js';
import { ALL } from './ways.js';

const TOKEN = 'token-of-a-caller';

/** The status, `error.type`, and how often upstream is asked. */
const REFUSED: [status: number, kind: string, tries: number][] = [
  [400, 'invalid_request_error', 1],
  [401, 'authentication_error', 1],
  [403, 'permission_error', 1],
  [404, 'not_found_error', 1],
  [409, 'conflict_error', 2],
  [413, 'request_too_large', 1],
  [422, 'invalid_request_error', 1],
];

for (const way of ALL) {
  for (const [status, kind, tries] of REFUSED) {
    test(`a refusal is thrown as Claude gave it: ${status}, ${way.name}`, async (t) => {
      const at = await House.for(t, { [SONNET]: { status, error: kind } });
      const error = await error_of(way.ask(at));
      check(error, status, kind);
      assert.equal(error.error?.error.message, `as scripted: ${status}`);
      assert.match(error.requestID!, /^req_fake/);
      assert.deepEqual(await at.attempts(), times(tries, SONNET));
    });
  }

  for (const size of [100_000, 8_000_000]) {
    test(`a call that is too large for the proxy goes nowhere: ${size}, ${way.name}`, async (t) => {
      const at = await House.for(t, {}, { settings: { max_body: '64KiB' } });
      check(await error_of(way.ask(at, { system: 'x'.repeat(size) })), 413, 'request_too_large');
      assert.deepEqual(await at.attempts(), []);
    });
  }

  test(`a proxy that holds the key asks for a token: ${way.name}`, async (t) => {
    const at = await House.for(t, {}, { holds_key: true });
    check(await error_of(way.ask(at)), 401, 'authentication_error');
    assert.deepEqual(await at.attempts(), []);
  });

  // As `apiKey` it is sent the way each major sends a key.
  for (const options of [{ apiKey: TOKEN }, { apiKey: null, authToken: TOKEN }]) {
    const by = options.apiKey ? 'apiKey' : 'authToken';
    test(`a token opens a proxy that holds the key: ${by}, ${way.name}`, async (t) => {
      const at = await House.for(t, {}, { holds_key: true });
      assert.equal((await way.ask(at, {}, options)).outcome, 'direct');
      assert.deepEqual(await at.attempts(), [SONNET]);
    });
  }

  test(`a key that upstream does not know is the caller's to mend: ${way.name}`, async (t) => {
    const at = await House.for(t, { [SONNET]: 'unauthorized', [HAIKU]: 'ok' });
    const error = await error_of(way.ask(at));
    check(error, 401, 'authentication_error');
    assert.equal(error.error?.error.message, 'invalid x-api-key');
    assert.deepEqual(await at.attempts(), [SONNET]);
  });

  test(`upstream sees what the SDK says of itself: ${way.name}`, async (t) => {
    const at = await House.for(t, {});
    await way.ask(at, {}, { defaultHeaders: { 'tower-claude-feature': 'chat' } });
    const { headers } = (await at.seen())[0]!;
    assert.equal(headers['anthropic-version'], IS_NEW ? '2026-10-21' : '2023-06-01');
    assert((IS_NEW ? 'authorization' : 'x-api-key') in headers);
    assert(headers['user-agent']!.endsWith(`JS ${VERSION}`), headers['user-agent']);
    assert.equal(headers['x-stainless-retry-count'], '0');
    assert.deepEqual(Object.keys(headers).filter((name) => name.startsWith('tower-claude')), []);
  });
}

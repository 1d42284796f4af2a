// Where a model is down, the SDK gets an answer all the same, or one clean error.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, error_of } from './errors.js';
import { HAIKU, House, IMPATIENT, SONNET, times, type Reply } from './stand.js';
import { TOOL } from './tool.js';
import { ALL, SOME } from './ways.js';

/** What goes wrong before anything is said, and how often a model is tried while another one waits. */
const DOWN: Record<string, [reply: Reply, tries: number]> = {
  'is overloaded': ['overloaded', 2],
  'is overloaded and wants no second try': [{ is: 'overloaded', should_retry: false }, 1],
  fails: ['server_error', 2],
  'has the edge answer for it, in HTML': ['unavailable', 2],
  'has no time': ['timed_out', 2],
  'resets the connection': ['reset', 2],
  'never answers': ['hang', 1],
  'is gone': ['unknown_model', 1],
  'is cut before it says a word': [{ fail: { at: 'message_start', with: 'cut' } }, 2],
  'ends before it says a word': [{ fail: { at: 'message_start', with: 'end' } }, 2],
  'stalls before it says a word': [{ fail: { at: 'start', with: 'stall' } }, 1],
  'is overloaded after its start': [{ fail: { at: 'message_start', with: 'overloaded' } }, 2],
  'fails after its start': [{ fail: { at: 'message_start', with: 'api_error' } }, 2],
};
const ALL_OVERLOADED = { [SONNET]: 'overloaded', [HAIKU]: 'overloaded' };

function patience(reply: Reply) {
  return /hang|stall/.test(JSON.stringify(reply)) ? IMPATIENT : {};
}

for (const way of ALL) {
  for (const [what, [reply, tries]] of Object.entries(DOWN)) {
    test(`where a model ${what}, the next one answers: ${way.name}`, async (t) => {
      const claude = { [SONNET]: reply, [HAIKU]: { text: 'From the next one.' } };
      const at = await House.for(t, claude, { settings: patience(reply) });
      const answer = await way.ask(at);
      assert.deepEqual([answer.text, answer.model], ['From the next one.', HAIKU]);
      assert.deepEqual([answer.outcome, answer.degraded], ['fallback', false]);
      assert.deepEqual(await at.attempts(), [...times(tries, SONNET), HAIKU]);
    });
  }

  test(`a second try that succeeds is the answer: ${way.name}`, async (t) => {
    const at = await House.for(t, { [SONNET]: ['overloaded', { text: 'Well again.' }] });
    const answer = await way.ask(at);
    assert.deepEqual([answer.text, answer.outcome], ['Well again.', 'retried']);
    assert.deepEqual(await at.attempts(), [SONNET, SONNET]);
  });

  test(`where all are down, a canned answer stands in: ${way.name}`, async (t) => {
    const settings = { 'backoff.attempts': 3, 'features.default.message': 'Back “soon”.' };
    const at = await House.for(t, ALL_OVERLOADED, { settings });
    const answer = await way.ask(at);
    assert.deepEqual([answer.text, answer.stop_reason], ['Back “soon”.', 'end_turn']);
    assert.deepEqual([answer.outcome, answer.degraded], ['canned', true]);
    assert.equal(answer.headers.get('tower-claude-degraded'), 'overloaded');
    assert.deepEqual(await at.attempts(), [...times(2, SONNET), ...times(3, HAIKU)]);
  });

  test(`where all are down, an answer that was given before stands in: ${way.name}`, async (t) => {
    const at = await House.for(t, { [SONNET]: [{ text: 'Said before.' }, 'overloaded'], [HAIKU]: 'overloaded' });
    const before = await way.ask(at);
    const again = await way.ask(at);
    assert.deepEqual([again.text, again.model], [before.text, before.model]);
    assert.deepEqual([again.outcome, again.degraded], ['cached', true]);
    assert.match(again.headers.get('age')!, /^\d+$/);
    assert.deepEqual(await at.attempts(), [...times(3, SONNET), ...times(5, HAIKU)]);
  });

  for (const options of [{}, { maxRetries: 0 }]) {
    const retries = 'maxRetries' in options ? 'without SDK retries' : 'by default';
    test(`where nothing may stand in, the error is the last word: ${way.name}, ${retries}`, async (t) => {
      const at = await House.for(t, ALL_OVERLOADED, { settings: { 'backoff.attempts': 3 } });
      const defaultHeaders = { 'tower-claude-feature': 'background_jobs' };
      const error = await error_of(way.ask(at, {}, { defaultHeaders, ...options }));
      check(error, 529, 'overloaded_error');
      const wait = Number(error.headers!.get('retry-after'));
      assert(wait >= 1 && wait <= 30, String(wait));
      assert.deepEqual(await at.attempts(), [...times(2, SONNET), ...times(3, HAIKU)]);
    });
  }

  test(`no sentence stands in for the call of a tool: ${way.name}`, async (t) => {
    const settings = { 'backoff.attempts': 1, 'backoff.attempts_with_fallback': 1 };
    const at = await House.for(t, ALL_OVERLOADED, { settings });
    check(await error_of(way.ask(at, { tools: [TOOL] })), 529, 'overloaded_error');
    assert.deepEqual(await at.attempts(), [SONNET, HAIKU]);
  });
}

/** What is thrown where nothing may stand in: how it fails at both models, status, `error.type`, and tries. */
const LAST: Record<string, [reply: Reply, status: number, kind: string, first: number, second: number]> = {
  'are overloaded': ['overloaded', 529, 'overloaded_error', 2, 3],
  'are overloaded after their start': [DOWN['is overloaded after its start']![0], 529, 'overloaded_error', 2, 3],
  fail: ['server_error', 500, 'api_error', 2, 3],
  'have the edge answer': ['unavailable', 503, 'overloaded_error', 2, 3],
  'have no time': ['timed_out', 504, 'timeout_error', 2, 2],
  'are silent': ['hang', 504, 'timeout_error', 1, 1],
  'are cut': ['reset', 502, 'api_error', 2, 3],
  'are gone': ['unknown_model', 404, 'not_found_error', 1, 1],
  'are not paid': ['spend_limit', 429, 'rate_limit_error', 1, 0],
};

for (const way of SOME) {
  for (const [what, [reply, status, kind, first, second]] of Object.entries(LAST)) {
    test(`where all models ${what}, that is thrown: ${way.name}`, async (t) => {
      const settings = { 'backoff.attempts': 3, 'features.default.degrade': 'error', ...patience(reply) };
      const at = await House.for(t, { [SONNET]: reply, [HAIKU]: reply }, { settings });
      check(await error_of(way.ask(at)), status, kind);
      assert.deepEqual(await at.attempts(), [...times(first, SONNET), ...times(second, HAIKU)]);
    });
  }

  // It tells its timeout, and the proxy has half of one so short.
  test(`a timeout of the SDK brings an answer in time: ${way.name}`, async (t) => {
    const settings = {
      deadline: '60s',
      'timeouts.first_event': '30s',
      'timeouts.answer': '30s',
      'features.default.degrade': 'error',
      'features.default.fallback': false,
    };
    const at = await House.for(t, { [SONNET]: 'hang' }, { settings });
    check(await error_of(way.ask(at, {}, { timeout: 2000 })), 504, 'timeout_error');
    assert.deepEqual(await at.attempts(), [SONNET]);
  });

  for (const reply of ['spend_limit', 'no_credit']) {
    test(`no other model is asked when the money is spent: ${reply}, ${way.name}`, async (t) => {
      const at = await House.for(t, { [SONNET]: reply });
      assert.equal((await way.ask(at)).outcome, 'canned');
      assert.deepEqual(await at.attempts(), [SONNET]);
    });
  }
}

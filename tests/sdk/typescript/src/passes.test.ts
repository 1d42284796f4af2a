// What is no message passes through: models, batches, files. It is tried once, and the SDK decides on the rest.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic, { APIConnectionError, APIConnectionTimeoutError, toFile } from '#sdk';
import { check, error_of } from './errors.js';
import { HAIKU, House, SONNET, times, type Reply } from './stand.js';
import { CALL, client_of } from './ways.js';

const BATCH = {
  id: 'msgbatch_1',
  type: 'message_batch',
  processing_status: 'ended',
  request_counts: { processing: 0, succeeded: 1, errored: 0, canceled: 0, expired: 0 },
  created_at: '2026-11-24T08:00:00Z',
  expires_at: '2026-11-25T08:00:00Z',
  ended_at: '2026-11-24T09:00:00Z',
  archived_at: null,
  cancel_initiated_at: null,
  // At the real API an absolute one, which the SDK asks for past any base URL.
  results_url: '/v1/messages/batches/msgbatch_1/results',
};
const FILE = {
  id: 'file_1',
  type: 'file',
  filename: 'notes.txt',
  mime_type: 'text/plain',
  size_bytes: 5,
  created_at: '2026-11-24T08:00:00Z',
  downloadable: true,
};
const TEXT = 'hello\n'.repeat(1000);
const result = (id: string) => `{"custom_id":"${id}","result":{"type":"canceled"}}\n`;
const ok = (json: unknown) => ({ status: 200, json });
const listed = (one: { id: string }) => ok({ data: [one], has_more: false, first_id: one.id, last_id: one.id });
const raw = (body: string, type: string) => ({ status: 200, body, headers: { 'content-type': type } });

const B = '/v1/messages/batches';
const F = '/v1/files';
const CONTENT = raw(TEXT, 'application/octet-stream');
const CLAUDE: Record<string, Reply | Reply[]> = {
  [SONNET]: 'ok',
  [HAIKU]: 'ok',
  [B]: [ok(BATCH), listed(BATCH)],
  [`${B}/msgbatch_1`]: ok(BATCH),
  [`${B}/msgbatch_1/cancel`]: ok(BATCH),
  [`${B}/msgbatch_1/results`]: raw(result('one') + result('two'), 'application/x-jsonl'),
  [F]: [ok(FILE), listed(FILE)],
  [`${F}/file_1`]: ok(FILE),
  [`${F}/file_1/content`]: CONTENT,
};

async function all_of<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all = [];
  for await (const item of items) all.push(item);
  return all;
}

const count_tokens = (client: Anthropic) => client.messages.countTokens({ model: SONNET, messages: CALL.messages });
const download = async (client: Anthropic) => (await client.beta.files.download('file_1')).text();

const PASSES: Record<string, [run: (client: Anthropic) => Promise<void>, requests: string[]]> = {
  count_tokens: [
    async (client) => assert((await count_tokens(client)).input_tokens > 0),
    ['POST /v1/messages/count_tokens'],
  ],
  models: [
    async (client) => {
      const models = await all_of(client.models.list());
      assert.deepEqual(models.map((model) => model.id), [HAIKU, SONNET]);
      assert.equal((await client.models.retrieve(SONNET)).display_name, SONNET);
    },
    ['GET /v1/models', `GET /v1/models/${SONNET}`],
  ],
  batches: [
    async ({ messages: { batches } }) => {
      assert.equal((await batches.create({ requests: [{ custom_id: 'one', params: CALL }] })).id, 'msgbatch_1');
      assert.deepEqual((await all_of(batches.list())).map((batch) => batch.id), ['msgbatch_1']);
      assert.equal((await batches.retrieve('msgbatch_1')).request_counts.succeeded, 1);
      const results = await all_of(await batches.results('msgbatch_1'));
      assert.deepEqual(results.map((result) => result.custom_id), ['one', 'two']);
      assert.equal((await batches.cancel('msgbatch_1')).processing_status, 'ended');
    },
    [
      `POST ${B}`,
      `GET ${B}`,
      `GET ${B}/msgbatch_1`,
      `GET ${B}/msgbatch_1`,
      `GET ${B}/msgbatch_1/results`,
      `POST ${B}/msgbatch_1/cancel`,
    ],
  ],
  files: [
    async (client) => {
      const { files } = client.beta;
      const file = await toFile(Buffer.from('hello'.repeat(100_000)), 'notes.txt', { type: 'text/plain' });
      assert.equal((await files.upload({ file })).filename, 'notes.txt');
      assert.deepEqual((await all_of(files.list())).map((file) => file.id), ['file_1']);
      assert.equal((await files.retrieveMetadata('file_1')).size_bytes, 5);
      assert.equal(await download(client), TEXT);
    },
    [`POST ${F}`, `GET ${F}`, `GET ${F}/file_1`, `GET ${F}/file_1/content`],
  ],
};

for (const [what, [run, requests]] of Object.entries(PASSES)) {
  test(`it passes through: ${what}`, async (t) => {
    const at = await House.for(t, CLAUDE);
    await run(client_of(at));
    const seen = await at.seen();
    assert.deepEqual(seen.map(({ method, path }) => `${method} ${path.split('?')[0]}`), requests);
  });
}

/** One time by the proxy, and as often as it will by the SDK, which may try such a failure again. */
const FAILS: Record<string, [reply: string, status: number, kind: string, tries: number]> = {
  'upstream is overloaded': ['overloaded', 529, 'overloaded_error', 3],
  'upstream has a limit': ['rate_limited', 429, 'rate_limit_error', 3],
  'upstream resets the connection': ['reset', 502, 'api_error', 3],
  'the key is wrong': ['unauthorized', 401, 'authentication_error', 1],
};

for (const [what, [is, status, kind, tries]] of Object.entries(FAILS)) {
  for (const [options, expected] of [[{ maxRetries: 0 }, 1], [{}, tries]] as const) {
    test(`a failure passes through: ${what}, ${expected} tries`, async (t) => {
      const reply = is === 'reset' ? is : { is, retry_after: { millis: 1 } };
      const at = await House.for(t, { '/v1/models': reply });
      check(await error_of(all_of(client_of(at, options).models.list())), status, kind);
      assert.deepEqual(await at.attempts(), times(expected, '/v1/models'));
    });
  }
}

test('a download that breaks off throws', async (t) => {
  const at = await House.for(t, { [`${F}/file_1/content`]: { ...CONTENT, fail: { after_deltas: 1, with: 'cut' } } });
  // The SDK leaves it to the runtime to say so.
  await assert.rejects(download(client_of(at)));
  assert.deepEqual(await at.attempts(), [`${F}/file_1/content`]);
});

test('a timeout of the SDK is its own where the proxy has none', async (t) => {
  const at = await House.for(t, { '/v1/models': 'hang' });
  const client = client_of(at, { timeout: 300, maxRetries: 0 });
  assert.equal((await error_of(all_of(client.models.list()))).constructor, APIConnectionTimeoutError);
  assert.deepEqual(await at.attempts(), ['/v1/models']);
});

test('a count is retried', async (t) => {
  const at = await House.for(t, { '/v1/messages/count_tokens': ['overloaded', 'ok'] });
  assert((await count_tokens(client_of(at))).input_tokens > 0);
  assert.deepEqual(await at.attempts(), [SONNET, SONNET]);
});

test('a count is never made up', async (t) => {
  const settings = { 'backoff.attempts': 3 };
  const at = await House.for(t, { '/v1/messages/count_tokens': 'overloaded' }, { settings });
  check(await error_of(count_tokens(client_of(at))), 529, 'overloaded_error');
  assert.deepEqual(await at.attempts(), [...times(2, SONNET), ...times(3, HAIKU)]);
});

test('a proxy that is not there is a connection error', async (t) => {
  const at = await House.for(t, {});
  await at.close();
  const client = client_of(at, { maxRetries: 0 });
  assert.equal((await error_of(all_of(client.models.list()))).constructor, APIConnectionError);
});

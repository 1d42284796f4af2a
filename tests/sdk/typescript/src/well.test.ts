// While Claude is well, nothing is to be seen of the proxy.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { House, SONNET } from './stand.js';
import { TOOL } from './tool.js';
import { ALL } from './ways.js';

for (const way of ALL) {
  test(`an answer is the one that Claude gave: ${way.name}`, async (t) => {
    const at = await House.for(t, { [SONNET]: { text: 'All is well, and whole.' } });
    const answer = await way.ask(at);
    assert.deepEqual([answer.text, answer.stop_reason], ['All is well, and whole.', 'end_turn']);
    assert.deepEqual([answer.model, answer.outcome, answer.degraded], [SONNET, 'direct', false]);
    assert.deepEqual(await at.attempts(), [SONNET]);
  });

  test(`a tool is called with its input: ${way.name}`, async (t) => {
    const use = { name: 'weather', input: { city: 'Zürich', days: [1, 2] } };
    const reply = { text: 'Let me see.', thinking: 'Hm.', tool_use: use, pings: 2 };
    const at = await House.for(t, { [SONNET]: reply });
    const answer = await way.ask(at, { tools: [TOOL] });
    assert.deepEqual([answer.text, answer.stop_reason], ['Let me see.', 'tool_use']);
    assert.deepEqual(answer.tools, [[use.name, use.input]]);
    assert.deepEqual(await at.attempts(), [SONNET]);
  });
}

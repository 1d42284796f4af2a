// The ways an application asks the SDK for a message, all with one face.

import assert from 'node:assert/strict';
import Anthropic, { type ClientOptions } from '#sdk';
import { SONNET, type House } from './stand.js';

export const CALL: Anthropic.MessageCreateParamsNonStreaming = {
  model: SONNET,
  max_tokens: 64,
  messages: [{ role: 'user', content: 'Hi' }],
};

/** A whole answer, however it came. */
export interface Said {
  text: string;
  model: string;
  stop_reason: string | null;
  tools: [name: string, input: unknown][];
  degraded: boolean;
  outcome: string | null;
  headers: Headers;
}

/** What an application knows that reads event after event. */
export class Heard {
  text = '';
  private tools = new Map<number, [name: string, json: string]>();
  private message: Anthropic.Message | undefined;
  private stop_reason: string | null = null;
  private whole = false;

  hear(event: Anthropic.MessageStreamEvent): void {
    if (event.type === 'message_start') {
      this.message = event.message;
    } else if (event.type === 'content_block_start' && event.content_block.type === 'tool_use') {
      this.tools.set(event.index, [event.content_block.name, '']);
    } else if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') {
      this.text += event.delta.text;
    } else if (event.type === 'content_block_delta' && event.delta.type === 'input_json_delta') {
      this.tools.get(event.index)![1] += event.delta.partial_json;
    } else if (event.type === 'message_delta') {
      this.stop_reason = event.delta.stop_reason;
    } else if (event.type === 'message_stop') {
      this.whole = true;
    }
  }

  said(response: Response): Said {
    assert(this.message && this.whole, 'a stream ended as if it were whole, and is not');
    return {
      ...said(this.message, response),
      text: this.text,
      stop_reason: this.stop_reason,
      tools: [...this.tools.values()].map(([name, json]) => [name, JSON.parse(json)]),
    };
  }
}

/** Nothing checks at run time that an answer has its type, so this does. */
function said(message: Anthropic.Message, { headers }: Response): Said {
  assert.match(message.id, /^msg_/);
  assert.deepEqual([message.type, message.role], ['message', 'assistant']);
  assert.equal(typeof message.usage.input_tokens, 'number');
  assert.equal(typeof message.usage.output_tokens, 'number');
  const texts = message.content.map((block) => (block.type === 'text' ? block.text : ''));
  const tools = message.content.flatMap((block): Said['tools'] =>
    block.type === 'tool_use' ? [[block.name, block.input]] : [],
  );
  return {
    text: texts.join(''),
    model: message.model,
    stop_reason: message.stop_reason,
    tools,
    degraded: '_degraded' in message,
    outcome: headers.get('tower-claude-outcome'),
    headers,
  };
}

type Ask = (client: Anthropic, call: typeof CALL, heard: Heard) => Promise<Said>;

const create: Ask = async (client, call) => {
  const { data, response } = await client.messages.create(call).withResponse();
  return said(data, response);
};

const create_stream: Ask = async (client, call, heard) => {
  const { data, response } = await client.messages.create({ ...call, stream: true }).withResponse();
  for await (const event of data) heard.hear(event);
  return heard.said(response);
};

const stream: Ask = async (client, call) => {
  const { data, response } = await client.messages.stream(call).withResponse();
  return said(await data.finalMessage(), response);
};

const stream_events: Ask = async (client, call, heard) => {
  const stream = client.messages.stream(call);
  for await (const event of stream) heard.hear(event);
  return heard.said(stream.response!);
};

const text_stream: Ask = async (client, call, heard) => {
  const stream = client.messages.stream(call).on('text', (text) => (heard.text += text));
  return said(await stream.finalMessage(), stream.response!);
};

/** A client as an application makes it, which retries by itself unless the options say otherwise. */
export function client_of(house: House, options: ClientOptions = {}): Anthropic {
  return new Anthropic({ baseURL: house.url, apiKey: 'key-of-the-caller', ...options });
}

export interface Way {
  name: string;
  hears: boolean;
  ask(house: House, call?: Partial<typeof CALL>, options?: ClientOptions, heard?: Heard): Promise<Said>;
}

function way(name: string, ask: Ask, hears: boolean): Way {
  return {
    name,
    hears,
    ask: (house, call, options, heard = new Heard()) => ask(client_of(house, options), { ...CALL, ...call }, heard),
  };
}

export const STREAMS = [
  way('create_stream', create_stream, true),
  way('stream', stream, false),
  way('stream_events', stream_events, true),
  way('text_stream', text_stream, true),
];
export const ALL = [way('create', create, false), ...STREAMS];
/** Two of them, for what is decided long before it matters how the caller asked. */
export const SOME = [way('create', create, false), way('stream', stream, false)];

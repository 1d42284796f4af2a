// A proxy in front of a fake Claude, for one test: see ../../stand/main.rs.

import type { TestContext } from 'node:test';

export const SONNET = 'claude-sonnet-5-5';
export const HAIKU = 'claude-haiku-5-5';

/** For tests in which an upstream falls silent. */
export const IMPATIENT = {
  'timeouts.first_event': '500ms',
  'timeouts.answer': '500ms',
  'timeouts.idle': '500ms',
};

export type Reply = string | Record<string, unknown>;

export interface Order {
  /** Keys of the proxy's file. */
  settings?: Record<string, unknown>;
  holds_key?: boolean;
}

export interface Seen {
  method: string;
  path: string;
  model: string | null;
  headers: Record<string, string>;
}

async function ask(method: string, path: string, body?: unknown): Promise<unknown> {
  const response = await fetch(process.env['SDK_STAND'] + path, {
    method,
    headers: { 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

export class House {
  private is_open = true;

  private constructor(
    readonly url: string,
    private readonly path: string,
  ) {}

  /** Builds one that the test has for itself. Scripts are by model or path. */
  static async for(t: TestContext, claude: Record<string, Reply | Reply[]>, order: Order = {}): Promise<House> {
    const { id, url } = (await ask('POST', '/houses', { claude, ...order })) as { id: number; url: string };
    const house = new House(url, `/houses/${id}`);
    t.after(() => house.close());
    return house;
  }

  /** Ends the proxy, if that was not done before. */
  async close(): Promise<void> {
    if (!this.is_open) return;
    this.is_open = false;
    await ask('DELETE', this.path);
  }

  /** The requests that came to upstream, oldest first. */
  async seen(): Promise<Seen[]> {
    return (await ask('GET', this.path)) as Seen[];
  }

  /** Of each request that came to upstream, the model, or else the path. */
  async attempts(): Promise<string[]> {
    return (await this.seen()).map((seen) => seen.model ?? seen.path.replace('?beta=true', ''));
  }
}

export function times(count: number, model: string): string[] {
  return Array<string>(count).fill(model);
}

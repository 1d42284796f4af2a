// What the SDK throws, by the class that each of its majors has for it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import Anthropic, { APIError } from '#sdk';

const main = createRequire(import.meta.url).resolve('#sdk');
/** Of the SDK that runs. */
export const VERSION = (JSON.parse(readFileSync(join(dirname(main), 'package.json'), 'utf8')) as { version: string })
  .version;
/** The old major is of 0.71, the new one of 1.13. */
export const IS_NEW = !VERSION.startsWith('0.');

/** Where the majors agree. */
const NAMES: Record<number, string> = {
  400: 'BadRequestError',
  401: 'AuthenticationError',
  403: 'PermissionDeniedError',
  404: 'NotFoundError',
  409: 'ConflictError',
  422: 'UnprocessableEntityError',
  429: 'RateLimitError',
};
const NEW_NAMES: Record<number, string> = {
  413: 'ContentTooLargeError',
  503: 'ServiceUnavailableError',
  504: 'GatewayTimeoutError',
  529: 'OverloadedError',
};

/** By `error.details.error_code`. */
const CODES: Record<string, string> = { enforced_spend_limit_reached: 'EnforcedSpendLimitReachedError' };

interface Body {
  error: { type: string; message: string; details?: { error_code?: string } };
}
type Thrown = APIError<number | undefined, Headers | undefined, Body>;

/** What a promise is rejected with, which must be an error of the API. */
export async function error_of(answer: Promise<unknown>): Promise<Thrown> {
  const error = await answer.then(
    (answer) => assert.fail(`answered: ${JSON.stringify(answer)}`),
    (error: unknown) => error,
  );
  assert(error instanceof APIError, String(error));
  return error as Thrown;
}

/** That an error is the one for this status, with the `error.type` in its body. */
export function check(error: Thrown, status: number, kind: string): void {
  const names = { ...NAMES, ...(IS_NEW ? NEW_NAMES : {}) };
  const code = error.error?.error.details?.error_code;
  const name = (IS_NEW && code && CODES[code]) || names[status] || (status < 500 ? 'APIError' : 'InternalServerError');
  assert.equal(error.constructor, (Anthropic as unknown as Record<string, unknown>)[name], error.constructor.name);
  assert.equal(error.status, status);
  assert.equal(error.error?.error.type, kind);
}

/** @module Any fetch-shaped handler over real HTTP on the loopback interface, so that what a handler does with promises and streams becomes what a socket does. */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { FetchLike } from '../src/core/types.ts';

export interface ServeOptions {
  /**
   * The port to listen on.
   * @default a free one
   */
  readonly port?: number | undefined;
}

/** A handler that is being served. */
export interface Served {
  /** The address, without a slash at the end. */
  readonly url: string;
  /** How many connections are open now. */
  readonly connections: number;
  /** How many connections have been opened so far. */
  readonly opened: number;
  /** Destroys every connection at once, in the middle of whatever is under way, as a server does that dies. It goes on listening. */
  unplug(): void;
  /** Ends every connection at once and stops listening. */
  close(): Promise<void>;
}

/** A reset overtakes what the client has not read yet, so the client is given this long to read it. */
const READ_BEFORE_RESET_MS = 25;

const CORS_HEADERS = {
  'access-control-allow-origin': '*',
  'access-control-expose-headers': 'retry-after, retry-after-ms, x-ds-trace-id',
};

/**
 * Serves a handler on 127.0.0.1. A handler that rejects, and a body that fails, become a TCP reset; a client that goes
 * away aborts the handler's signal and cancels its body; nothing is read from a body faster than the client takes it.
 */
export async function serve(handler: FetchLike, options: ServeOptions = {}): Promise<Served> {
  const sockets = new Set<Socket>();
  let opened = 0;
  const server = createServer((request, response) => void answer(handler, request, response));
  server.on('connection', (socket) => {
    opened++;
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get connections() {
      return sockets.size;
    },
    get opened() {
      return opened;
    },
    unplug: () => {
      for (const socket of sockets) socket.destroy();
    },
    close: () => close(server),
  };
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close');
  server.close();
  server.closeAllConnections();
  await closed;
}

async function answer(handler: FetchLike, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method === 'OPTIONS') return allowOrigin(request, response);
  const client = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) client.abort(new Error('The client went away'));
  });
  try {
    const url = `http://${request.headers.host}${request.url}`;
    const reply = await handler(url, await initOf(request, client.signal));
    await send(reply, response, client.signal);
  } catch {
    await reset(request.socket, response.headersSent);
  }
}

function allowOrigin(request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(204, {
    ...CORS_HEADERS,
    'access-control-allow-methods': 'GET, POST, DELETE',
    'access-control-allow-headers': request.headers['access-control-request-headers'] ?? '',
    'access-control-max-age': '600',
  });
  response.end();
}

async function initOf(request: IncomingMessage, signal: AbortSignal): Promise<RequestInit> {
  const headers = new Headers();
  for (const [name, values] of Object.entries(request.headersDistinct))
    for (const value of values ?? []) headers.append(name, value);
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  const hasBody = request.method !== 'GET' && request.method !== 'HEAD';
  return { method: `${request.method}`, headers, signal, ...(hasBody && { body: Buffer.concat(parts) }) };
}

/** Passes the reply on piece by piece, no faster than the client reads. */
async function send(reply: Response, response: ServerResponse, client: AbortSignal): Promise<void> {
  const headers = new Headers({ ...CORS_HEADERS, ...Object.fromEntries(reply.headers) });
  headers.delete('content-length'); // the body may be cut or grow on the way: it goes out chunked
  headers.delete('set-cookie');
  const fields = [...headers]
    .flat()
    .concat(reply.headers.getSetCookie().flatMap((cookie) => ['set-cookie', cookie]));
  response.writeHead(reply.status, reply.statusText, fields);
  response.flushHeaders();
  const reader = reply.body?.getReader();
  const leave = (): void => void reader?.cancel(client.reason).catch(() => undefined);
  client.addEventListener('abort', leave);
  if (client.aborted) leave();
  for (let chunk = await reader?.read(); chunk && !chunk.done; chunk = await reader?.read()) {
    if (!response.write(chunk.value)) await once(response, 'drain', { signal: client });
  }
  response.end();
}

async function reset(socket: Socket, isBegun: boolean): Promise<void> {
  if (isBegun && !socket.destroyed) {
    await new Promise((resolve) => setTimeout(resolve, READ_BEFORE_RESET_MS));
    await new Promise((resolve) => setImmediate(resolve)); // a client in this process that was kept busy reads before
  }
  socket.resetAndDestroy();
}
